//! One directory of the target, and giving files their names in it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::Ordering;

use crate::path::ManifestPath;
use crate::sys::{self, Absence, Errno, Handle, RootDir, Stat};

use super::Work;
use super::event::Cause;
use super::remove;

/// A directory of the target.
#[derive(Debug)]
pub(super) struct Place {
    /// `None` in a dry run, where it would be made.
    directory: Option<RootDir>,
    /// Whether it was made by us, and so has nothing but what we put in.
    is_new: bool,
    pub path: ManifestPath,
}

/// What is there under a name.
#[derive(Debug)]
pub(super) struct Found {
    pub handle: Handle,
    pub stat: Stat,
}

impl Place {
    pub const fn new(directory: Option<RootDir>, is_new: bool, path: ManifestPath) -> Self {
        Self {
            directory,
            is_new,
            path,
        }
    }

    pub fn directory(&self) -> Result<&RootDir, Cause> {
        let missing = || Cause::Directory(Errno::NOENT.into());
        self.directory.as_ref().ok_or_else(missing)
    }

    /// What is there under a name, where there is anything.
    pub fn find(&self, name: &OsStr) -> Result<Option<Found>, Cause> {
        let Some(directory) = self.directory.as_ref().filter(|_| !self.is_new) else {
            return Ok(None);
        };
        let found = match directory.handle(name) {
            Err(error) if Absence::of(&error).is_some() => return Ok(None),
            Err(error) if is(&error, Errno::XDEV) => return Err(Cause::Mounted),
            handle => handle.and_then(|handle| {
                let stat = handle.stat()?;
                Ok(Some(Found { handle, stat }))
            }),
        };
        found.map_err(Cause::io("looked at"))
    }
}

/// A regular file that is being made.
#[derive(Debug)]
pub(super) struct NewFile<'a> {
    pub file: File,
    /// Where the filesystem has no files without a name.
    temporary: Option<Temporary<'a>>,
}

impl Work<'_> {
    /// A file that nobody else can find, or at least open.
    pub fn new_file<'p>(&self, place: &'p Place) -> Result<NewFile<'p>, Cause> {
        let directory = place.directory()?;
        if self.can_be_unnamed() {
            match directory.make_unnamed_file(0o600) {
                Err(error) if sys::entry::has_no_unnamed(&error) => {
                    self.has_unnamed.store(false, Ordering::Relaxed);
                }
                file => {
                    return Ok(NewFile {
                        file: file.map_err(Cause::io("made"))?,
                        temporary: None,
                    });
                }
            }
        }
        let temporary = Temporary::new(directory).map_err(Cause::io("made"))?;
        let file = directory
            .make_file(&temporary.name)
            .map_err(Cause::io("made"))?;
        Ok(NewFile {
            file,
            temporary: Some(temporary),
        })
    }

    /// Gives a new file its name.
    pub fn name_file(
        &self,
        new: NewFile<'_>,
        place: &Place,
        name: &OsStr,
        is_there: bool,
    ) -> Result<(), Cause> {
        match new.temporary {
            Some(temporary) => self.rename(temporary, name),
            None => self.link(&new.file, place, name, is_there),
        }
    }

    /// Makes `name` a name of this file, whatever it was a name of.
    pub fn link(
        &self,
        file: impl AsFd,
        place: &Place,
        name: &OsStr,
        is_there: bool,
    ) -> Result<(), Cause> {
        let directory = place.directory()?;
        if !is_there {
            match directory.link(&file, name) {
                Err(error) if is(&error, Errno::EXIST) => {}
                done => return done.map_err(Cause::io("linked")),
            }
        }
        let temporary = Temporary::new(directory).map_err(Cause::io("linked"))?;
        directory
            .link(&file, &temporary.name)
            .map_err(Cause::io("linked"))?;
        self.rename(temporary, name)
    }

    /// Gives what has a temporary name its own, whatever had that before.
    pub fn rename(&self, temporary: Temporary<'_>, name: &OsStr) -> Result<(), Cause> {
        let directory = temporary.directory;
        match directory.rename(&temporary.name, name) {
            Err(error) if is_occupied(&error) => {
                make_way(directory, name, self.options.delete)?;
                directory.rename(&temporary.name, name)
            }
            done => done,
        }
        .map_err(Cause::io("renamed to its name"))
        // What is left of the temporary name goes when it is dropped: where both
        // were the same file, rename(2) has done nothing.
    }
}

/// Removes a directory where something else should be.
fn make_way(directory: &RootDir, name: &OsStr, may_delete: bool) -> Result<(), Cause> {
    match directory.remove_directory(name) {
        Err(error) if is_occupied(&error) && may_delete => {
            remove::remove(directory, name).map_err(Cause::io("removed to make way"))
        }
        Err(error) if is_occupied(&error) => Err(Cause::Occupied),
        done => done.map_err(Cause::io("removed to make way")),
    }
}

fn is_occupied(error: &io::Error) -> bool {
    [Errno::ISDIR, Errno::NOTEMPTY, Errno::EXIST]
        .into_iter()
        .any(|errno| is(error, errno))
}

pub(super) fn is(error: &io::Error, errno: Errno) -> bool {
    Errno::from_io_error(error) == Some(errno)
}

/// What temporary names begin with; sixteen hexadecimal digits follow.
const PREFIX: &[u8] = b".continuity-";
const DIGITS: usize = 16;

/// A temporary name, which goes when this is dropped.
#[derive(Debug)]
pub(super) struct Temporary<'a> {
    directory: &'a RootDir,
    pub name: OsString,
}

impl<'a> Temporary<'a> {
    /// One that nobody can guess; there is nothing of that name yet.
    pub fn new(directory: &'a RootDir) -> io::Result<Self> {
        let number = u64::from_ne_bytes(sys::random::bytes()?);
        let mut name = OsString::from(OsStr::from_bytes(PREFIX));
        name.push(format!("{number:016x}"));
        Ok(Self { directory, name })
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        // It has been renamed, or the next run finds it.
        let _ = self.directory.remove_file(&self.name);
    }
}

/// Whether a name is one that an earlier run may have left.
pub(super) fn is_temporary(name: &OsStr) -> bool {
    let digits = name.as_bytes().strip_prefix(PREFIX);
    digits.is_some_and(|digits| {
        digits.len() == DIGITS
            && digits
                .iter()
                .all(|d| matches!(d, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_own_names() {
        let scratch = tempfile::tempdir().unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        let temporary = Temporary::new(&root).unwrap();
        assert!(is_temporary(&temporary.name));
        root.make_file(&temporary.name).unwrap();
        drop(temporary);
        assert!(root.names().unwrap().is_empty());
        for other in [
            ".continuityignore",
            ".continuity-",
            ".continuity-0123456789abcdef0",
            ".continuity-0123456789ABCDEF",
            "continuity-0123456789abcdef",
        ] {
            assert!(!is_temporary(OsStr::new(other)), "{other}");
        }
    }
}
