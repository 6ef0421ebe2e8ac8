//! A directory tree as the source of content.

use std::os::fd::BorrowedFd;

use crate::path::ManifestPath;
use crate::sys::RootDir;

use super::beneath::Beneath;
use super::{ContentRef, Source, SourceError, SourceFile};

/// The tree below a directory. Links in it are never followed, and nothing but
/// a regular file is ever read.
#[derive(Debug)]
pub struct DirectorySource(Beneath);

impl DirectorySource {
    /// Takes content from below `root`.
    #[must_use]
    pub const fn new(root: RootDir) -> Self {
        Self(Beneath::new(root))
    }

    /// The same, but nothing other than a regular file is even opened, whatever
    /// turns up in its place: to open a device can do something. It takes twice
    /// the system calls, and needs `/proc`.
    #[must_use]
    pub fn opening_nothing_else(self) -> Self {
        Self(self.0.opening_nothing_else())
    }
}

impl Source for DirectorySource {
    fn open(&self, content: &ContentRef<'_>) -> Result<Box<dyn SourceFile>, SourceError> {
        self.0.open(content.path.relative(), content.size)
    }

    fn remove(
        &self,
        path: &ManifestPath,
        file: BorrowedFd<'_>,
        kept: &RootDir,
    ) -> Result<(), SourceError> {
        self.0.remove(path.relative(), file, kept)
    }

    fn avoid(&self, device: u64) {
        self.0.avoid(device);
    }
}
