//! Directories that stay open while the files in them are looked at.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use crate::path::ManifestPath;
use crate::sys::{EntryKind, RootDir};

/// How many files of a directory are asked for before it is worth listing.
const WORTH_LISTING: u32 = 4;

/// How many directories are kept of those that lead to the current path.
const OPEN_MAX: usize = 32;

/// The directories that lead to the paths of a manifest, which come in order:
/// everything that is below one of them is side by side.
#[derive(Debug, Default)]
pub(super) struct Directories<'a> {
    /// From the top down.
    above: Vec<(&'a [u8], Arc<Directory>)>,
}

impl<'a> Directories<'a> {
    /// The directory of the next path.
    pub fn of(&mut self, path: &'a [u8]) -> Arc<Directory> {
        let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let parent = path.get(..end).unwrap_or_default();
        let leads_here = |above: &[u8]| {
            let rest = parent.strip_prefix(above);
            rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
        };
        while self.above.pop_if(|(above, _)| !leads_here(above)).is_some() {}
        match self.above.last() {
            Some((above, directory)) if *above == parent => Arc::clone(directory),
            _ => {
                if self.above.len() == OPEN_MAX {
                    self.above.remove(0);
                }
                let directory = Arc::new(Directory::default());
                self.above.push((parent, Arc::clone(&directory)));
                directory
            }
        }
    }
}

/// A directory, which is opened and listed once it is worth it.
#[derive(Debug, Default)]
pub(super) struct Directory {
    asked: AtomicU32,
    listed: OnceLock<Option<Listed>>,
}

#[derive(Debug)]
struct Listed {
    directory: RootDir,
    /// The names of everything that is no regular file: of most directories
    /// few.
    others: HashSet<OsString>,
}

impl Directory {
    /// Opens a file of this directory for reading, if it is a regular one.
    ///
    /// `None` where it is another, where that is not known, or where it cannot
    /// be opened: then it has to be looked at without opening it, for to open a
    /// device can do something.
    pub fn open(&self, root: &RootDir, path: &ManifestPath) -> Option<File> {
        if self.asked.fetch_add(1, Ordering::Relaxed) < WORTH_LISTING {
            return None;
        }
        let listed = self
            .listed
            .get_or_init(|| Listed::new(root, &path.parent()).ok());
        let listed = listed.as_ref()?;
        let name = OsStr::from_bytes(path.name());
        if listed.others.contains(name) {
            return None;
        }
        listed.directory.open_listed(name).ok()
    }
}

impl Listed {
    fn new(root: &RootDir, path: &ManifestPath) -> io::Result<Self> {
        let directory = root.open_directory(path.relative())?;
        let mut others = HashSet::new();
        directory.for_each_entry(|name, kind| {
            if kind != EntryKind::Regular {
                others.insert(name.to_owned());
            }
        })?;
        Ok(Self { directory, others })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn path(bytes: &[u8]) -> ManifestPath {
        ManifestPath::parse(bytes).unwrap()
    }

    #[test]
    fn opens_what_is_a_regular_file_and_nothing_else() {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir_all(scratch.path().join("d/inner")).unwrap();
        fs::write(scratch.path().join("d/file"), "12345").unwrap();
        symlink("file", scratch.path().join("d/link")).unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        let directory = Directory::default();
        for _ in 0..WORTH_LISTING {
            assert!(directory.open(&root, &path(b"/d/file")).is_none());
        }
        for _ in 0..2 {
            let file = directory.open(&root, &path(b"/d/file")).unwrap();
            assert_eq!(file.metadata().unwrap().len(), 5);
        }
        for other in [&b"/d/link"[..], b"/d/inner", b"/d/missing"] {
            assert!(directory.open(&root, &path(other)).is_none(), "{other:?}");
        }
    }

    #[test]
    fn opens_nothing_in_what_is_no_directory() {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir(scratch.path().join("d")).unwrap();
        fs::write(scratch.path().join("d/file"), "").unwrap();
        symlink("d", scratch.path().join("link")).unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        let directory = Directory::default();
        for _ in 0..WORTH_LISTING + 2 {
            assert!(directory.open(&root, &path(b"/link/file")).is_none());
        }
    }

    #[test]
    fn comes_back_to_the_directory_that_others_are_in() {
        let mut directories = Directories::default();
        let root = directories.of(b"/a");
        let outer = directories.of(b"/d/a");
        let inner = directories.of(b"/d/b/c");
        assert!(!Arc::ptr_eq(&outer, &inner));
        assert!(Arc::ptr_eq(&directories.of(b"/d/b-"), &outer));
        assert!(!Arc::ptr_eq(&directories.of(b"/d/b/c"), &inner));
        assert!(!Arc::ptr_eq(&directories.of(b"/dd/b"), &outer));
        assert!(Arc::ptr_eq(&directories.of(b"/z"), &root));
        assert!(Arc::ptr_eq(&directories.of(b"/"), &root));
    }

    #[test]
    fn keeps_few_directories_however_deep_the_paths_are() {
        let mut directories = Directories::default();
        let deep: Vec<Vec<u8>> = (1..100).map(|depth| b"/a".repeat(depth)).collect();
        deep.iter().for_each(|path| drop(directories.of(path)));
        assert_eq!(directories.above.len(), OPEN_MAX);
        let last = directories.of(&deep[98]);
        assert!(Arc::ptr_eq(&last, &directories.above.last().unwrap().1));
    }
}
