//! One file of any kind, held without opening it.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use rustix::fs::{Mode, OFlags};

use super::stat::Stat;
use super::xattr::{self, Xattr, proc_path};

/// A file of any kind, the symlink itself included, held by an `O_PATH`
/// descriptor: whatever is asked is about this one inode, whoever renames or
/// replaces its name meanwhile.
#[derive(Debug)]
pub struct Handle(OwnedFd);

impl Handle {
    pub(super) const fn new(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }

    /// What stat(2) says of it.
    ///
    /// # Errors
    /// As fstat(2).
    pub fn stat(&self) -> io::Result<Stat> {
        Stat::of(&self.0)
    }

    /// Opens this very file for reading, whatever its name leads to by now. The
    /// caller has looked at its type: opening a device can do something.
    ///
    /// # Errors
    /// As open(2); `ENOENT` where there is no `/proc`.
    pub fn open(&self) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let path = proc_path(&self.0);
        Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
    }

    /// Its extended attributes, in no order.
    ///
    /// # Errors
    /// As [`xattr::of`].
    pub fn xattrs(&self) -> io::Result<Vec<Xattr>> {
        xattr::of(&self.0)
    }

    /// The target of a symlink.
    ///
    /// # Errors
    /// As readlinkat(2); `ENOENT` when it is no symlink.
    pub fn read_link(&self) -> io::Result<OsString> {
        // An empty name means the descriptor itself (readlinkat(2)).
        let target = rustix::fs::readlinkat(&self.0, "", Vec::new())?;
        Ok(OsString::from_vec(target.into_bytes()))
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::{fs, os::unix::fs::symlink};

    use super::super::RootDir;

    #[test]
    fn stays_with_its_inode() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("link");
        symlink("first", &path).unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        let handle = root.handle(OsStr::new("link")).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "now a file").unwrap();
        assert_eq!(handle.read_link().unwrap(), "first");
        assert_eq!(handle.stat().unwrap().st_mode & 0o170_000, 0o120_000);
        assert_eq!(handle.xattrs().unwrap(), []);
    }

    #[test]
    fn has_the_attributes_of_a_file() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("file");
        fs::write(&path, "").unwrap();
        let value = vec![7; 3000];
        rustix::fs::setxattr(&path, "user.k", &value, rustix::fs::XattrFlags::empty()).unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        let handle = root.handle(OsStr::new("file")).unwrap();
        assert_eq!(handle.xattrs().unwrap(), [(b"user.k".to_vec(), value)]);
    }

    #[test]
    fn opens_what_it_holds_and_not_what_took_its_name() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("file");
        fs::write(&path, "held").unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        let handle = root.handle(OsStr::new("file")).unwrap();
        fs::rename(&path, scratch.path().join("other")).unwrap();
        fs::write(&path, "new").unwrap();
        let content = std::io::read_to_string(handle.open().unwrap());
        assert_eq!(content.unwrap(), "held");
    }
}
