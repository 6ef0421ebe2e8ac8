//! Directories: made first, from the root down, and finished last, from the
//! leaves up.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use rayon::prelude::*;

use crate::inode::{Ino, Inode};
use crate::mode::FileType;
use crate::path::ManifestPath;
use crate::sys::{Absence, Errno, Stat, attributes, process};

use super::event::{Action, Cause};
use super::place::{Place, is, is_temporary};
use super::{Work, attributes::Changes, join, remove};

/// What became of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It could not be made, nor could one above it.
    Failed,
    /// It was there.
    Existing,
    /// It was made.
    New,
    /// It would be made.
    Absent,
}

/// All directories of the manifest, and what else is in them.
#[derive(Debug)]
pub(super) struct Directories {
    /// From the root down, those at the same depth together.
    levels: Vec<Vec<Ino>>,
    /// By inode number.
    states: Vec<State>,
    /// What the manifest does not list.
    others: Vec<(Ino, OsString)>,
}

/// One directory and what was found in it.
#[derive(Default)]
struct Prepared {
    /// The directory itself, where it cannot be worked in.
    failed: Option<Ino>,
    children: Vec<(Ino, State)>,
    others: Vec<(Ino, OsString)>,
}

impl Directories {
    /// Makes what is missing, and looks at what else is there.
    pub fn prepare(work: &Work<'_>, root: State) -> Self {
        let mut all = Self {
            levels: Vec::new(),
            states: Vec::new(),
            others: Vec::new(),
        };
        all.set(Ino::ROOT, root);
        let mut level = vec![Ino::ROOT];
        while !level.is_empty() {
            let prepared: Vec<Prepared> = level
                .par_iter()
                .filter_map(|ino| prepare_one(work, work.table.get(*ino)?, all.state(*ino)))
                .collect();
            let mut next = Vec::new();
            for Prepared {
                failed,
                children,
                others,
            } in prepared
            {
                if let Some(ino) = failed {
                    all.set(ino, State::Failed);
                }
                for (ino, state) in children {
                    all.set(ino, state);
                    next.push(ino);
                }
                all.others.extend(others);
            }
            all.levels.push(level);
            level = next;
        }
        all
    }

    /// All that can have something in them.
    pub fn usable(&self) -> impl Iterator<Item = Ino> + '_ {
        let all = self.levels.iter().flatten().copied();
        all.filter(|ino| self.state(*ino) != State::Failed)
    }

    /// Opens one of them.
    pub fn open(&self, work: &Work<'_>, directory: Inode<'_>) -> Result<Place, Cause> {
        open(work, directory, self.state(directory.ino()))
    }

    /// Removes what the manifest does not list, if that is wanted.
    pub fn remove_others(&self, work: &Work<'_>) {
        self.others.par_iter().for_each(|(ino, name)| {
            let Some(directory) = work.table.get(*ino) else {
                return;
            };
            if work.report.is_stopped() {
                return;
            }
            let path = join(&directory.path(), name.as_bytes());
            let removed = self.open(work, directory).and_then(|place| {
                if work.options.dry_run {
                    return Ok(());
                }
                remove::remove(place.directory()?, name).map_err(Cause::io("removed"))
            });
            match removed {
                Ok(()) => work.report.change(&path, Action::Remove),
                Err(cause) => work.report.failure(&path, cause),
            }
        });
    }

    /// Gives all of them their attributes, and their times last.
    pub fn finish(&self, work: &Work<'_>) {
        for level in self.levels.iter().rev() {
            level.par_iter().for_each(|ino| {
                let state = self.state(*ino);
                let Some(directory) = work.table.get(*ino) else {
                    return;
                };
                if matches!(state, State::Failed | State::Absent) || work.report.is_stopped() {
                    return;
                }
                if let Err(cause) = finish_one(work, directory, state) {
                    work.report.failure(&directory.path(), cause);
                }
                work.options.progress.add_files(1);
            });
        }
    }

    fn state(&self, ino: Ino) -> State {
        let state = usize::try_from(ino.0)
            .ok()
            .and_then(|at| self.states.get(at));
        state.copied().unwrap_or(State::Failed)
    }

    fn set(&mut self, ino: Ino, state: State) {
        let Ok(at) = usize::try_from(ino.0) else {
            return;
        };
        if self.states.len() <= at {
            self.states.resize(at + 1, State::Failed);
        }
        if let Some(place) = self.states.get_mut(at) {
            *place = state;
        }
    }
}

fn open(work: &Work<'_>, directory: Inode<'_>, state: State) -> Result<Place, Cause> {
    let path = directory.path();
    let opened = work
        .root
        .filter(|_| state != State::Absent)
        .map(|root| root.open_directory(path.relative()))
        .transpose()
        .map_err(Cause::directory)?;
    Ok(Place::new(opened, state != State::Existing, path))
}

/// Makes the directories in one directory, and sees what else is in it.
fn prepare_one(work: &Work<'_>, directory: Inode<'_>, state: State) -> Option<Prepared> {
    if state == State::Failed || work.report.is_stopped() {
        return None;
    }
    let place = match open(work, directory, state) {
        Ok(place) => place,
        Err(cause) => {
            work.report.failure(&directory.path(), cause);
            return Some(Prepared {
                failed: Some(directory.ino()),
                ..Prepared::default()
            });
        }
    };
    let others = if state == State::Existing {
        look_around(work, directory, &place)
    } else {
        Vec::new()
    };
    let children = work
        .table
        .entries(directory, 0)
        .filter(|dirent| dirent.inode.mode().file_type() == FileType::Directory)
        .map(|dirent| {
            let made = make_one(work, &place, OsStr::from_bytes(dirent.name));
            let state = made.unwrap_or_else(|cause| {
                work.report.failure(&join(&place.path, dirent.name), cause);
                State::Failed
            });
            (dirent.inode.ino(), state)
        })
        .collect();
    Some(Prepared {
        failed: None,
        children,
        others,
    })
}

/// Removes what an earlier run has left, and finds what is not listed.
fn look_around(work: &Work<'_>, directory: Inode<'_>, place: &Place) -> Vec<(Ino, OsString)> {
    let names = place
        .directory()
        .and_then(|directory| directory.names().map_err(Cause::io("listed")));
    let names = match names {
        Ok(names) => names,
        Err(cause) => {
            work.report.failure(&place.path, cause);
            return Vec::new();
        }
    };
    let mut others = Vec::new();
    for name in names {
        match work.table.lookup(directory, name.as_bytes()) {
            Some(inode) if !work.leaves_out(inode) => {}
            None if is_temporary(&name) => remove_leftover(work, place, &name),
            None if work.options.delete => others.push((directory.ino(), name)),
            // Whatever is there under the name of what is left out stays.
            _ => {}
        }
    }
    others
}

fn remove_leftover(work: &Work<'_>, place: &Place, name: &OsStr) {
    let removed = match place.directory() {
        _ if work.options.dry_run => Ok(()),
        Ok(directory) => {
            remove::remove(directory, name).map_err(Cause::io("removed, though it is a left-over"))
        }
        Err(cause) => Err(cause),
    };
    match removed {
        Ok(()) => work.report.count(|summary| summary.leftovers += 1),
        Err(cause) => {
            let path = join(&place.path, name.as_bytes());
            work.report.failure(&path, cause);
        }
    }
}

/// Makes a directory unless it is there.
fn make_one(work: &Work<'_>, place: &Place, name: &OsStr) -> Result<State, Cause> {
    let found = place.find(name)?;
    let is_directory = |stat: &Stat| stat.st_mode & 0o170_000 == 0o040_000;
    if let Some(found) = &found
        && is_directory(&found.stat)
    {
        if !work.options.dry_run && !work.is_superuser {
            make_usable(&found.handle, &found.stat)?;
        }
        // It may be another filesystem, into which we do not go.
        place
            .directory()?
            .open_directory(name)
            .map_err(Cause::directory)?;
        return Ok(State::Existing);
    }
    let action = match found {
        Some(_) => Action::Replace,
        None => Action::Create,
    };
    if !work.options.dry_run {
        let directory = place.directory()?;
        if found.is_some() {
            directory.remove_file(name).map_err(Cause::Directory)?;
        }
        match directory.make_directory(name) {
            // Somebody was faster.
            Err(error) if is(&error, Errno::EXIST) => return Ok(State::Existing),
            made => made.map_err(Cause::Directory)?,
        }
    }
    work.report
        .change(&join(&place.path, name.as_bytes()), action);
    Ok(if work.options.dry_run {
        State::Absent
    } else {
        State::New
    })
}

/// Lets its owner work in a directory, until it gets its own mode.
fn make_usable(handle: &crate::sys::Handle, stat: &Stat) -> Result<(), Cause> {
    if stat.uid == process::user().0 && stat.st_mode & 0o700 != 0o700 {
        let mode = (stat.st_mode & 0o7777) | 0o700;
        attributes::set_mode(handle, mode).map_err(Cause::Directory)?;
    }
    Ok(())
}

fn finish_one(work: &Work<'_>, directory: Inode<'_>, state: State) -> Result<(), Cause> {
    let Some(root) = work.root else {
        return Ok(());
    };
    let path: ManifestPath = directory.path();
    let opened = root.open_directory(path.relative()).map_err(gone)?;
    let stat = Stat::of(&opened).map_err(Cause::io("looked at"))?;
    if !directory.is_declared() && state == State::New {
        // Nobody has said what it is like.
        attributes::set_mode(&opened, 0o755).map_err(Cause::io("given its mode"))?;
    }
    let changes = Changes::find(&opened, &stat, directory, work.options)?;
    if !changes.is_empty() {
        if !work.options.dry_run {
            changes.make(&opened, directory, |cause| {
                work.report.failure(&path, cause)
            });
        }
        if state == State::Existing {
            work.report.change(&path, Action::Attributes);
        }
    }
    if work.options.fsync && !work.options.dry_run {
        opened.sync().map_err(Cause::io("brought to the disk"))?;
    }
    Ok(())
}

fn gone(error: io::Error) -> Cause {
    match Absence::of(&error) {
        Some(_) => Cause::Vanished,
        None => Cause::io("opened again")(error),
    }
}
