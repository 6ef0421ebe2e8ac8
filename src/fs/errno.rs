//! What can go wrong in an operation, and the one table of error numbers.

use std::io;

use thiserror::Error;

use crate::sys::Errno;
use crate::verify::VerifyError;

/// Why an operation fails.
#[derive(Debug, Error)]
pub enum FsError {
    /// No entry of this name.
    #[error("no such entry")]
    NoEntry,
    /// No inode of this number: the kernel asks for what we never gave it.
    #[error("no such inode")]
    NoInode,
    /// A name that no directory can have.
    #[error("name too long")]
    NameTooLong,
    /// An operation on directories, and this is none.
    #[error("not a directory")]
    NotDirectory,
    /// An operation on files, and this is a directory.
    #[error("is a directory")]
    IsDirectory,
    /// An operation on regular files, or on symlinks, and this is none.
    #[error("not the right kind of file")]
    WrongKind,
    /// No extended attribute of this name.
    #[error("no such attribute")]
    NoXattr,
    /// No inode of the whole manifest has extended attributes.
    #[error("no attributes at all")]
    NoXattrsAtAll,
    /// The caller's buffer is too small.
    #[error("buffer too small")]
    Range,
    /// The operation would change something.
    #[error("read-only filesystem")]
    ReadOnly,
    /// The content is not what the manifest declares, or cannot be had.
    #[error("{0}")]
    Refused(#[from] VerifyError),
    /// Something was refused before, and that has ended the view.
    #[error("shut down after content was refused")]
    ShutDown,
    /// A private copy of a file cannot be made, whatever its content is.
    #[error("no private copy: {0}")]
    Copy(#[source] io::Error),
    /// A handler panicked: a bug of ours, which must not end the mount.
    #[error("internal error")]
    Panicked,
}

impl FsError {
    /// The number that the caller sees (errno(3)).
    #[must_use]
    pub const fn errno(&self) -> Errno {
        match self {
            Self::NoEntry => Errno::NOENT,
            Self::NoInode => Errno::STALE,
            Self::NameTooLong => Errno::NAMETOOLONG,
            Self::NotDirectory => Errno::NOTDIR,
            Self::IsDirectory => Errno::ISDIR,
            Self::WrongKind => Errno::INVAL,
            Self::NoXattr => Errno::NODATA,
            // The kernel then stops asking (fs/fuse/xattr.c: no_getxattr).
            Self::NoXattrsAtAll => Errno::NOSYS,
            Self::Range => Errno::RANGE,
            Self::ReadOnly => Errno::ROFS,
            // A missing backing file too: a name that the manifest has must
            // never look as if it did not exist.
            Self::Refused(_) | Self::ShutDown | Self::Copy(_) | Self::Panicked => Errno::IO,
        }
    }
}
