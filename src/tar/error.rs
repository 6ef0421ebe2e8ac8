//! Why an archive cannot be read, and where.

use std::fmt;
use std::io;

use thiserror::Error;

use crate::escape::Escaped;
use crate::mode::FileType;
use crate::path::PathError;

/// An archive that cannot be read.
#[derive(Debug)]
pub struct TarError(Box<Place>);

#[derive(Debug)]
struct Place {
    at: u64,
    name: Option<Box<[u8]>>,
    fault: Fault,
}

impl TarError {
    /// Something wrong at a byte of the archive, as it is when it is not
    /// compressed.
    #[must_use]
    pub fn new(at: u64, fault: Fault) -> Self {
        Self(Box::new(Place {
            at,
            name: None,
            fault,
        }))
    }

    /// Something wrong with a member whose header begins at a byte.
    #[must_use]
    pub fn of(at: u64, name: &[u8], fault: Fault) -> Self {
        Self(Box::new(Place {
            at,
            name: Some(Box::from(name)),
            fault,
        }))
    }

    /// What is wrong.
    #[must_use]
    pub fn fault(&self) -> &Fault {
        &self.0.fault
    }
}

/// The name, where there is one, escaped; and the byte.
impl fmt::Display for TarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.0.name {
            // Enough to find it by, however long a hostile one is.
            let shown = name.get(..SHOWN).unwrap_or(name);
            write!(f, "{:?} ", Escaped(shown))?;
        }
        write!(f, "at byte {}: {}", self.0.at, self.0.fault)
    }
}

/// How many bytes of a name are shown: as many as a path can have.
const SHOWN: usize = 4096;

impl std::error::Error for TarError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.fault {
            Fault::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// What is wrong with an archive.
#[derive(Debug, Error)]
pub enum Fault {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[source] io::Error),
    /// It ends too early.
    #[error("the archive is cut off")]
    Truncated,
    /// It is empty, or ends without the block of zeros that says so.
    #[error("the archive ends without its end mark; it may be cut off, or be no tar archive")]
    NoEnd,
    /// Something follows its end.
    #[error("the archive goes on behind its end mark")]
    Trailing,
    /// No header stands where one should be.
    #[error("there is no header with a right checksum; the archive is damaged, or is none")]
    Checksum,
    /// A field of a header holds no number, or one out of range.
    #[error("its {0} is no number, or out of range")]
    Number(&'static str),
    /// An extended header breaks its own form.
    #[error("its extended header is malformed")]
    Extended,
    /// A record of an extended header says nothing that can be.
    #[error("its record {:?} cannot be read", Escaped(.0))]
    Record(Box<[u8]>),
    /// An extended header or a long name is longer than anybody needs.
    #[error("its extended header has {found} bytes, more than {limit}")]
    Long {
        /// Its size in bytes.
        found: u64,
        /// Most bytes that are read.
        limit: u64,
    },
    /// Two extended headers for one member, which readers take differently.
    #[error("it has two extended headers of one kind")]
    Twice,
    /// A kind of member that is not known, or that is not in one archive.
    #[error("it is of type {:?}, which is not supported", char::from(*.0))]
    Type(u8),
    /// Content of something that has none, which readers take differently.
    #[error("a {0} with content")]
    Content(FileType),
    /// The map of a file with holes.
    #[error("its map of holes is malformed, or is of an unknown form")]
    Sparse,
    /// A name that is absolute.
    #[error("its name is absolute")]
    Absolute,
    /// A name with `..`.
    #[error("its name has a component \"..\"")]
    Dots,
    /// A name that is none.
    #[error("its {0}")]
    Path(#[source] PathError),
    /// It has no name.
    #[error("it has no name")]
    NoName,
    /// Deeper than any reader would take.
    #[error("it is {found} levels deep, more than {limit}")]
    Depth {
        /// How deep it is.
        found: usize,
        /// The limit of readers.
        limit: usize,
    },
    /// The root is no directory.
    #[error("the root is a {0}, not a directory")]
    Root(&'static str),
    /// It stands below something that is no directory.
    #[error("{:?} is no directory, so nothing can be in it", Escaped(.0))]
    Parent(Box<[u8]>),
    /// A directory that has something in it would be replaced.
    #[error("it replaces a directory that has something in it")]
    Replaces,
    /// A hard link to nothing.
    #[error("a hard link to {:?}, which is not there before it", Escaped(.0))]
    LinkMissing(Box<[u8]>),
    /// A hard link to a directory.
    #[error("a hard link to {:?}, a directory", Escaped(.0))]
    LinkDirectory(Box<[u8]>),
    /// A hard link that leads elsewhere.
    #[error("a hard link to {:?}, which is absolute or leads elsewhere", Escaped(.0))]
    LinkName(Box<[u8]>),
    /// An owner that no system can have.
    #[error("its {which} is {value}, which is out of range")]
    Owner {
        /// `uid` or `gid`.
        which: &'static str,
        /// The number.
        value: i128,
    },
    /// A device that no system can have.
    #[error("its device number is out of range")]
    Device,
    /// A symlink whose target is empty, too long, or has a NUL.
    #[error("its target has {0} bytes, or a NUL among them")]
    Target(usize),
    /// An attribute that no system can have.
    #[error("its attribute {:?} has a name or a value that is too long, or a NUL", Escaped(.0))]
    Xattr(Box<[u8]>),
    /// More names of attributes than a system can list.
    #[error("the names of its attributes are too long together")]
    XattrList,
    /// Text that is no ACL.
    #[error("its ACL is malformed")]
    Acl,
    /// An ACL that names somebody without a number.
    #[error(
        "its ACL names {:?} without a number, and no such name is known here",
        Escaped(.0)
    )]
    AclName(Box<[u8]>),
    /// A file of overlayfs whose content or name is in a lower layer.
    #[error("its attribute {:?} says that it is in a lower layer", Escaped(.0))]
    LowerLayer(Box<[u8]>),
}

impl Fault {
    /// What a failed read means: the end, or trouble.
    #[must_use]
    pub fn of_read(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Io(error),
        }
    }
}
