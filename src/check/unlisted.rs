//! What is in a directory and not in a manifest.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::os::unix::ffi::OsStrExt;

use crate::manifest::PathIndex;
use crate::mode::{FileMode, FileType};
use crate::path::ManifestPath;
use crate::sys::{Absence, Entry, EntryKind, RootDir};
use crate::tree::NodeError;

use super::finding::{Trouble, TroubleCause};

/// The files of a directory tree that are not listed, in byte order of their
/// paths, as a walk finds them.
///
/// What waits to be told are the names of the directories that lead to the
/// current path, so memory does not grow with the tree.
#[derive(Debug)]
pub(super) struct Unlisted<'a> {
    root: &'a RootDir,
    listed: &'a PathIndex<'a>,
    sockets: bool,
    /// The next path is the smallest. What is in a directory is larger than
    /// itself.
    waiting: BinaryHeap<Reverse<(ManifestPath, Waiting)>>,
    troubles: Vec<Trouble>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    is_directory: bool,
    st_mode: u32,
}

/// A file that is not listed.
#[derive(Debug)]
pub(super) struct Unexpected {
    pub path: ManifestPath,
    pub mode: FileMode,
    /// Whether paths that are listed lead through it.
    pub leads_on: bool,
}

impl<'a> Unlisted<'a> {
    pub fn new(root: &'a RootDir, listed: &'a PathIndex<'a>, sockets: bool) -> Self {
        let mut walk = Self {
            root,
            listed,
            sockets,
            waiting: BinaryHeap::new(),
            troubles: Vec::new(),
        };
        walk.list(&ManifestPath::root());
        walk
    }

    /// Every path that comes before this one, or every path.
    pub fn before<'b>(
        &'b mut self,
        end: Option<&'b ManifestPath>,
    ) -> impl Iterator<Item = Result<Unexpected, Trouble>> + use<'a, 'b> {
        std::iter::from_fn(move || self.next_before(end))
    }

    fn next_before(&mut self, end: Option<&ManifestPath>) -> Option<Result<Unexpected, Trouble>> {
        loop {
            if let Some(trouble) = self.troubles.pop() {
                return Some(Err(trouble));
            }
            let Reverse((next, _)) = self.waiting.peek()?;
            if end.is_some_and(|end| next >= end) {
                return None;
            }
            let Reverse((path, waiting)) = self.waiting.pop()?;
            if waiting.is_directory {
                self.list(&path);
            }
            let leads_on = self.listed.leads_on(&path);
            let is_expected = self.listed.contains(&path) || (leads_on && waiting.is_directory);
            let mode = FileMode::from_stat(waiting.st_mode);
            if let (false, Some(mode)) = (is_expected, mode) {
                return Some(Ok(Unexpected {
                    path,
                    mode,
                    leads_on,
                }));
            }
        }
    }

    fn list(&mut self, directory: &ManifestPath) {
        let entries = self
            .root
            .open_directory(directory.relative())
            .and_then(|open| Ok((open.entries()?, open)));
        match entries {
            Ok((entries, open)) => {
                for entry in entries {
                    if let Err(cause) = self.take(&open, directory, &entry) {
                        self.trouble(directory, cause);
                    }
                }
            }
            // It went, or became something else, since its name was read.
            Err(error) if Absence::of(&error).is_some() => {}
            Err(error) => self.trouble(directory, TroubleCause::List(error)),
        }
    }

    fn take(
        &mut self,
        open: &RootDir,
        directory: &ManifestPath,
        entry: &Entry,
    ) -> Result<(), TroubleCause> {
        let name = entry.name.as_bytes();
        let path = directory.join(name).map_err(|error| TroubleCause::Path {
            name: Box::from(name),
            error,
        })?;
        let is_listed = self.listed.contains(&path);
        if is_listed && entry.kind == EntryKind::Regular {
            // Of what is listed, only directories lead on.
            return Ok(());
        }
        let st_mode = match open.stat(&entry.name) {
            Ok(stat) => stat.st_mode,
            Err(error) if Absence::of(&error).is_some() => return Ok(()),
            Err(error) => return Err(TroubleCause::Io(error)),
        };
        let mode = FileMode::from_stat(st_mode).ok_or(NodeError::Type(st_mode))?;
        let is_directory = mode.file_type() == FileType::Directory;
        let is_left_out = mode.file_type() == FileType::Socket && !self.sockets;
        if is_directory || !(is_left_out || is_listed) {
            let waiting = Waiting {
                is_directory,
                st_mode,
            };
            self.waiting.push(Reverse((path, waiting)));
        }
        Ok(())
    }

    fn trouble(&mut self, path: &ManifestPath, cause: TroubleCause) {
        let path = path.clone();
        self.troubles.push(Trouble { path, cause });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Limits;
    use std::fs;
    use std::os::unix::net::UnixListener;

    #[test]
    fn finds_everything_in_byte_order() {
        let scratch = tempfile::tempdir().unwrap();
        for directory in ["a/b", "a-", "c"] {
            fs::create_dir_all(scratch.path().join(directory)).unwrap();
        }
        for file in ["a/b/c", "a/b-", "a!", "a0", "c/d"] {
            fs::write(scratch.path().join(file), "").unwrap();
        }
        let _socket = UnixListener::bind(scratch.path().join("socket")).unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        let nothing = PathIndex::new(b"", &Limits::default()).unwrap();
        let names = |sockets, end: Option<&ManifestPath>| {
            let mut walk = Unlisted::new(&root, &nothing, sockets);
            let found: Vec<String> = walk
                .before(end)
                .map(|found| found.unwrap().path.to_string())
                .collect();
            found
        };
        let all = [
            "/a", "/a!", "/a-", "/a/b", "/a/b-", "/a/b/c", "/a0", "/c", "/c/d",
        ];
        assert_eq!(names(false, None), all);
        assert_eq!(names(true, None).last().unwrap(), "/socket");
        let middle = ManifestPath::parse(b"/a/b-").unwrap();
        assert_eq!(names(false, Some(&middle)), all[..4]);
    }
}
