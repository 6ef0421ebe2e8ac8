//! Files with several names, which must be one file, and no other's.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use rayon::prelude::*;

use crate::attributes::Attribute;
use crate::inode::{Ino, Inode};
use crate::path::ManifestPath;
use crate::sys::{Handle, Stat};

use super::directories::Directories;
use super::event::{Action, Cause};
use super::files::Existing;
use super::place::{Found, Place};
use super::{Work, join};

/// The names of one file: the directory and the name in it.
type Names = Vec<(Ino, Vec<u8>)>;

/// One of these names, and the path that it makes.
pub(super) type Named<'a> = (Inode<'a>, Vec<u8>, ManifestPath);

impl Work<'_> {
    /// Makes the files that have several names, from all these names.
    pub fn make_links(&self, directories: &Directories, names: Vec<(Ino, Ino, Vec<u8>)>) {
        let mut files: BTreeMap<Ino, Names> = BTreeMap::new();
        for (inode, directory, name) in names {
            files.entry(inode).or_default().push((directory, name));
        }
        let files: Vec<(Ino, Names)> = files.into_iter().collect();
        files
            .into_par_iter()
            .with_max_len(16)
            .for_each(|(ino, names)| {
                if let Some(inode) = self.table.get(ino)
                    && !self.report.is_stopped()
                {
                    self.make_names(directories, inode, names);
                    self.options.progress.add_files(1);
                }
            });
    }

    fn make_names(&self, directories: &Directories, inode: Inode<'_>, names: Names) {
        let mut places: Vec<Named<'_>> = Vec::new();
        for (directory, name) in names {
            let Some(directory) = self.table.get(directory) else {
                continue;
            };
            let path = join(&directory.path(), &name);
            places.push((directory, name, path));
        }
        places.sort_by(|one, two| one.2.cmp(&two.2));
        let open = |directory| directories.open(self, directory);

        // A file that is there under any of the names will do.
        let mut kept: Option<Found> = None;
        let mut content = None;
        for (directory, name, path) in &places {
            let looked = open(*directory).and_then(|place| {
                let existing = self.look(&place, OsStr::from_bytes(name), inode, path)?;
                Ok((place, existing))
            });
            match looked {
                Ok((place, Existing::Fit(found))) => {
                    self.moved.lock().insert(inode.ino(), found.stat);
                    if let Err(cause) = self.adopt(&place, &found, inode, path) {
                        self.report.failure(path, cause);
                    }
                    kept = Some(found);
                    break;
                }
                Ok((_, Existing::Content(file))) => content = Some(file),
                // It is made anew below, or that fails too.
                Ok((_, Existing::Nothing | Existing::Other)) | Err(_) => {}
            }
        }
        let (mut is_made, mut are_all_made) = (false, true);
        let mut file = kept.map(|found| (found.handle, found.stat));
        for (directory, name, path) in &places {
            let name = OsStr::from_bytes(name);
            let done = open(*directory).and_then(|place| match &file {
                Some((handle, stat)) => self.make_name(&place, name, handle, stat, path),
                None if is_made => {
                    self.report.change(path, Action::Link);
                    Ok(())
                }
                None => {
                    let existing = match content.take() {
                        Some(file) => Existing::Content(file),
                        None if place.find(name)?.is_some() => Existing::Other,
                        None => Existing::Nothing,
                    };
                    self.create(&place, name, inode, path, existing)?;
                    is_made = true;
                    if !self.options.dry_run {
                        let handle = place
                            .directory()?
                            .handle(name)
                            .map_err(Cause::io("opened again"))?;
                        let stat = handle.stat().map_err(Cause::io("looked at"))?;
                        file = Some((handle, stat));
                    }
                    Ok(())
                }
            });
            if let Err(cause) = done {
                self.report.failure(path, cause);
                are_all_made = false;
                if file.is_none() && !is_made {
                    // The other names would only fail in the same way.
                    return;
                }
            }
        }
        if are_all_made {
            self.remove_moved_names(directories, inode, &places);
        }
    }

    /// Makes one more name of a file, unless it is one.
    fn make_name(
        &self,
        place: &Place,
        name: &OsStr,
        handle: &Handle,
        stat: &Stat,
        path: &ManifestPath,
    ) -> Result<(), Cause> {
        let found = place.find(name)?;
        if found
            .as_ref()
            .is_some_and(|found| found.stat.is_same_file(stat))
        {
            return Ok(());
        }
        if !self.options.dry_run {
            self.link(handle, place, name, found.is_some())?;
        }
        self.report.change(path, Action::Link);
        Ok(())
    }

    /// Whether a file that is there may become this one: it may not have become
    /// another one already, of which the manifest does not say that they are
    /// the same.
    pub fn claim(&self, stat: &Stat, inode: Inode<'_>) -> bool {
        if stat.links < 2 || !self.options.attributes.has(Attribute::Links) {
            return true;
        }
        let mut claimed = self.claimed.lock();
        *claimed
            .entry((stat.device, stat.inode))
            .or_insert_with(|| inode.ino())
            == inode.ino()
    }
}
