//! A directory tree as the source of content.

use std::fs::File;
use std::io;
use std::sync::OnceLock;

use crate::mode::{FileMode, FileType};
use crate::sys::{self, RootDir, Stat};

use super::{ContentRef, Source, SourceError, SourceFile};

/// The tree below a directory. Links in it are never followed, and nothing but
/// a regular file is ever read.
#[derive(Debug)]
pub struct DirectorySource {
    root: RootDir,
    avoided: OnceLock<u64>,
}

impl DirectorySource {
    /// Takes content from below `root`.
    #[must_use]
    pub const fn new(root: RootDir) -> Self {
        Self {
            root,
            avoided: OnceLock::new(),
        }
    }
}

impl Source for DirectorySource {
    fn open(&self, content: &ContentRef<'_>) -> Result<Box<dyn SourceFile>, SourceError> {
        let file = self
            .root
            .open_file(content.path.relative())
            .map_err(|error| classify(&error))?;
        let stat = Stat::of(&file).map_err(SourceError::Io)?;
        if self.avoided.get() == Some(&stat.device) {
            return Err(SourceError::Escape);
        }
        match FileMode::from_stat(stat.st_mode).map(FileMode::file_type) {
            Some(FileType::Regular) => {}
            Some(other) => return Err(SourceError::NotRegular(other)),
            None => return Err(SourceError::Missing),
        }
        // Only to say so at once: what decides is what is read.
        if stat.size != content.size {
            return Err(SourceError::Size {
                wanted: content.size,
                found: stat.size,
            });
        }
        Ok(Box::new(DirectoryFile(file)))
    }

    fn avoid(&self, device: u64) {
        // Mounted once: a second time is nothing new.
        let _ = self.avoided.set(device);
    }
}

fn classify(error: &io::Error) -> SourceError {
    match sys::Errno::from_io_error(error) {
        Some(sys::Errno::NOENT | sys::Errno::NOTDIR) => SourceError::Missing,
        Some(sys::Errno::LOOP | sys::Errno::XDEV) => SourceError::Escape,
        // A socket cannot be opened, nor a device without a driver.
        Some(sys::Errno::NXIO | sys::Errno::NODEV) => SourceError::NotRegular(FileType::Socket),
        Some(sys::Errno::MFILE | sys::Errno::NFILE) => SourceError::Exhausted,
        Some(sys::Errno::ACCESS | sys::Errno::PERM) => SourceError::Denied,
        _ => SourceError::Io(io::Error::new(error.kind(), error.to_string())),
    }
}

#[derive(Debug)]
struct DirectoryFile(File);

impl SourceFile for DirectoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        sys::file::read_full_at(&self.0, buffer, offset)
    }
}
