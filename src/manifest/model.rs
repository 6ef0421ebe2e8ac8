//! The values that a manifest declares.

use crate::digest::{Algorithm, Digest};
use crate::mode::{FileMode, FileType};
use crate::path::ManifestPath;

/// A whole manifest in memory, as `build` makes it.
///
/// To serve or check a large one, walk it with [`super::Resources`] instead.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    /// Metadata of `/`, where it is declared.
    pub root: Option<Metadata>,
    /// What is known about the manifest itself.
    pub info: Info,
    /// Everything but the root.
    pub resources: Vec<Resource>,
    /// What is carried along without a meaning here.
    pub carried: HeaderCarried,
}

/// What is known about the manifest itself; never needed to read it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Version of the extensions; 0 where there are none.
    pub version: u32,
    /// The program that wrote it.
    pub generator: String,
    /// Digest of the manifest that this one is a difference to, or empty.
    pub base: String,
}

/// One file of any kind, with all its names.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// At least one path, sorted by bytes; several for hard links.
    pub paths: Vec<ManifestPath>,
    /// What every kind of file has.
    pub metadata: Metadata,
    /// What only this kind of file has.
    pub kind: Kind,
    /// What is carried along without a meaning here.
    pub carried: Option<Box<Carried>>,
}

impl Resource {
    /// Its first path in byte order, by which the manifest is sorted.
    #[must_use]
    pub fn path(&self) -> &ManifestPath {
        static ROOT: std::sync::LazyLock<ManifestPath> =
            std::sync::LazyLock::new(ManifestPath::root);
        self.paths.first().unwrap_or(&ROOT)
    }
}

/// What every kind of file has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Kind of file and permissions.
    pub mode: FileMode,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of the content, where it is declared.
    pub mtime: Option<Timestamp>,
    /// Last change of the inode, where it is declared; never applied.
    pub ctime: Option<Timestamp>,
    /// Extended attributes, sorted by name, each name once.
    pub xattrs: Vec<Xattr>,
    /// Whether this name hides the same one in lower layers.
    pub whiteout: bool,
    /// Whether this directory hides the content of the same one in lower layers.
    pub opaque: bool,
    /// Name of the owner, for information.
    pub user: String,
    /// Name of the group, for information.
    pub group: String,
}

impl Metadata {
    /// Metadata of which nothing but the mode is declared.
    #[must_use]
    pub const fn new(mode: FileMode) -> Self {
        Self {
            mode,
            uid: 0,
            gid: 0,
            mtime: None,
            ctime: None,
            xattrs: Vec::new(),
            whiteout: false,
            opaque: false,
            user: String::new(),
            group: String::new(),
        }
    }
}

/// What only one kind of file has.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Regular file.
    Regular(Content),
    /// Directory.
    Directory,
    /// Symlink, with its target: 1 to 4095 bytes without NUL.
    Symlink(Box<[u8]>),
    /// Named pipe.
    Fifo,
    /// Character device.
    CharDevice(DeviceNumber),
    /// Block device.
    BlockDevice(DeviceNumber),
    /// Unix domain socket.
    Socket,
}

impl Kind {
    /// The kind without what belongs to it.
    #[must_use]
    pub const fn file_type(&self) -> FileType {
        match self {
            Self::Regular(_) => FileType::Regular,
            Self::Directory => FileType::Directory,
            Self::Symlink(_) => FileType::Symlink,
            Self::Fifo => FileType::Fifo,
            Self::CharDevice(_) => FileType::CharDevice,
            Self::BlockDevice(_) => FileType::BlockDevice,
            Self::Socket => FileType::Socket,
        }
    }
}

/// What a regular file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Content {
    /// Size in bytes; fits `i64`.
    pub size: u64,
    /// Digests of the whole by algorithms that we know. Where there is
    /// none, nothing can vouch for the content.
    pub digests: Vec<Digest>,
    /// Digests by algorithms that we do not know, as they were written.
    pub unknown_digests: Vec<String>,
    /// Digests of the parts, where they are declared by an algorithm we know.
    pub chunks: Option<ChunkTable>,
}

/// Digests of the consecutive parts of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkTable {
    /// The algorithm of all of them.
    pub algorithm: Algorithm,
    /// How the file is cut.
    pub chunks: Chunks,
    /// Raw digests, one after the other.
    pub digests: Vec<u8>,
}

/// How a file is cut into chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunks {
    /// All of this many bytes but the last, which may be shorter. Not 0.
    Fixed(u64),
    /// One length for each; none is 0, and they add up to the size of the file.
    Lengths(Vec<u64>),
}

/// Major and minor number of a device, in the range that Linux has: 12 and 20
/// bits (`include/linux/kdev_t.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceNumber {
    major: u32,
    minor: u32,
}

impl DeviceNumber {
    /// `None` when a number is out of range.
    #[must_use]
    pub fn new(major: u64, minor: u64) -> Option<Self> {
        Some(Self {
            major: u32::try_from(major).ok().filter(|major| *major < 1 << 12)?,
            minor: u32::try_from(minor).ok().filter(|minor| *minor < 1 << 20)?,
        })
    }

    /// The major number.
    #[must_use]
    pub const fn major(self) -> u32 {
        self.major
    }

    /// The minor number.
    #[must_use]
    pub const fn minor(self) -> u32 {
        self.minor
    }

    /// As the kernel encodes it in 32 bits for user space (`new_encode_dev`).
    #[must_use]
    pub const fn encode(self) -> u32 {
        (self.minor & 0xff) | (self.major << 8) | ((self.minor & !0xff) << 12)
    }

    /// Undoes [`Self::encode`].
    #[must_use]
    pub const fn decode(encoded: u32) -> Self {
        Self {
            major: (encoded & 0xfff00) >> 8,
            minor: (encoded & 0xff) | ((encoded >> 12) & 0xfff00),
        }
    }
}

/// A point in time: seconds since 1970 and the nanoseconds that follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    seconds: i64,
    nanoseconds: u32,
}

impl Timestamp {
    /// `None` unless there are fewer than 1,000,000,000 nanoseconds.
    #[must_use]
    pub const fn new(seconds: i64, nanoseconds: u32) -> Option<Self> {
        if nanoseconds >= 1_000_000_000 {
            return None;
        }
        Some(Self {
            seconds,
            nanoseconds,
        })
    }

    /// Seconds since 1970; negative before.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.seconds
    }

    /// Nanoseconds after [`Self::seconds`].
    #[must_use]
    pub const fn nanoseconds(self) -> u32 {
        self.nanoseconds
    }
}

/// An extended attribute (xattr(7)).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xattr {
    /// Name with its namespace, such as `user.comment`; 1 to 255 bytes.
    pub name: Box<[u8]>,
    /// Value; at most 64 KiB.
    pub value: Box<[u8]>,
}

/// Parts of a resource that have no meaning here but are not lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Field 4, reserved upstream.
    pub user: String,
    /// Field 5, reserved upstream.
    pub group: String,
    /// Alternate data streams.
    pub streams: Vec<AlternateStream>,
    /// Fields that nobody here knows, as they were encoded.
    pub unknown: Vec<u8>,
    /// The same of the extension; and a chunk table by an algorithm that nobody
    /// here knows.
    pub extension: Vec<u8>,
}

/// Parts of a manifest's header that have no meaning here but are not lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderCarried {
    /// Of the root.
    pub root: Carried,
    /// Fields of the info that nobody here knows, as they were encoded.
    pub info: Vec<u8>,
    /// Fields of the manifest that nobody here knows, as they were encoded.
    pub unknown: Vec<u8>,
}

/// An alternate data stream (NTFS, resource forks).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlternateStream {
    /// Name of the stream.
    pub name: String,
    /// Its content, where it is small.
    pub data: Vec<u8>,
    /// The digest of its content, where it is not.
    pub digest: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_have_the_range_of_linux() {
        for (major, minor) in [(0, 0), (1, 3), (8, 1), (511, 256), (4095, 1_048_575)] {
            let number = DeviceNumber::new(major, minor).unwrap();
            assert_eq!(DeviceNumber::decode(number.encode()), number);
        }
        assert_eq!(DeviceNumber::new(1, 3).unwrap().encode(), 0x103);
        assert_eq!(DeviceNumber::new(4096, 0), None);
        assert_eq!(DeviceNumber::new(0, 1 << 20), None);
        assert_eq!(DeviceNumber::new((1 << 32) + 1, 3), None);
    }
}
