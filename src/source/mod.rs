//! Where content comes from. None of it is trusted: whatever a source says or
//! gives is checked by [`crate::verify`] before anybody sees it.
//!
//! Retries, caches and limits are sources around sources.

mod beneath;
mod blobs;
mod directory;
mod memory;
mod tar;
mod unchanged;

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;

use thiserror::Error;

use crate::digest::Digest;
use crate::mode::FileType;
use crate::path::ManifestPath;
use crate::sys::RootDir;

pub use blobs::BlobSource;
pub use directory::DirectorySource;
pub use memory::MemorySource;
pub use tar::{TarSource, TarSourceError};
pub use unchanged::{Changed, UnchangedSource};

/// Which content is wanted.
#[derive(Clone, Copy, Debug)]
pub struct ContentRef<'a> {
    /// Its path in the manifest.
    pub path: &'a ManifestPath,
    /// Its size in bytes, as declared.
    pub size: u64,
    /// Digests of the whole, as declared, for stores that go by content.
    pub digests: &'a [Digest],
}

/// A place that may have content.
pub trait Source: fmt::Debug + Send + Sync {
    /// Opens content for reading.
    ///
    /// # Errors
    /// See [`SourceError`]. The caller may try again at any time.
    fn open(&self, content: &ContentRef<'_>) -> Result<Box<dyn SourceFile>, SourceError>;

    /// Takes nothing from the filesystem with this device number from now on:
    /// it is the one that is served from here, and would wait for itself.
    fn avoid(&self, _device: u64) {}

    /// Removes the name of a file that was opened here and has been put into
    /// the directory `kept`; not if that is where it is, nor if the name is
    /// that of another file by now.
    ///
    /// # Errors
    /// When this is no place to remove something from, or it cannot be removed.
    fn remove(
        &self,
        _path: &ManifestPath,
        _file: BorrowedFd<'_>,
        _kept: &RootDir,
    ) -> Result<(), SourceError> {
        Err(SourceError::Io(io::ErrorKind::Unsupported.into()))
    }
}

/// Content that was opened; it may change at any moment.
pub trait SourceFile: fmt::Debug + Send + Sync {
    /// Fills `buffer` from `offset` on, and tells how many bytes there were;
    /// fewer than asked for only at the end.
    ///
    /// # Errors
    /// As pread(2).
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// The file that has this content and nothing else, where there is one: to
    /// share its blocks, or to link it.
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Says that it is what the manifest was made of, and was all the while
    /// since. Most sources cannot know.
    ///
    /// # Errors
    /// [`SourceError::Changed`], and where nobody can say so.
    fn vouch(&self) -> Result<(), SourceError> {
        Err(SourceError::Io(io::ErrorKind::Unsupported.into()))
    }
}

/// Why a source cannot give what the manifest declares.
#[derive(Debug, Error)]
pub enum SourceError {
    /// There is nothing of that name.
    #[error("missing in the source")]
    Missing,
    /// There is something else.
    #[error("a {0} in the source, not a regular file")]
    NotRegular(FileType),
    /// The path leads through a symlink, or out of the source.
    #[error("the path leads through a symlink, out of the source, or into this mount itself")]
    Escape,
    /// The file has another size.
    #[error("size {found} in the source, not {wanted}")]
    Size {
        /// Declared size, in bytes.
        wanted: u64,
        /// Size in the source, in bytes.
        found: u64,
    },
    /// We may not read it.
    #[error("permission denied in the source")]
    Denied,
    /// This process, or the system, has no descriptor left.
    #[error("too many open files")]
    Exhausted,
    /// It is not what the manifest was made of.
    #[error("changed in the source meanwhile: {0}")]
    Changed(Box<Changed>),
    /// Anything else.
    #[error("cannot be read from the source: {0}")]
    Io(#[source] io::Error),
}
