//! What stat(2) says of a file.

use std::io;
use std::os::fd::AsFd;

/// The fields of `struct stat` that a manifest can declare, and those that tell
/// one file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// File type and permissions.
    pub st_mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Device number that the file stands for: major and minor.
    pub rdev: (u32, u32),
    /// The filesystem it is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// How many names it has.
    pub links: u64,
    /// Last change of the content: seconds and nanoseconds.
    pub mtime: (i64, u32),
    /// Last change of the inode: seconds and nanoseconds.
    pub ctime: (i64, u32),
}

impl Stat {
    /// What fstat(2) says of an open file.
    ///
    /// # Errors
    /// As fstat(2).
    pub fn of(file: impl AsFd) -> io::Result<Self> {
        Ok(rustix::fs::fstat(file)?.into())
    }

    /// Whether two files are the same one, by device and inode number.
    #[must_use]
    pub const fn is_same_file(&self, other: &Self) -> bool {
        self.device == other.device && self.inode == other.inode
    }

    /// Whether the content can have changed between two looks.
    #[must_use]
    pub fn is_unchanged(&self, before: &Self) -> bool {
        self.is_same_file(before)
            && (self.size, self.mtime, self.ctime) == (before.size, before.mtime, before.ctime)
    }
}

impl From<rustix::fs::Stat> for Stat {
    fn from(stat: rustix::fs::Stat) -> Self {
        Self {
            st_mode: stat.st_mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            rdev: (
                rustix::fs::major(stat.st_rdev),
                rustix::fs::minor(stat.st_rdev),
            ),
            device: stat.st_dev,
            inode: stat.st_ino,
            #[allow(clippy::useless_conversion)] // 32 bits on some machines
            links: stat.st_nlink.into(),
            mtime: (stat.st_mtime, nanoseconds(stat.st_mtime_nsec)),
            ctime: (stat.st_ctime, nanoseconds(stat.st_ctime_nsec)),
        }
    }
}

fn nanoseconds(value: impl TryInto<u32>) -> u32 {
    value.try_into().unwrap_or(0)
}
