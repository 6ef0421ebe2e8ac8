//! All paths of one filesystem below a directory, one after the other.

use std::fs::{self, ReadDir};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A path, and whether its directory could be read up to it.
#[derive(Debug)]
pub(super) struct Found {
    /// From the root on.
    pub path: PathBuf,
    /// The error is that of a directory: of reading it, or of reading on in it.
    pub listed: io::Result<()>,
}

/// Goes into directories, and into no other filesystem. As many are open at once as
/// the tree is deep.
#[derive(Debug)]
pub(super) struct Walk {
    root: PathBuf,
    device: u64,
    /// Directories that are being read, with their paths from the root on.
    open: Vec<(PathBuf, ReadDir)>,
    /// A directory that was told and not opened yet.
    next: Option<PathBuf>,
}

impl Walk {
    pub(super) fn new(root: &Path) -> io::Result<Self> {
        let device = fs::metadata(root)?.dev();
        Ok(Self {
            root: root.to_owned(),
            device,
            open: vec![(PathBuf::new(), fs::read_dir(root)?)],
            next: None,
        })
    }

    /// The device number of the filesystem.
    pub(super) const fn device(&self) -> u64 {
        self.device
    }

    /// Goes into a directory, unless something else is mounted there.
    fn enter(&mut self, path: PathBuf) -> io::Result<()> {
        let place = self.root.join(&path);
        if fs::symlink_metadata(&place)?.dev() == self.device {
            self.open.push((path, fs::read_dir(&place)?));
        }
        Ok(())
    }
}

impl Iterator for Walk {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        if let Some(path) = self.next.take()
            && let Err(error) = self.enter(path.clone())
        {
            return Some(Found {
                path,
                listed: Err(error),
            });
        }
        loop {
            let (path, directory) = self.open.last_mut()?;
            match directory.next() {
                None => drop(self.open.pop()),
                Some(Err(error)) => {
                    // Reading on would give the same again.
                    let path = std::mem::take(path);
                    self.open.pop();
                    return Some(Found {
                        path,
                        listed: Err(error),
                    });
                }
                Some(Ok(entry)) => {
                    let path = path.join(entry.file_name());
                    let listed = entry.file_type().map(|kind| {
                        if kind.is_dir() {
                            self.next = Some(path.clone());
                        }
                    });
                    return Some(Found { path, listed });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_all_and_follows_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        fs::create_dir_all(root.join("a/b/c")).unwrap();
        fs::write(root.join("a/b/file"), "").unwrap();
        std::os::unix::fs::symlink(".", root.join("a/loop")).unwrap();
        let mut found: Vec<_> = Walk::new(root)
            .unwrap()
            .map(|found| {
                found.listed.unwrap();
                found.path.to_str().unwrap().to_owned()
            })
            .collect();
        found.sort();
        assert_eq!(found, ["a", "a/b", "a/b/c", "a/b/file", "a/loop"]);
        assert!(Walk::new(&root.join("none")).is_err());
    }

    #[test]
    fn another_filesystem_is_told_and_not_entered() {
        let mut of_root = Walk::new(Path::new("/")).unwrap();
        of_root.open.clear();
        of_root.enter("proc".into()).unwrap();
        assert!(of_root.open.is_empty());
    }
}
