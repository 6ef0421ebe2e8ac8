//! Why a manifest is refused.

use std::fmt;

use thiserror::Error;

use crate::digest::DigestError;
use crate::escape::Escaped;
use crate::mode::{FileType, ModeError};
use crate::path::{ManifestPath, PathError};

use super::record::Section;
use super::wire::WireError;

/// Why a manifest is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ManifestError {
    /// The bytes are no protobuf message.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The manifest asks for something that this program does not know.
    #[error("manifest requires feature {:?}, which this version does not know", Escaped(.0.as_bytes()))]
    Feature(String),
    /// There are more resources than the limit.
    #[error("manifest has more than {0} resources")]
    Count(u64),
    /// A resource breaks a rule of the format.
    #[error("{0}: {1}")]
    Resource(Place, #[source] Rule),
    /// Resources do not make a tree together.
    #[error("path {0:?}: {1}")]
    Tree(ManifestPath, #[source] Rule),
}

/// Why a manifest could not be shown.
#[derive(Debug, Error)]
pub enum PrintError {
    /// The bytes are no protobuf message; nothing was written.
    #[error(transparent)]
    Manifest(#[from] WireError),
    /// It could not be written.
    #[error("cannot write")]
    Output(#[from] std::io::Error),
}

/// Why text is no text form of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {cause}")]
pub struct TextError {
    /// Number of the line, from 1.
    pub line: usize,
    /// What is wrong.
    #[source]
    pub cause: TextCause,
}

/// What is wrong with text.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TextCause {
    /// A character that nothing begins with.
    #[error("neither a name nor a value begins here")]
    Token,
    /// A string without an end.
    #[error("a string does not end on its line")]
    OpenString,
    /// A backslash in a string, and nothing that can follow it.
    #[error("a string has an escape that is none")]
    Escape,
    /// A message without an end.
    #[error("a message does not end")]
    OpenMessage,
    /// Something other than a name or a number of a field.
    #[error("expected the name or the number of a field")]
    Name,
    /// A name that no field has here.
    #[error("no field is named {:?} here", Escaped(.0.as_bytes()))]
    Unknown(String),
    /// A field once more that a message has once.
    #[error("a message has {0:?} only once, and this is the second")]
    Twice(&'static str),
    /// No colon behind a name.
    #[error("expected a colon")]
    Colon,
    /// No value of the kind that the field has.
    #[error("this is no value of its field")]
    Value,
    /// Messages nested deeper than any reader takes.
    #[error("messages are nested too deep")]
    Depth,
    /// What it says is no manifest.
    #[error("what the text says is no manifest: {0}")]
    Wire(#[from] WireError),
}

/// Which resource of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The list that it stands in.
    pub section: Section,
    /// Its number in that list, from 0.
    pub index: u64,
    /// Where it begins, in bytes.
    pub offset: usize,
    /// Its first path, which may be no good path.
    pub path: Option<Box<[u8]>>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.section {
            Section::Resource => write!(f, "resource {}", self.index)?,
            Section::Root => f.write_str("root")?,
            Section::Special => write!(f, "special resource {}", self.index)?,
        }
        if let Some(path) = &self.path {
            write!(f, " {:?}", Escaped(path))?;
        }
        write!(f, " at byte {}", self.offset)
    }
}

/// A rule of the format that a resource breaks.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Rule {
    /// There is no path.
    #[error("it has no path")]
    NoPath,
    /// A path is not as it must be.
    #[error("{0}")]
    Path(#[from] PathError),
    /// Both `path` and `raw_path`.
    #[error("it has paths of both forms, or raw paths outside of the special resources")]
    MixedPaths,
    /// More directories in each other than the limit.
    #[error("path is {found} levels deep, more than {limit}")]
    Depth {
        /// Levels of the path.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// The same path twice in one resource.
    #[error("path {:?} stands in it twice", Escaped(.0))]
    RepeatedPath(Box<[u8]>),
    /// The same path in two resources.
    #[error("it stands in two resources")]
    DuplicatePath,
    /// A path leads through something that is no directory.
    #[error("its parent {:?} is a {file_type}, not a directory", Escaped(.parent))]
    ParentNotDirectory {
        /// The path of the parent.
        parent: Box<[u8]>,
        /// What the parent is.
        file_type: FileType,
    },
    /// More names than a real tree has in a manifest of this size.
    #[error(
        "with it, the names in this manifest would take more than the {0} bytes of memory that one of its size may"
    )]
    Crowded(u64),
    /// Names and paths together are more than this program can count.
    #[error("there are too many names, or they are too long together")]
    Capacity,
    /// More hard links than the limit.
    #[error("it has more than {0} paths")]
    Links(usize),
    /// Something that cannot have hard links has several paths.
    #[error("a directory cannot have several paths")]
    DirectoryLinks,
    /// The root is no directory.
    #[error("the root is a {0}, not a directory")]
    RootType(FileType),
    /// The root is declared twice.
    #[error("the root is declared twice")]
    SecondRoot,
    /// The mode is none.
    #[error("{0}")]
    Mode(#[from] ModeError),
    /// The mode does not fit 32 bits.
    #[error("mode {0:#x} does not fit 32 bits")]
    WideMode(u64),
    /// An owner that Linux cannot have.
    #[error("{which} {value} is not in the range 0 to 4294967294")]
    Owner {
        /// `uid` or `gid`.
        which: &'static str,
        /// The value.
        value: i64,
    },
    /// A size that no file can have.
    #[error("size {0} is more than 9223372036854775807")]
    Size(u64),
    /// A digest by an algorithm that we know is not well-formed.
    #[error("{0}")]
    Digest(DigestError),
    /// More digests than the limit.
    #[error("it has more than {0} digests")]
    Digests(usize),
    /// A link target that no symlink can have.
    #[error("symlink target has {0} bytes; it must have 1 to 4095, and no NUL")]
    Target(usize),
    /// A device number that Linux cannot have.
    #[error("device number {major}:{minor} is out of range (12 and 20 bits)")]
    Device {
        /// Major number.
        major: u64,
        /// Minor number.
        minor: u64,
    },
    /// The name of an extended attribute is none.
    #[error("name of extended attribute {:?} is empty, longer than 255 bytes or has a NUL", Escaped(.0))]
    XattrName(Box<[u8]>),
    /// The value of an extended attribute is too long.
    #[error("extended attribute {:?} has a value of {length} bytes, more than 65536", Escaped(.name))]
    XattrValue {
        /// Its name.
        name: Box<[u8]>,
        /// Length of its value, in bytes.
        length: usize,
    },
    /// The names of the extended attributes are too long together.
    #[error("names of the extended attributes take more than 65536 bytes")]
    XattrList,
    /// An extended attribute stands twice.
    #[error("extended attribute {:?} stands in it twice", Escaped(.0))]
    RepeatedXattr(Box<[u8]>),
    /// A part of the extension does not parse.
    #[error("its extension: {0}")]
    Extension(WireError),
    /// A time with a second's worth of nanoseconds, or more.
    #[error("time has {0} nanoseconds, more than 999999999")]
    Nanoseconds(u64),
    /// An alternate data stream has content, and the digest of another.
    #[error("alternate data stream {:?} has a digest that is not the one of its data", Escaped(.0))]
    Stream(Box<[u8]>),
    /// The chunk table does not fit the file.
    #[error("its chunk table does not fit its size: {0}")]
    Chunks(&'static str),
}
