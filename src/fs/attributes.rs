//! What stat(2) and statfs(2) say.

use crate::inode::Ino;
use crate::manifest::Timestamp;
use crate::mode::FileType;

/// What stat(2) says of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Inode number.
    pub ino: Ino,
    /// Size in bytes; of a symlink the length of its target.
    pub size: u64,
    /// Size in blocks of 512 bytes.
    pub blocks: u64,
    /// All three times: nothing here was ever read or changed at another.
    pub time: Timestamp,
    /// Kind of file.
    pub file_type: FileType,
    /// The twelve permission bits.
    pub permissions: u16,
    /// Number of links.
    pub links: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Number of a device, as the kernel encodes it.
    pub rdev: u32,
}

impl Attributes {
    /// Preferred size of reads, in bytes.
    pub const BLOCK_SIZE: u32 = 4096;
}

/// What statfs(2) says of the filesystem. Nothing is free, for nothing can be
/// added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statfs {
    /// Size of the filesystem, in blocks of [`Attributes::BLOCK_SIZE`].
    pub blocks: u64,
    /// Number of inodes.
    pub files: u64,
}

impl Statfs {
    /// Longest name, in bytes. FUSE servers that say otherwise make overlayfs
    /// misbehave on top of them.
    pub const NAME_MAX: u32 = crate::path::NAME_MAX as u32;
}
