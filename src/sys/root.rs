//! A directory below which files are opened, and nothing outside of it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, RawDir, ResolveFlags, SeekFrom};
use rustix::io::Errno;

use super::handle::Handle;
use super::stat::Stat;

/// An open directory. All paths are relative to it and cannot leave it.
#[derive(Debug)]
pub struct RootDir {
    descriptor: OwnedFd,
    /// How paths below it are resolved.
    resolve: ResolveFlags,
}

const INSIDE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);

/// Waits for nothing, and is nobody's terminal.
const READING: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::NOFOLLOW);

/// How many bytes of a directory are read at once; what glibc takes.
const LISTING_BUFFER: usize = 32 << 10;

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: OsString,
    /// What it named when the directory was read.
    pub kind: EntryKind,
}

/// What a directory says of a name in it (`d_type` of getdents64(2)). It may be
/// something else by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// Anything else, or the filesystem does not say.
    Other,
}

impl EntryKind {
    const fn of(file_type: FileType) -> Self {
        match file_type {
            FileType::RegularFile => Self::Regular,
            FileType::Directory => Self::Directory,
            _ => Self::Other,
        }
    }
}

/// How often opening is tried again when the kernel says so.
const RETRIES: u32 = 100;

impl RootDir {
    /// Opens a directory by any path, following links to it.
    ///
    /// # Errors
    /// As open(2); `ENOTDIR` when it is no directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            descriptor: rustix::fs::open(path, flags, Mode::empty())?,
            resolve: INSIDE,
        })
    }

    /// The directory that another process opened like this.
    #[must_use]
    pub const fn from_descriptor(descriptor: OwnedFd) -> Self {
        Self {
            descriptor,
            resolve: INSIDE,
        }
    }

    /// The same directory, and below it only what is on its own mount: what
    /// leads into another is `EXDEV`.
    #[must_use]
    pub fn without_mounts(self) -> Self {
        Self {
            resolve: self.resolve | ResolveFlags::NO_XDEV,
            ..self
        }
    }

    /// Opens a file for reading, without waiting: a FIFO or a device that took
    /// its place is opened too, but has not been read, and the caller must look
    /// at its type.
    ///
    /// # Errors
    /// As openat2(2): `ELOOP` for a symlink anywhere in the path, `EXDEV` for
    /// a path that leads out.
    pub fn open_file(&self, relative: &OsStr) -> io::Result<File> {
        self.open_inside(relative, READING).map(File::from)
    }

    /// The same for a name that the directory said is a regular file: where
    /// something is mounted on it, which may be a device, it is not opened.
    ///
    /// # Errors
    /// As [`Self::open_file`]; `EXDEV` also for what is mounted there.
    pub fn open_listed(&self, name: &OsStr) -> io::Result<File> {
        self.open_resolved(name, READING, self.resolve | ResolveFlags::NO_XDEV)
            .map(File::from)
    }

    /// Opens a directory below this one.
    ///
    /// # Errors
    /// As openat2(2); `ENOTDIR` when it is no directory.
    pub fn open_directory(&self, relative: &OsStr) -> io::Result<Self> {
        self.open_inside(
            relative,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW,
        )
        .map(|descriptor| Self {
            descriptor,
            resolve: self.resolve,
        })
    }

    /// Holds a file of any kind below this directory without opening it; the
    /// link itself where its last component is a symlink.
    ///
    /// # Errors
    /// As openat2(2): `ELOOP` for a symlink before the last component.
    pub fn handle(&self, relative: &OsStr) -> io::Result<Handle> {
        self.open_inside(relative, OFlags::PATH | OFlags::NOFOLLOW)
            .map(Handle::new)
    }

    /// What stat(2) says of a path below this directory; of the link itself
    /// where its last component is a symlink.
    ///
    /// # Errors
    /// As openat2(2).
    pub fn stat(&self, relative: &OsStr) -> io::Result<Stat> {
        self.handle(relative)?.stat()
    }

    /// The names in this directory, without `.` and `..`, in no order, and what
    /// each of them was just now.
    ///
    /// # Errors
    /// As getdents64(2).
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        self.for_each_entry(|name, kind| {
            let name = name.to_owned();
            entries.push(Entry { name, kind });
        })?;
        Ok(entries)
    }

    /// Tells them one by one.
    ///
    /// # Errors
    /// As getdents64(2).
    pub fn for_each_entry(&self, mut tell: impl FnMut(&OsStr, EntryKind)) -> io::Result<()> {
        // It may have been listed before.
        rustix::fs::seek(&self.descriptor, SeekFrom::Start(0))?;
        let mut buffer = Vec::with_capacity(LISTING_BUFFER);
        let mut listing = RawDir::new(&self.descriptor, buffer.spare_capacity_mut());
        while let Some(entry) = listing.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                tell(OsStr::from_bytes(name), EntryKind::of(entry.file_type()));
            }
        }
        Ok(())
    }

    /// The names alone.
    ///
    /// # Errors
    /// As getdents64(2).
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let entries = self.entries()?.into_iter();
        Ok(entries.map(|entry| entry.name).collect())
    }

    fn open_inside(&self, relative: &OsStr, flags: OFlags) -> io::Result<OwnedFd> {
        self.open_resolved(relative, flags, self.resolve)
    }

    fn open_resolved(
        &self,
        relative: &OsStr,
        flags: OFlags,
        mut resolve: ResolveFlags,
    ) -> io::Result<OwnedFd> {
        let mut again = RETRIES;
        if is_name(relative) {
            // It leads nowhere else anyway, and the kernel takes a lock of the
            // whole system to make sure (`path_is_under` in fs/namespace.c).
            resolve -= ResolveFlags::BENEATH;
        }
        loop {
            let opened = rustix::fs::openat2(
                &self.descriptor,
                relative,
                flags | OFlags::CLOEXEC,
                Mode::empty(),
                resolve,
            );
            match opened {
                Err(Errno::INTR) => {}
                // Something was renamed while the kernel looked (openat2(2),
                // RESOLVE_BENEATH), or somebody holds a lease on the file.
                Err(Errno::AGAIN) if again > 0 => again -= 1,
                other => return Ok(other?),
            }
        }
    }
}

/// Whether a path is the name of something in the directory itself.
fn is_name(relative: &OsStr) -> bool {
    let bytes = relative.as_bytes();
    !bytes.contains(&b'/') && bytes != b".."
}

impl AsFd for RootDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::CWD;
    use std::fs;

    fn errno(error: &io::Error) -> Option<Errno> {
        Errno::from_io_error(error)
    }

    #[test]
    fn nothing_leads_out_and_nothing_waits() {
        let scratch = tempfile::tempdir().unwrap();
        let outside = scratch.path().join("outside");
        fs::write(&outside, "secret").unwrap();
        let inside = scratch.path().join("root");
        fs::create_dir_all(inside.join("dir")).unwrap();
        fs::write(inside.join("dir/file"), "content").unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("absolute")).unwrap();
        std::os::unix::fs::symlink("../outside", inside.join("relative")).unwrap();
        std::os::unix::fs::symlink("dir", inside.join("inner")).unwrap();
        rustix::fs::mknodat(
            CWD,
            inside.join("fifo"),
            rustix::fs::FileType::Fifo,
            Mode::RUSR,
            0,
        )
        .unwrap();

        let root = RootDir::open(&inside).unwrap();
        let content = io::read_to_string(root.open_file(OsStr::new("dir/file")).unwrap());
        assert_eq!(content.unwrap(), "content");
        for (path, expected) in [
            ("absolute", Errno::LOOP),
            ("relative", Errno::LOOP),
            ("inner/file", Errno::LOOP),
            ("../outside", Errno::XDEV),
            ("..", Errno::XDEV),
            ("/etc/hostname", Errno::XDEV),
            ("missing", Errno::NOENT),
        ] {
            let error = root.open_file(OsStr::new(path)).unwrap_err();
            assert_eq!(errno(&error), Some(expected), "{path}");
        }
        // It would wait for ever without O_NONBLOCK.
        root.open_file(OsStr::new("fifo")).unwrap();
    }
}
