//! Making, moving and removing the names of one directory.
//!
//! Every name is a single one: the calls for these have no flag against links
//! on the way, so there must be no way.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::root::RootDir;

impl RootDir {
    /// Makes a directory that only its owner can use.
    ///
    /// # Errors
    /// As mkdirat(2).
    pub fn make_directory(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::mkdirat(self, single(name)?, Mode::RWXU)?)
    }

    /// Makes a symlink.
    ///
    /// # Errors
    /// As symlinkat(2).
    pub fn make_symlink(&self, target: &[u8], name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::symlinkat(target, self, single(name)?)?)
    }

    /// Makes a pipe, a socket or a device with this major and minor number,
    /// that only its owner can use; `st_mode` tells which.
    ///
    /// # Errors
    /// As mknodat(2): `EPERM` for a device without `CAP_MKNOD`.
    pub fn make_node(&self, name: &OsStr, st_mode: u32, device: (u32, u32)) -> io::Result<()> {
        Ok(rustix::fs::mknodat(
            self,
            single(name)?,
            FileType::from_raw_mode(st_mode),
            Mode::RUSR | Mode::WUSR,
            rustix::fs::makedev(device.0, device.1),
        )?)
    }

    /// Makes a regular file in this directory that has no name yet, and goes
    /// away when it is closed without one. It has these permissions, less the
    /// umask.
    ///
    /// # Errors
    /// As open(2) with `O_TMPFILE`, which not every filesystem has; see
    /// [`has_no_unnamed`].
    pub fn make_unnamed_file(&self, permissions: u32) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(permissions);
        let file = rustix::fs::openat(self, ".", flags, mode)?;
        Ok(File::from(file))
    }

    /// Makes a regular file that nobody else can open.
    ///
    /// # Errors
    /// As open(2); `EEXIST` when there is something of this name.
    pub fn make_file(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = rustix::fs::openat(self, single(name)?, flags, mode)?;
        Ok(File::from(file))
    }

    /// Gives a file that is open or held one more name, its first maybe.
    ///
    /// # Errors
    /// As linkat(2); `EEXIST` when there is something of this name.
    pub fn link(&self, file: impl AsFd, name: &OsStr) -> io::Result<()> {
        // AT_EMPTY_PATH would need a capability.
        let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
        let flags = AtFlags::SYMLINK_FOLLOW;
        Ok(rustix::fs::linkat(CWD, &*path, self, single(name)?, flags)?)
    }

    /// Gives a file another name in this directory, whatever had that name
    /// before; does nothing when it is the same file.
    ///
    /// # Errors
    /// As renameat(2).
    pub fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::renameat(
            self,
            single(from)?,
            self,
            single(to)?,
        )?)
    }

    /// Removes a name that is not that of a directory.
    ///
    /// # Errors
    /// As unlinkat(2); `EISDIR` for a directory.
    pub fn remove_file(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(self, single(name)?, AtFlags::empty())?)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// As unlinkat(2); `ENOTEMPTY` when there is something in it.
    pub fn remove_directory(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(
            self,
            single(name)?,
            AtFlags::REMOVEDIR,
        )?)
    }

    /// Locks it against whoever asks for the same lock; `false` when another
    /// process has it. The lock goes when the directory is closed.
    ///
    /// # Errors
    /// As flock(2).
    pub fn lock(&self) -> io::Result<bool> {
        match rustix::fs::flock(self, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until its names are on the disk.
    ///
    /// # Errors
    /// As fsync(2).
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(self)?)
    }
}

/// Whether an error of [`RootDir::make_unnamed_file`] is that the filesystem
/// has no such files.
#[must_use]
pub fn has_no_unnamed(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT)
    )
}

fn single(name: &OsStr) -> io::Result<&OsStr> {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/') {
        return Err(Errno::INVAL.into());
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn takes_no_way_to_a_name() {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir(scratch.path().join("d")).unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        for name in ["", ".", "..", "d/x", "/x"] {
            let name = OsStr::new(name);
            let refused = root.make_directory(name).unwrap_err();
            assert_eq!(Errno::from_io_error(&refused), Some(Errno::INVAL));
            assert!(root.make_file(name).is_err());
            assert!(root.remove_file(name).is_err());
        }
    }

    #[test]
    fn a_file_gets_its_name_last() {
        let scratch = tempfile::tempdir().unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        let file = root.make_unnamed_file(0o600).unwrap();
        assert!(root.names().unwrap().is_empty());
        root.link(&file, OsStr::new("a")).unwrap();
        root.link(&file, OsStr::new("b")).unwrap();
        // Two names of one file: both stay.
        root.rename(OsStr::new("a"), OsStr::new("b")).unwrap();
        assert_eq!(root.names().unwrap().len(), 2);
        assert!(root.lock().unwrap());
        let other = RootDir::open(scratch.path()).unwrap();
        assert!(!other.lock().unwrap());
    }
}
