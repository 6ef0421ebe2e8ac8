//! Everything that is no directory, one at a time.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;

use rayon::prelude::*;

use crate::inode::{Dirent, Ino, Inode, InodeKind};
use crate::mode::FileType;
use crate::path::ManifestPath;
use crate::source::{ContentRef, SourceFile};
use crate::sys::{Handle, Stat};

use super::attributes::Changes;
use super::content::InPlace;
use super::directories::Directories;
use super::event::{Action, Cause};
use super::options::{Devices, Mode};
use super::place::{Found, Place, Temporary};
use super::{Work, is_whiteout, join};

/// How many names of a directory one thread takes at once.
const UNIT: usize = 256;

/// What is there under the name of an entry.
pub(super) enum Existing {
    /// Nothing.
    Nothing,
    /// Something that cannot be made into it.
    Other,
    /// A file that can: it has the content, where there is any.
    Fit(Found),
    /// A file that has the content, but must be left alone.
    Content(File),
}

impl Work<'_> {
    /// Makes everything that is no directory and has one name, and gives the
    /// names of the others.
    pub fn make_files(&self, directories: &Directories) -> Vec<(Ino, Ino, Vec<u8>)> {
        let mut units = Vec::new();
        for ino in directories.usable() {
            let directory = self.table.get(ino);
            if let Some(InodeKind::Directory(count)) = directory.map(|inode| inode.kind()) {
                units.extend((0..count).step_by(UNIT).map(|from| (ino, from)));
            }
        }
        units
            .into_par_iter()
            .with_max_len(1)
            .map(|(ino, from)| self.make_unit(directories, ino, from))
            .reduce(Vec::new, |mut all, more| {
                all.extend(more);
                all
            })
    }

    fn make_unit(
        &self,
        directories: &Directories,
        ino: Ino,
        from: usize,
    ) -> Vec<(Ino, Ino, Vec<u8>)> {
        let mut linked = Vec::new();
        let Some(directory) = self.table.get(ino) else {
            return linked;
        };
        let mut place = None;
        for Dirent { name, inode } in self.table.entries(directory, from).take(UNIT) {
            if inode.mode().file_type() == FileType::Directory {
                continue;
            }
            if self.report.is_stopped() {
                break;
            }
            if self.leaves_out(inode) {
                self.report.count(|summary| summary.left_out += 1);
                continue;
            }
            if inode.links() > 1 {
                linked.push((inode.ino(), ino, name.to_vec()));
                continue;
            }
            // Opened only where there is something to do in it.
            if place.is_none() {
                match directories.open(self, directory) {
                    Ok(opened) => place = Some(opened),
                    Err(cause) => {
                        self.report.failure(&directory.path(), cause);
                        break;
                    }
                }
            }
            if let Some(place) = &place {
                let path = join(&place.path, name);
                if let Err(cause) = self.make_file(place, OsStr::from_bytes(name), inode, &path) {
                    self.report.failure(&path, cause);
                }
            }
            self.options.progress.add_files(1);
        }
        linked
    }

    /// Makes one name an entry of its own.
    fn make_file(
        &self,
        place: &Place,
        name: &OsStr,
        inode: Inode<'_>,
        path: &ManifestPath,
    ) -> Result<(), Cause> {
        let existing = self.look(place, name, inode, path)?;
        if let Existing::Fit(found) = existing {
            return self.adopt(place, &found, inode, path);
        }
        self.create(place, name, inode, path, existing)
    }

    /// What is there under a name, and whether it can be made into an entry.
    pub fn look(
        &self,
        place: &Place,
        name: &OsStr,
        inode: Inode<'_>,
        path: &ManifestPath,
    ) -> Result<Existing, Cause> {
        let Some(found) = place.find(name)? else {
            return Ok(Existing::Nothing);
        };
        if found.stat.st_mode & 0o170_000 != inode.mode().to_stat() & 0o170_000 {
            return Ok(Existing::Other);
        }
        let is_same = match inode.kind() {
            InodeKind::Symlink(target) => {
                let is_target = found
                    .handle
                    .read_link()
                    .map(|found| found.as_bytes() == target);
                is_target.map_err(Cause::io("looked at"))?
            }
            InodeKind::Device(number) => found.stat.rdev == (number.major(), number.minor()),
            InodeKind::Regular(_) => return self.look_inside(inode, path, found),
            InodeKind::Other | InodeKind::Directory(_) => true,
        };
        let is_own = self.claim(&found.stat, inode);
        Ok(if is_same && is_own {
            Existing::Fit(found)
        } else {
            Existing::Other
        })
    }

    fn look_inside(
        &self,
        inode: Inode<'_>,
        path: &ManifestPath,
        found: Found,
    ) -> Result<Existing, Cause> {
        let Some(declared) = inode.declared(path) else {
            return Ok(Existing::Other);
        };
        if found.stat.size != declared.size {
            return Ok(Existing::Other);
        }
        if !self.options.digests && self.source.is_some() {
            // As rsync does it: size and time tell.
            let time = inode
                .mtime()
                .map(|time| (time.seconds(), time.nanoseconds()));
            if time != Some(found.stat.mtime) {
                return Ok(Existing::Other);
            }
        }
        // The very file that was looked at, whatever has its name by now.
        let file = match found.handle.open() {
            Ok(file) => InPlace(file),
            // It can still be made anew.
            Err(_) if self.source.is_some() => return Ok(Existing::Other),
            Err(error) => return Err(Cause::io("read")(error)),
        };
        if !self.has_content(&file, inode, &declared)? {
            return Ok(Existing::Other);
        }
        let changes = Changes::find(&file.0, &found.stat, inode, self.options)?;
        // Whoever has it open could go on writing to a file that is now root's;
        // and what is linked to the source must not be changed.
        let is_fit = self.claim(&found.stat, inode)
            && !changes.raises_privilege(inode)
            && !self.is_left_in_source(&found.stat, inode, &declared)?
            && (self.options.mode != Mode::Hardlink || changes.is_empty());
        Ok(if is_fit {
            Existing::Fit(found)
        } else {
            Existing::Content(file.0)
        })
    }

    /// Gives a file that is there its attributes.
    pub fn adopt(
        &self,
        place: &Place,
        found: &Found,
        inode: Inode<'_>,
        path: &ManifestPath,
    ) -> Result<(), Cause> {
        let changes = Changes::find(&found.handle, &found.stat, inode, self.options)?;
        if !changes.is_empty() {
            if !self.options.dry_run {
                changes.make(&found.handle, inode, |cause| {
                    self.report.failure(path, cause)
                });
            }
            self.report.change(path, Action::Attributes);
        }
        self.end_move(place, inode, path, &found.stat)
    }

    /// Makes an entry anew.
    pub fn create(
        &self,
        place: &Place,
        name: &OsStr,
        inode: Inode<'_>,
        path: &ManifestPath,
        existing: Existing,
    ) -> Result<(), Cause> {
        let is_there = !matches!(existing, Existing::Nothing);
        let is_device = inode.device().is_some() && !is_whiteout(inode);
        if is_device && self.options.devices == Devices::Check {
            return Err(Cause::DeviceMissing);
        }
        if self.options.dry_run {
            // What would be seen at once; nothing is read.
            if let InodeKind::Regular(size) = inode.kind() {
                match (self.source, &existing) {
                    (Some(source), _) => {
                        source.open(&ContentRef {
                            path: &inode.path(),
                            size,
                            digests: &inode.digests(),
                        })?;
                    }
                    (None, Existing::Content(_) | Existing::Fit(_)) => {}
                    (None, Existing::Nothing | Existing::Other) => return Err(Cause::NoSource),
                }
            }
        } else if let InodeKind::Regular(_) = inode.kind() {
            self.create_regular(place, name, inode, path, existing, is_there)?;
        } else {
            self.create_node(place, name, inode, path)?;
        }
        let action = if is_there {
            Action::Replace
        } else {
            Action::Create
        };
        self.report.change(path, action);
        Ok(())
    }

    fn create_regular(
        &self,
        place: &Place,
        name: &OsStr,
        inode: Inode<'_>,
        path: &ManifestPath,
        existing: Existing,
        is_there: bool,
    ) -> Result<(), Cause> {
        let Some(declared) = inode.declared(path) else {
            return Err(Cause::NoDigest);
        };
        let from: Box<dyn SourceFile> = match (self.source, existing) {
            (Some(source), _) => {
                let digests = inode.digests();
                source.open(&ContentRef {
                    path: &inode.path(),
                    size: declared.size,
                    digests: &digests,
                })?
            }
            (None, Existing::Content(file)) => Box::new(InPlace(file)),
            (None, _) => return Err(Cause::NoSource),
        };
        if matches!(self.options.mode, Mode::Hardlink | Mode::Move)
            && self.source.is_some()
            && self.take(place, name, inode, path, &*from)?
        {
            return Ok(());
        }
        let new = self.new_file(place)?;
        self.fill(&new.file, &*from, &declared)?;
        let stat = Stat::of(&new.file).map_err(Cause::io("made"))?;
        let changes = Changes::find(&new.file, &stat, inode, self.options)?;
        changes.make(&new.file, inode, |cause| self.report.failure(path, cause));
        if self.options.fsync {
            new.file
                .sync_all()
                .map_err(Cause::io("brought to the disk"))?;
        }
        self.name_file(new, place, name, is_there)?;
        if self.options.mode == Mode::Move && self.source.is_some() {
            self.remove_moved(place, inode, &*from)?;
        }
        Ok(())
    }

    /// Takes the source's own file; `false` where that is on another
    /// filesystem and must be copied.
    fn take(
        &self,
        place: &Place,
        name: &OsStr,
        inode: Inode<'_>,
        path: &ManifestPath,
        from: &dyn SourceFile,
    ) -> Result<bool, Cause> {
        let file = from.as_fd().ok_or(Cause::NoFile)?;
        let directory = place.directory()?;
        let temporary = Temporary::new(directory).map_err(Cause::io("linked"))?;
        match directory.link(file, &temporary.name) {
            Err(error) if self.options.mode == Mode::Move && is_elsewhere(&error) => {
                return Ok(false);
            }
            done => done.map_err(Cause::io("linked"))?,
        }
        if let Some(declared) = inode.declared(path) {
            self.check(from, &declared)?;
        }
        let stat = Stat::of(file).map_err(Cause::io("looked at"))?;
        let changes = Changes::find(file, &stat, inode, self.options)?;
        if self.options.mode == Mode::Hardlink && !changes.is_empty() {
            return Err(Cause::LinkedSource);
        }
        changes.make(file, inode, |cause| self.report.failure(path, cause));
        self.rename(temporary, name)?;
        self.report.count(|summary| summary.shared += stat.size);
        if self.options.mode == Mode::Move {
            self.remove_moved(place, inode, from)?;
        }
        Ok(true)
    }

    /// Makes a symlink, pipe, socket or device.
    fn create_node(
        &self,
        place: &Place,
        name: &OsStr,
        inode: Inode<'_>,
        path: &ManifestPath,
    ) -> Result<(), Cause> {
        let directory = place.directory()?;
        let temporary = Temporary::new(directory).map_err(Cause::io("made"))?;
        match inode.kind() {
            InodeKind::Symlink(target) => directory.make_symlink(target, &temporary.name),
            kind => {
                let number = match kind {
                    InodeKind::Device(number) => (number.major(), number.minor()),
                    _ => (0, 0),
                };
                directory.make_node(&temporary.name, inode.mode().to_stat(), number)
            }
        }
        .map_err(Cause::io("made"))?;
        let made = |error| Cause::io("made")(error);
        let handle: Handle = directory.handle(&temporary.name).map_err(made)?;
        let stat = handle.stat().map_err(made)?;
        if stat.st_mode & 0o170_000 != inode.mode().to_stat() & 0o170_000 {
            return Err(Cause::Vanished);
        }
        let changes = Changes::find(&handle, &stat, inode, self.options)?;
        changes.make(&handle, inode, |cause| self.report.failure(path, cause));
        self.rename(temporary, name)
    }
}

fn is_elsewhere(error: &std::io::Error) -> bool {
    super::place::is(error, crate::sys::Errno::XDEV)
}
