//! What a comparison has to say.

use std::io;

use thiserror::Error;

use crate::attributes::Attribute;
use crate::digest::Digest;
use crate::escape::Escaped;
use crate::manifest::{DeviceNumber, Timestamp};
use crate::mode::{FileMode, FileType};
use crate::path::{ManifestPath, PathError};
use crate::sys::Absence;
use crate::tree::{NodeError, ReadError};

/// Something that is not the same on both sides, or of which that cannot be
/// told.
#[derive(Debug)]
pub enum Finding {
    /// A path that differs.
    Different(Difference),
    /// A path of which it cannot be told whether it differs, or in what else.
    Trouble(Trouble),
}

/// A path that is not the same on both sides: the wanted one (the manifest, or
/// the first side) and the found one (the directory, or the second side).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which path.
    pub path: ManifestPath,
    /// What kind of file it is where it is wanted, or else where it was found.
    pub file_type: FileType,
    /// In what it differs.
    pub kind: DifferenceKind,
}

/// In what a path differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DifferenceKind {
    /// It is wanted, and was not found.
    Missing {
        /// Why there is none.
        absence: Absence,
        /// The first of its hard links that was found.
        link_to: Option<ManifestPath>,
    },
    /// It was found, and is not wanted.
    Added,
    /// It is on both sides, and differs in these attributes; at least one.
    Changed(Vec<Change>),
}

/// One attribute that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// What kind of file it is; nothing else was compared.
    Type(Sides<FileMode>),
    /// Permissions.
    Mode(Sides<FileMode>),
    /// Owner, as a number.
    Uid(Sides<u32>),
    /// Group, as a number.
    Gid(Sides<u32>),
    /// Time of the last change.
    Mtime(Sides<Timestamp>),
    /// An extended attribute; `None` where there is none, or none that we may
    /// see.
    Xattr {
        /// Its name.
        name: Box<[u8]>,
        /// Its values.
        values: Sides<Option<Box<[u8]>>>,
    },
    /// Size of a regular file. Its content was not compared.
    Size(Sides<u64>),
    /// Content of a regular file, as a whole: its digests.
    Digest(Sides<Vec<Digest>>),
    /// Content of a regular file, by its chunks.
    Chunks(BadChunks),
    /// There is nothing to compare the content with.
    NoDigest,
    /// Where a symlink leads.
    Target(Sides<Box<[u8]>>),
    /// Which device it is.
    Device(Sides<DeviceNumber>),
    /// The first name of the same file; `None` where the path is the first, or
    /// the only one.
    Links(Sides<Option<ManifestPath>>),
    /// Whether the name hides the same one in lower layers.
    Whiteout(Sides<bool>),
    /// Whether the directory covers the same one in lower layers.
    Opaque(Sides<bool>),
}

/// A value on each side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sides<T> {
    /// In the manifest, or on the first side.
    pub wanted: T,
    /// In the directory, or on the second side.
    pub found: T,
}

impl<T> Sides<T> {
    pub(super) fn of(wanted: &T, found: &T) -> Self
    where
        T: Clone,
    {
        Self {
            wanted: wanted.clone(),
            found: found.clone(),
        }
    }

    fn reversed(self) -> Self {
        Self {
            wanted: self.found,
            found: self.wanted,
        }
    }
}

/// Which chunks of a file differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadChunks {
    /// How many differ.
    pub bad: u64,
    /// How many there are.
    pub count: u64,
    /// Where the first one that differs begins, in bytes.
    pub offset: u64,
}

/// A file of which it cannot be told whether it differs.
#[derive(Debug, Error)]
#[error("{path:?} {cause}")]
pub struct Trouble {
    /// Which one.
    pub path: ManifestPath,
    /// Why.
    #[source]
    pub cause: TroubleCause,
}

/// Why it cannot be told.
#[derive(Debug, Error)]
pub enum TroubleCause {
    /// The file cannot be looked at.
    #[error("cannot be looked at: {0}")]
    Io(#[from] io::Error),
    /// What was found is nothing that a manifest has words for.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// Its content cannot be read, or does not hold still.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A directory that cannot be listed, so that nobody knows what else is in
    /// it.
    #[error("cannot be listed: {0}")]
    List(#[source] io::Error),
    /// A name in the directory makes a path that no manifest could hold.
    #[error("has the entry {:?}: {error}", Escaped(.name))]
    Path {
        /// The name.
        name: Box<[u8]>,
        /// What is wrong with the path.
        #[source]
        error: PathError,
    },
}

impl Finding {
    /// The same, with the sides changed.
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            Self::Different(difference) => Self::Different(difference.reversed()),
            Self::Trouble(trouble) => Self::Trouble(trouble),
        }
    }
}

impl Difference {
    /// A path on both sides; `None` when nothing changed.
    pub(super) fn changed(
        path: ManifestPath,
        file_type: FileType,
        changes: Vec<Change>,
    ) -> Option<Self> {
        (!changes.is_empty()).then_some(Self {
            path,
            file_type,
            kind: DifferenceKind::Changed(changes),
        })
    }

    /// How many things differ: one, or as many as attributes changed.
    #[must_use]
    pub fn count(&self) -> u64 {
        match &self.kind {
            DifferenceKind::Changed(changes) => changes.len() as u64,
            DifferenceKind::Missing { .. } | DifferenceKind::Added => 1,
        }
    }

    /// The same, with the sides changed.
    #[must_use]
    pub fn reversed(self) -> Self {
        let mut file_type = self.file_type;
        let kind = match self.kind {
            DifferenceKind::Missing { .. } => DifferenceKind::Added,
            DifferenceKind::Added => DifferenceKind::Missing {
                absence: Absence::Missing,
                link_to: None,
            },
            DifferenceKind::Changed(changes) => {
                if let [Change::Type(modes), ..] = &*changes {
                    file_type = modes.found.file_type();
                }
                DifferenceKind::Changed(changes.into_iter().map(Change::reversed).collect())
            }
        };
        Self {
            path: self.path,
            file_type,
            kind,
        }
    }
}

impl Change {
    /// Which attribute it is.
    #[must_use]
    pub const fn attribute(&self) -> Attribute {
        match self {
            Self::Type(_) => Attribute::Type,
            Self::Mode(_) => Attribute::Mode,
            Self::Uid(_) => Attribute::Uid,
            Self::Gid(_) => Attribute::Gid,
            Self::Mtime(_) => Attribute::Mtime,
            Self::Xattr { .. } => Attribute::Xattr,
            Self::Size(_) => Attribute::Size,
            Self::Digest(_) | Self::Chunks(_) | Self::NoDigest => Attribute::Content,
            Self::Target(_) => Attribute::Target,
            Self::Device(_) => Attribute::Device,
            Self::Links(_) => Attribute::Links,
            Self::Whiteout(_) | Self::Opaque(_) => Attribute::Whiteout,
        }
    }

    /// The same, with the sides changed.
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            Self::Type(sides) => Self::Type(sides.reversed()),
            Self::Mode(sides) => Self::Mode(sides.reversed()),
            Self::Uid(sides) => Self::Uid(sides.reversed()),
            Self::Gid(sides) => Self::Gid(sides.reversed()),
            Self::Mtime(sides) => Self::Mtime(sides.reversed()),
            Self::Xattr { name, values } => Self::Xattr {
                name,
                values: values.reversed(),
            },
            Self::Size(sides) => Self::Size(sides.reversed()),
            Self::Digest(sides) => Self::Digest(sides.reversed()),
            Self::Chunks(chunks) => Self::Chunks(chunks),
            Self::NoDigest => Self::NoDigest,
            Self::Target(sides) => Self::Target(sides.reversed()),
            Self::Device(sides) => Self::Device(sides.reversed()),
            Self::Links(sides) => Self::Links(sides.reversed()),
            Self::Whiteout(sides) => Self::Whiteout(sides.reversed()),
            Self::Opaque(sides) => Self::Opaque(sides.reversed()),
        }
    }
}
