//! The tree that a manifest was just made of, as the source of a copy.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::path::ManifestPath;
use crate::sys::{self, RootDir, Stat};

use super::beneath::{Beneath, open_held};
use super::{ContentRef, Source, SourceError, SourceFile};

/// A tree whose regular files are given as long as they are as they were when
/// the manifest was made: that vouches for them, and no digest has to.
///
/// Size, both times, owner, mode and inode must be the same before a file is read
/// and after. Nobody can set the time of the last change of an inode, and
/// writing, renaming and new attributes all change it.
#[derive(Debug)]
pub struct UnchangedSource {
    tree: Beneath,
    /// By path; a file stands there under each of its names.
    seen: Vec<(ManifestPath, Stat)>,
    links: bool,
}

impl UnchangedSource {
    /// Gives these files of the tree below `root`, as they were seen.
    #[must_use]
    pub fn new(root: RootDir, mut seen: Vec<(ManifestPath, Stat)>) -> Self {
        seen.sort_unstable_by(|one, two| one.0.cmp(&two.0));
        Self {
            tree: Beneath::new(root),
            seen,
            links: false,
        }
    }

    /// Lets files get and lose names, by which the time of the inode changes: for
    /// who links them.
    #[must_use]
    pub fn being_linked(self) -> Self {
        Self {
            links: true,
            ..self
        }
    }
}

impl Source for UnchangedSource {
    fn open(&self, content: &ContentRef<'_>) -> Result<Box<dyn SourceFile>, SourceError> {
        let at = self.seen.binary_search_by(|seen| seen.0.cmp(content.path));
        let (_, before) = at
            .ok()
            .and_then(|at| self.seen.get(at))
            .ok_or(SourceError::Missing)?;
        let held = self.tree.hold(content.path.relative())?;
        compare(before, held.stat(), self.links)?;
        Ok(Box::new(Unchanged {
            // It is the regular file that was seen.
            file: open_held(&held)?,
            before: *before,
            links: self.links,
        }))
    }

    fn remove(
        &self,
        path: &ManifestPath,
        file: BorrowedFd<'_>,
        kept: &RootDir,
    ) -> Result<(), SourceError> {
        self.tree.remove(path.relative(), file, kept)
    }
}

#[derive(Debug)]
struct Unchanged {
    file: File,
    before: Stat,
    links: bool,
}

impl SourceFile for Unchanged {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        sys::file::read_to_end_at(&self.file, buffer, offset, self.before.size)
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }

    fn vouch(&self) -> Result<(), SourceError> {
        compare(&self.before, Stat::of(&self.file), self.links)
    }
}

fn compare(before: &Stat, now: io::Result<Stat>, links: bool) -> Result<(), SourceError> {
    let now = now.map_err(SourceError::Io)?;
    let expected = match links {
        true => Stat {
            links: now.links,
            ctime: now.ctime,
            ..*before
        },
        false => *before,
    };
    if now == expected {
        return Ok(());
    }
    let changed = Changed {
        before: *before,
        now,
    };
    Err(SourceError::Changed(Box::new(changed)))
}

/// What a file was when the manifest was made of it, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    before: Stat,
    now: Stat,
}

/// What is not the same; the times as seconds since 1970.
impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, now) = (&self.before, &self.now);
        let time = |(seconds, nanoseconds): (i64, u32)| format!("{seconds}.{nanoseconds:09}");
        let mut comma = "";
        if !now.is_same_file(before) {
            f.write_str("another file")?;
            comma = ", ";
        }
        for (what, before, now) in [
            ("size", before.size.to_string(), now.size.to_string()),
            (
                "mode",
                format!("{:#o}", before.st_mode),
                format!("{:#o}", now.st_mode),
            ),
            ("uid", before.uid.to_string(), now.uid.to_string()),
            ("gid", before.gid.to_string(), now.gid.to_string()),
            ("links", before.links.to_string(), now.links.to_string()),
            ("mtime", time(before.mtime), time(now.mtime)),
            ("ctime", time(before.ctime), time(now.ctime)),
        ] {
            if before != now {
                write!(f, "{comma}{what} {before} -> {now}")?;
                comma = ", ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::DirectorySource;
    use super::*;
    use std::fs;
    use std::path::Path;

    fn source(root: &Path) -> (UnchangedSource, ManifestPath) {
        let root = RootDir::open(root).unwrap();
        let path = ManifestPath::parse(b"/file").unwrap();
        let stat = root.stat(path.relative()).unwrap();
        let seen = vec![(path.clone(), stat)];
        (UnchangedSource::new(root, seen), path)
    }

    fn open(
        source: &UnchangedSource,
        path: &ManifestPath,
    ) -> Result<Box<dyn SourceFile>, SourceError> {
        source.open(&ContentRef {
            path,
            size: 6,
            digests: &[],
        })
    }

    #[test]
    fn vouches_for_what_stays() {
        let scratch = tempfile::tempdir().unwrap();
        let at = scratch.path().join("file");
        fs::write(&at, "before").unwrap();
        let (source, path) = source(scratch.path());
        let file = open(&source, &path).unwrap();
        file.vouch().unwrap();
        // Longer, so that it is seen however coarse the clock is.
        fs::write(&at, "and after").unwrap();
        let now = fs::metadata(&at).unwrap();
        for refused in [file.vouch().unwrap_err(), open(&source, &path).unwrap_err()] {
            let said = refused.to_string();
            assert!(
                said.starts_with("changed in the source meanwhile: size 6 -> 9"),
                "{said}"
            );
        }
        assert_eq!(now.len(), 9);
    }

    #[test]
    fn another_file_of_the_same_size_and_time_is_another_file() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name| scratch.path().join(name);
        fs::write(at("file"), "before").unwrap();
        let (source, path) = source(scratch.path());
        fs::copy(at("file"), at("other")).unwrap();
        let time = fs::metadata(at("file")).unwrap().modified().unwrap();
        let other = fs::File::options().write(true).open(at("other")).unwrap();
        other.set_modified(time).unwrap();
        fs::rename(at("other"), at("file")).unwrap();
        let said = open(&source.being_linked(), &path).unwrap_err();
        assert!(said.to_string().contains("another file"), "{said}");
    }

    #[test]
    fn a_new_name_is_a_change_unless_that_is_what_is_done() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name| scratch.path().join(name);
        fs::write(at("file"), "before").unwrap();
        let (source, path) = source(scratch.path());
        fs::hard_link(at("file"), at("name")).unwrap();
        let said = open(&source, &path).unwrap_err().to_string();
        assert!(said.contains("links 1 -> 2"), "{said}");
        let source = source.being_linked();
        open(&source, &path).unwrap().vouch().unwrap();
        let unknown = ManifestPath::parse(b"/name").unwrap();
        assert!(matches!(open(&source, &unknown), Err(SourceError::Missing)));
    }

    #[test]
    fn others_vouch_for_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("file"), "before").unwrap();
        let tree = DirectorySource::new(RootDir::open(scratch.path()).unwrap());
        let path = ManifestPath::parse(b"/file").unwrap();
        let file = tree.open(&ContentRef {
            path: &path,
            size: 6,
            digests: &[],
        });
        assert!(file.unwrap().vouch().is_err());
    }
}
