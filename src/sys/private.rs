//! Files without names, which nobody but this process can reach.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{CWD, FallocateFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use thiserror::Error;

use super::file;
use super::stat::Stat;

/// What statfs(2) says of a FUSE filesystem, of which somebody else may say
/// what its files hold (linux/magic.h).
const FUSE_MAGIC: u64 = 0x6573_5546;

/// A directory that only we, or root, can write to.
#[derive(Debug)]
pub struct PrivateDirectory(OwnedFd);

/// Why a directory is none to keep private files in.
#[derive(Debug, Error)]
pub enum PrivateDirectoryError {
    /// It cannot be opened.
    #[error("cannot open it: {0}")]
    Open(#[source] io::Error),
    /// It is not ours.
    #[error("it belongs to user {0}; it must belong to root or to who mounts")]
    Owner(u32),
    /// Others can write to it.
    #[error("its mode is {0:o}; only its owner may be able to write to it")]
    Mode(u32),
    /// Somebody's program serves it.
    #[error("it lies on a FUSE filesystem, whose server could change what is kept there")]
    Fuse,
    /// No file can be made there.
    #[error("cannot make files without names in it (O_TMPFILE): {0}")]
    Create(#[source] io::Error),
}

impl PrivateDirectory {
    /// Opens a directory, and makes sure that it is one to keep private files
    /// in.
    ///
    /// # Errors
    /// See [`PrivateDirectoryError`].
    pub fn open(path: &Path) -> Result<Self, PrivateDirectoryError> {
        use PrivateDirectoryError as E;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |path| rustix::fs::open(path, flags, Mode::empty());
        let directory = open(path).map_err(|error| E::Open(error.into()))?;
        let stat = Stat::of(&directory).map_err(E::Open)?;
        if stat.uid != 0 && stat.uid != super::process::user().0 {
            return Err(E::Owner(stat.uid));
        }
        // With an ACL the bits of the group are its mask (acl(5)).
        if stat.st_mode & 0o022 != 0 {
            return Err(E::Mode(stat.st_mode & 0o7777));
        }
        let filesystem = rustix::fs::fstatfs(&directory).map_err(|error| E::Open(error.into()))?;
        if filesystem.f_type as u64 == FUSE_MAGIC {
            return Err(E::Fuse);
        }
        let directory = Self(directory);
        directory.create().map_err(E::Create)?;
        Ok(directory)
    }

    /// A new file, open for reading and writing. It has no name and can get
    /// none, so it is gone with its last descriptor, however this process ends.
    ///
    /// # Errors
    /// As open(2) with `O_TMPFILE`.
    pub fn create(&self) -> io::Result<PrivateFile> {
        let flags = OFlags::TMPFILE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        // The form of open(2) that a confined process has.
        let file = rustix::fs::openat2(&self.0, ".", flags, mode, ResolveFlags::empty())?;
        Ok(PrivateFile(file.into()))
    }
}

impl AsFd for PrivateDirectory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A file without a name that can still be written to, by its owner alone.
#[derive(Debug)]
pub struct PrivateFile(File);

impl PrivateFile {
    /// Makes it a file of `size` bytes, and makes room for them, so that a full
    /// filesystem shows before the work and not in its midst.
    ///
    /// # Errors
    /// As ftruncate(2) and fallocate(2). That the filesystem cannot make room is
    /// none.
    pub fn reserve(&self, size: u64) -> io::Result<()> {
        self.0.set_len(size)?;
        if size == 0 {
            return Ok(());
        }
        match rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, size) {
            Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// As pwrite(2).
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    /// Fills `buffer` from `offset` on, as far as there is something.
    ///
    /// # Errors
    /// As pread(2).
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        file::read_full_at(&self.0, buffer, offset)
    }

    /// Its size in bytes.
    ///
    /// # Errors
    /// As fstat(2).
    pub fn size(&self) -> io::Result<u64> {
        Ok(Stat::of(&self.0)?.size)
    }

    /// Gives up the right to write to it. When this returns nobody has it.
    ///
    /// # Errors
    /// As open(2), or without `/proc`.
    pub fn seal(self) -> io::Result<SealedFile> {
        let path = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let (mode, resolve) = (Mode::empty(), ResolveFlags::empty());
        Ok(SealedFile(rustix::fs::openat2(
            CWD, path, flags, mode, resolve,
        )?))
    }
}

impl AsFd for PrivateFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A file without a name that can be read, and that nobody can write to.
#[derive(Debug)]
pub struct SealedFile(OwnedFd);

impl AsFd for SealedFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, chown};

    fn directory() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        directory
    }

    #[test]
    fn a_sealed_file_is_read_only_and_has_no_name() {
        let scratch = directory();
        let private = PrivateDirectory::open(scratch.path()).unwrap();
        let file = private.create().unwrap();
        file.reserve(7).unwrap();
        file.write_at(b"content", 0).unwrap();
        assert_eq!(file.size().unwrap(), 7);
        let stat = Stat::of(&file).unwrap();
        assert_eq!((stat.st_mode & 0o7777, stat.links), (0o600, 0));
        let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
        // O_EXCL: not even by linkat(2).
        let name = scratch.path().join("name");
        rustix::fs::linkat(
            rustix::fs::CWD,
            &path,
            rustix::fs::CWD,
            &name,
            rustix::fs::AtFlags::SYMLINK_FOLLOW,
        )
        .unwrap_err();
        let sealed = File::from(file.seal().unwrap().0);
        assert!(sealed.write_at(b"C", 0).is_err());
        let mut content = [0; 9];
        assert_eq!(sealed.read_at(&mut content, 0).unwrap(), 7);
        assert_eq!(&content[..7], b"content");
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_of_others_is_refused() {
        let scratch = directory();
        let set = |mode| {
            fs::set_permissions(scratch.path(), fs::Permissions::from_mode(mode)).unwrap();
        };
        for mode in [0o720, 0o702, 0o1777] {
            set(mode);
            let error = PrivateDirectory::open(scratch.path()).unwrap_err();
            assert!(matches!(error, PrivateDirectoryError::Mode(found) if found == mode));
        }
        set(0o755);
        PrivateDirectory::open(scratch.path()).unwrap();
        chown(scratch.path(), Some(12345), None).unwrap();
        let error = PrivateDirectory::open(scratch.path()).unwrap_err();
        assert!(matches!(error, PrivateDirectoryError::Owner(12345)));
        let file = scratch.path().join("file");
        fs::write(&file, "").unwrap();
        let error = PrivateDirectory::open(&file).unwrap_err();
        assert!(matches!(error, PrivateDirectoryError::Open(_)));
    }
}
