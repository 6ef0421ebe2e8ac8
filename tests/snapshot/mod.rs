//! What the system's calls say of every file below a directory.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::mem::MaybeUninit;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, RawDir};

/// By path below the directory; that itself has the empty path.
pub type Snapshot = BTreeMap<PathBuf, Seen>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub ino: u64,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub nlink: u64,
    pub rdev: u64,
    /// Of regular files and symlinks; filesystems differ in others.
    pub size: Option<u64>,
    pub blocks: u64,
    pub mtime: (i64, i64),
    pub target: Option<PathBuf>,
    pub xattrs: Xattrs,
}

pub type Xattrs = BTreeMap<OsString, Vec<u8>>;

impl Seen {
    pub fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }
}

/// Walks all of it. That `.`, `..`, inode numbers and kinds in directories are
/// right is asserted on the way.
pub fn snapshot(root: &Path) -> Snapshot {
    let mut found = Snapshot::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(relative) = todo.pop() {
        let path = root.join(&relative);
        let seen = look(&path);
        if seen.file_type() == FileType::Directory {
            let mut dots = 0;
            for entry in entries(&path, 4096) {
                if entry.name == "." || entry.name == ".." {
                    dots += 1;
                    assert_eq!(entry.file_type, FileType::Directory);
                    if entry.name == "." {
                        assert_eq!(entry.ino, seen.ino);
                    } else if !relative.as_os_str().is_empty() {
                        let parent = fs::symlink_metadata(path.parent().unwrap()).unwrap();
                        assert_eq!(entry.ino, parent.ino(), "{path:?}/..");
                    }
                    continue;
                }
                let child = relative.join(&entry.name);
                let metadata = fs::symlink_metadata(root.join(&child)).unwrap();
                assert_eq!(entry.ino, metadata.ino(), "{child:?}");
                let file_type = FileType::from_raw_mode(metadata.mode());
                assert_eq!(entry.file_type, file_type, "{child:?}");
                todo.push(child);
            }
            assert_eq!(dots, 2, "{path:?}");
        }
        assert!(found.insert(relative, seen).is_none(), "a name comes twice");
    }
    found
}

/// What two trees on different filesystems can have in common: all but what the
/// filesystem chooses. Of directories that a layer has only files in, nobody says
/// the time.
pub fn tree_of(root: &Path) -> Snapshot {
    let mut found = Snapshot::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(path) = todo.pop() {
        let mut seen = look(&root.join(&path));
        seen.ino = 0;
        seen.blocks = 0;
        if seen.file_type() == FileType::Directory {
            seen.nlink = 0;
            seen.mtime = (0, 0);
            let entries = fs::read_dir(root.join(&path)).unwrap();
            todo.extend(entries.map(|entry| path.join(entry.unwrap().file_name())));
        }
        found.insert(path, seen);
    }
    found
}

/// What is known of one file.
pub fn look(path: &Path) -> Seen {
    let metadata = fs::symlink_metadata(path).unwrap();
    let file_type = FileType::from_raw_mode(metadata.mode());
    let is_link = file_type == FileType::Symlink;
    Seen {
        ino: metadata.ino(),
        mode: metadata.mode(),
        uid: metadata.uid(),
        gid: metadata.gid(),
        nlink: metadata.nlink(),
        rdev: metadata.rdev(),
        size: (is_link || file_type == FileType::RegularFile).then_some(metadata.size()),
        blocks: metadata.blocks(),
        mtime: (metadata.mtime(), metadata.mtime_nsec()),
        target: is_link.then(|| fs::read_link(path).unwrap()),
        xattrs: xattrs(path),
    }
}

/// All extended attributes that are listed.
pub fn xattrs(path: &Path) -> Xattrs {
    let mut list = vec![0; 1 << 16];
    let length = rustix::fs::llistxattr(path, &mut list[..]).unwrap();
    list[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let name = OsString::from_vec(name.to_vec());
            let value = xattr(path, name.to_str().unwrap()).unwrap();
            (name, value)
        })
        .collect()
}

/// The value of one extended attribute.
pub fn xattr(path: &Path, name: &str) -> rustix::io::Result<Vec<u8>> {
    let mut value = vec![0; 1 << 16];
    let length = rustix::fs::lgetxattr(path, name, &mut value[..])?;
    value.truncate(length);
    Ok(value)
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: OsString,
    pub file_type: FileType,
    pub ino: u64,
    /// Where reading goes on behind it.
    pub next: u64,
}

/// The entries of a directory as getdents64(2) gives them, with a buffer of so
/// many bytes.
pub fn entries(directory: &Path, buffer: usize) -> Vec<Entry> {
    entries_of(&File::open(directory).unwrap(), buffer)
}

/// The entries from where the descriptor stands.
pub fn entries_of(directory: &File, buffer: usize) -> Vec<Entry> {
    let mut buffer = vec![MaybeUninit::uninit(); buffer];
    let mut reader = RawDir::new(directory, &mut buffer);
    let mut entries = Vec::new();
    while let Some(entry) = reader.next() {
        let entry = entry.unwrap();
        entries.push(Entry {
            name: std::ffi::OsStr::from_bytes(entry.file_name().to_bytes()).to_owned(),
            file_type: entry.file_type(),
            ino: entry.ino(),
            next: entry.next_entry_cookie(),
        });
    }
    entries
}
