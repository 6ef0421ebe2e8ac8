//! What applying a manifest has to say.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::digest::Digest;
use crate::escape::Escaped;
use crate::manifest::ManifestError;
use crate::path::ManifestPath;
use crate::source::SourceError;
use crate::sys::Errno;
use crate::tree::NodeError;

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// An entry was changed, or would be.
    Change(Change),
    /// An entry is not as declared, and why.
    Failure(Failure),
}

/// An entry that was changed, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which one.
    pub path: ManifestPath,
    /// What was done.
    pub action: Action,
}

/// What was done with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It was not there.
    Create,
    /// Something else was there.
    Replace,
    /// It became another name of the file that it should be.
    Link,
    /// Owner, mode, time or extended attributes.
    Attributes,
    /// The manifest does not list it.
    Remove,
}

/// As a dry run prints it.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            Action::Create => "create",
            Action::Replace => "replace",
            Action::Link => "link",
            Action::Attributes => "change",
            Action::Remove => "remove",
        };
        write!(f, "{action} {}", self.path)
    }
}

/// An entry that is not as declared.
#[derive(Debug, Error)]
#[error("{path:?} {cause}")]
pub struct Failure {
    /// Which one.
    pub path: ManifestPath,
    /// Why.
    #[source]
    pub cause: Cause,
}

/// Why an entry is not as declared.
#[derive(Debug, Error)]
pub enum Cause {
    /// A system call failed.
    #[error("cannot be {what}: {error}")]
    Io {
        /// What was tried, as in "cannot be made".
        what: &'static str,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// Owner or group cannot be set.
    #[error("cannot be given to its owner: {0}")]
    Owner(#[source] io::Error),
    /// An extended attribute cannot be set.
    #[error("cannot have the attribute {:?}: {error}", Escaped(.name))]
    Xattr {
        /// Name of the attribute.
        name: Box<[u8]>,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// What is in the tree cannot be told.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// There is no right content in place, and no source.
    #[error("does not have the declared content, and there is no source to take it from")]
    NoSource,
    /// The source does not have it.
    #[error("cannot be made: {0}")]
    Source(#[from] SourceError),
    /// The source ends early, or does not end where it should.
    #[error("cannot be made: the content in the source does not have {wanted} bytes")]
    Length {
        /// Declared size, in bytes.
        wanted: u64,
    },
    /// The content is another.
    #[error("cannot be made: wrong content: wanted {}, found {}", .0.0, .0.1)]
    Digest(Box<(Digest, Digest)>),
    /// The content is another, by its chunk table.
    #[error("cannot be made: wrong content: chunks do not match")]
    Chunks,
    /// Nothing vouches for the content.
    #[error("cannot be made: the manifest has no digest that can be checked")]
    NoDigest,
    /// A directory that is not empty is in the way.
    #[error("cannot be made: a directory that is not empty is in its way (--delete removes it)")]
    Occupied,
    /// A device that must be there is not.
    #[error("is not there, and devices are only checked")]
    DeviceMissing,
    /// Setuid or setgid bits would make it another's than was declared.
    #[error("has not got its setuid or setgid bit, because its owner is not the declared one")]
    Privilege,
    /// The mode came out otherwise than it was set.
    #[error("has mode {found:#o}, not {wanted:#o}: the system did not take all of it")]
    Mode {
        /// What it is.
        found: u32,
        /// What was set.
        wanted: u32,
    },
    /// Linking it would change the source.
    #[error(
        "cannot be hard-linked: its attributes in the source are not the declared ones, \
         and to change them would change the source"
    )]
    LinkedSource,
    /// The content is not in a file of its own.
    #[error("cannot be linked or moved: the source has it in no file of its own")]
    NoFile,
    /// It is not what it was a moment ago.
    #[error("was changed by somebody else meanwhile")]
    Vanished,
    /// Something else has made it pointless to go on.
    #[error("was not finished")]
    Stopped,
    /// It is a directory on which something is mounted.
    #[error("is on another filesystem, which is left alone (--cross-mounts goes on there)")]
    Mounted,
    /// The directory it lies in could not be made.
    #[error("cannot be made, nor what lies in it: {0}")]
    Directory(#[source] io::Error),
}

impl Cause {
    /// For `map_err`.
    pub(super) fn io(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| Self::Io { what, error }
    }

    /// Of opening a directory, which may be another filesystem.
    pub(super) fn directory(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(Errno::XDEV) => Self::Mounted,
            _ => Self::Directory(error),
        }
    }

    /// Whether it is that only root can set owners.
    pub(super) fn is_owner_refused(&self) -> bool {
        matches!(self, Self::Owner(error) if Errno::from_io_error(error) == Some(Errno::PERM))
    }

    /// Whether everything else would fail for the same reason.
    pub(super) fn is_fatal(&self) -> bool {
        let (Self::Io { error, .. } | Self::Directory(error)) = self else {
            return false;
        };
        matches!(
            Errno::from_io_error(error),
            Some(Errno::NOSPC | Errno::DQUOT | Errno::ROFS)
        )
    }
}

/// Why nothing was applied.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// The manifest is refused.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The root cannot be opened.
    #[error("cannot open directory {:?}: {error}", Escaped(.root.as_os_str().as_encoded_bytes()))]
    Root {
        /// The root, as it was given.
        root: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The root cannot be made.
    #[error("cannot make directory {:?}: {error}", Escaped(.root.as_os_str().as_encoded_bytes()))]
    Make {
        /// The root, as it was given.
        root: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// Somebody else is at work there.
    #[error("another apply is at work on {:?}", Escaped(.0.as_os_str().as_encoded_bytes()))]
    Locked(PathBuf),
    /// There can be no threads.
    #[error("cannot start threads: {0}")]
    Threads(#[source] rayon::ThreadPoolBuildError),
}
