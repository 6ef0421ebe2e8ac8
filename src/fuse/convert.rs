//! Our types as fuser's.

use std::time::{Duration, SystemTime};

use crate::fs::Attributes;
use crate::inode::Ino;
use crate::manifest::Timestamp;
use crate::mode::FileType;
use crate::sys::Errno;

/// How long the kernel may keep what it was told: for ever, since a mounted
/// manifest never changes.
pub(super) const FOR_EVER: Duration = Duration::from_secs(1 << 40);

/// Inodes are never reused.
pub(super) const GENERATION: fuser::Generation = fuser::Generation(0);

pub(super) const fn ino(number: fuser::INodeNo) -> Ino {
    Ino(number.0)
}

pub(super) fn errno(errno: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno.raw_os_error())
}

pub(super) const fn file_type(file_type: FileType) -> fuser::FileType {
    match file_type {
        FileType::Regular => fuser::FileType::RegularFile,
        FileType::Directory => fuser::FileType::Directory,
        FileType::Symlink => fuser::FileType::Symlink,
        FileType::Fifo => fuser::FileType::NamedPipe,
        FileType::CharDevice => fuser::FileType::CharDevice,
        FileType::BlockDevice => fuser::FileType::BlockDevice,
        FileType::Socket => fuser::FileType::Socket,
    }
}

pub(super) fn attributes(attributes: &Attributes) -> fuser::FileAttr {
    let time = time(attributes.time);
    fuser::FileAttr {
        ino: fuser::INodeNo(attributes.ino.0),
        size: attributes.size,
        blocks: attributes.blocks,
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: file_type(attributes.file_type),
        perm: attributes.permissions,
        nlink: attributes.links,
        uid: attributes.uid,
        gid: attributes.gid,
        rdev: attributes.rdev,
        blksize: Attributes::BLOCK_SIZE,
        flags: 0,
    }
}

/// The entry of a name that is not there: number 0, to be remembered as long as
/// the others.
pub(super) const NO_ENTRY: fuser::FileAttr = fuser::FileAttr {
    ino: fuser::INodeNo(0),
    size: 0,
    blocks: 0,
    atime: SystemTime::UNIX_EPOCH,
    mtime: SystemTime::UNIX_EPOCH,
    ctime: SystemTime::UNIX_EPOCH,
    crtime: SystemTime::UNIX_EPOCH,
    kind: fuser::FileType::RegularFile,
    perm: 0,
    nlink: 0,
    uid: 0,
    gid: 0,
    rdev: 0,
    blksize: 0,
    flags: 0,
};

fn time(time: Timestamp) -> SystemTime {
    let seconds = Duration::from_secs(time.seconds().unsigned_abs());
    let whole = if time.seconds() < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(seconds)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(seconds)
    };
    whole
        .and_then(|whole| whole.checked_add(Duration::from_nanos(u64::from(time.nanoseconds()))))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_count_backwards() {
        let shown = time(Timestamp::new(-2, 800_000_000).unwrap());
        let before = SystemTime::UNIX_EPOCH.duration_since(shown).unwrap();
        assert_eq!(before, Duration::from_millis(1200));
        for seconds in [i64::MIN, i64::MAX] {
            time(Timestamp::new(seconds, 999_999_999).unwrap());
        }
    }
}
