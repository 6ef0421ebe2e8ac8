//! One directory while it is visited.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;

use parking_lot::Mutex;

use crate::manifest::{EncodeError, Kind};
use crate::path::ManifestPath;
use crate::sys::{Absence, Entry, EntryKind, Errno, RootDir, Stat};
use crate::tree::{Node, NodeError, ReadError, inspect_handle, inspect_open};

use super::error::{Cause, Failure};
use super::found::{Found, Ready};
use super::hash;
use super::ignore::Layers;
use super::left_out::{self, LeftOut};
use super::options::Options;
use super::walk::Pending;
use super::whiteout::{self, AufsName, Convention};

/// A directory that is open, and what was found in it so far.
#[derive(Debug)]
pub(super) struct Directory<'a> {
    pub pending: Pending,
    pub handle: RootDir,
    /// Itself, as it was before it was listed.
    pub node: Node,
    pub entries: Vec<Entry>,
    pub layers: Layers,
    pub options: &'a Options,
    pub listing: Mutex<Listing>,
}

/// What was found in a directory.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The directories in it.
    pub directories: Vec<Pending>,
    /// What else is in it, and has to wait.
    pub files: Vec<Found>,
    /// What else is in it.
    pub ready: Vec<Ready>,
    /// Files that the form has no place for.
    pub refused: Vec<EncodeError>,
    pub left_out: LeftOut,
    pub failures: Vec<Failure>,
    /// Files of aufs that say that another name is gone.
    whiteouts: Vec<Found>,
    /// Whether a file of aufs says that it is opaque.
    opaque: bool,
    /// Whether anything was not as the directory said.
    changed: bool,
}

impl Directory<'_> {
    /// Keeps nothing but the tag of a directory that is a cache.
    pub fn without_cache(mut self) -> Result<Self, Cause> {
        let is_tag = |entry: &Entry| entry.name == left_out::CACHE_TAG;
        if self.options.selection.without_caches
            && self.entries.iter().any(is_tag)
            && self.has_cache_tag()?
        {
            self.entries.retain(is_tag);
            self.listing.get_mut().left_out.caches += 1;
        }
        Ok(self)
    }

    fn has_cache_tag(&self) -> Result<bool, Cause> {
        let name = OsStr::new(left_out::CACHE_TAG);
        let stat = self.handle.stat(name).map_err(NodeError::from)?;
        if stat.st_mode & 0o170_000 != 0o100_000 {
            return Ok(false);
        }
        let file = self.handle.open_file(name).map_err(ReadError::from)?;
        Ok(left_out::is_cache_tag(&file).map_err(ReadError::from)?)
    }

    /// Looks at so many of its entries, from the `start`th on.
    pub fn take(&self, start: usize, count: usize) {
        let mut listing = Listing::default();
        for entry in self.entries.iter().skip(start).take(count) {
            match self.take_one(entry, &mut listing) {
                Ok(()) => {}
                Err((_, Cause::Listing)) => {
                    listing.changed = true;
                    break;
                }
                Err((path, cause)) => listing.failures.push(Failure { path, cause }),
            }
        }
        listing.encode(self.options);
        self.listing.lock().add(listing);
    }

    fn take_one(&self, entry: &Entry, listing: &mut Listing) -> Result<(), (ManifestPath, Cause)> {
        let name = entry.name.as_bytes();
        let path = match self.pending.path.join(name) {
            Ok(path) => path,
            Err(error) => {
                let name = Box::from(name);
                let cause = Cause::Path { name, error };
                return Err((self.pending.path.clone(), cause));
            }
        };
        match entry.kind {
            EntryKind::Directory => {
                self.take_directory(name, path, listing);
                Ok(())
            }
            EntryKind::Regular => self.take_file(name, &path, listing),
            EntryKind::Other => self.take_other(name, &path, listing),
        }
        .map_err(|cause| (path_of(&self.pending.path, name), cause))
    }

    fn take_directory(&self, name: &[u8], path: ManifestPath, listing: &mut Listing) {
        let selection = &self.options.selection;
        if self.is_ignored(&path, true) {
            listing.left_out.ignored += 1;
            return;
        }
        if self.options.whiteouts == Some(Convention::Aufs)
            && whiteout::aufs_name(name) == AufsName::Private
        {
            return;
        }
        if left_out::is_appledouble_directory(name) {
            if selection.without_appledouble {
                listing.left_out.appledouble += 1;
                return;
            }
            listing
                .left_out
                .appledouble_taken
                .get_or_insert(path.clone());
        }
        listing.directories.push(Pending {
            path,
            layers: self.layers.clone(),
            opaque: false,
            again: false,
        });
    }

    /// Takes what was a regular file when the directory was read. It is opened
    /// once, for all that there is to know of it.
    fn take_file(
        &self,
        name: &[u8],
        path: &ManifestPath,
        listing: &mut Listing,
    ) -> Result<(), Cause> {
        let selection = &self.options.selection;
        if !self.options.content && !selection.without_appledouble {
            return self.take_other(name, path, listing);
        }
        if self.is_ignored(path, false) {
            listing.left_out.ignored += 1;
            return Ok(());
        }
        let file = match self.handle.open_listed(OsStr::from_bytes(name)) {
            Ok(file) => file,
            // Something is mounted there, and may be a device.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::XDEV) => {
                return self.take_other(name, path, listing);
            }
            // Its name was there when the directory was read.
            Err(error) if Absence::of(&error).is_some() => return Err(Cause::Listing),
            Err(error) => return Err(ReadError::from(error).into()),
        };
        let Some(node) = self.read_file(&file, path)? else {
            return self.take_other(name, path, listing);
        };
        if left_out::is_appledouble(name, &file).map_err(ReadError::from)? {
            if selection.without_appledouble {
                listing.left_out.appledouble += 1;
                return Ok(());
            }
            let first = &mut listing.left_out.appledouble_taken;
            first.get_or_insert_with(|| path.clone());
        }
        self.add(name, path, node, listing)
    }

    /// A regular file with its content, if it is small; looked at once more if
    /// it changes meanwhile, but not for ever.
    fn read_file(&self, file: &File, path: &ManifestPath) -> Result<Option<Node>, Cause> {
        let mut again = true;
        loop {
            let Some(mut node) = inspect_open(file, self.options.reads_xattrs())? else {
                return Ok(None);
            };
            let Kind::Regular(_) = node.kind else {
                return Ok(None);
            };
            match hash::read_small(file, path, &node.stat, self.options) {
                Ok(Some(content)) => node.kind = Kind::Regular(content),
                Ok(None) => {}
                Err(ReadError::Changed) if again => {
                    again = false;
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            self.options.read_node(&mut node)?;
            return Ok(Some(node));
        }
    }

    /// Takes a file of any kind, without opening it.
    fn take_other(
        &self,
        name: &[u8],
        path: &ManifestPath,
        listing: &mut Listing,
    ) -> Result<(), Cause> {
        let handle = match self.handle.handle(OsStr::from_bytes(name)) {
            Ok(handle) => handle,
            Err(error) if Absence::of(&error).is_some() => return Err(Cause::Listing),
            Err(error) => return Err(NodeError::from(error).into()),
        };
        let mut node = inspect_handle(&handle, self.options.reads_xattrs())?;
        if node.kind == Kind::Directory {
            self.take_directory(name, path.clone(), listing);
            return Ok(());
        }
        if self.is_ignored(path, false) {
            listing.left_out.ignored += 1;
            return Ok(());
        }
        self.options.read_node(&mut node)?;
        self.add(name, path, node, listing)
    }

    fn add(
        &self,
        name: &[u8],
        path: &ManifestPath,
        node: Node,
        listing: &mut Listing,
    ) -> Result<(), Cause> {
        let selection = &self.options.selection;
        match &node.kind {
            Kind::Socket if !selection.sockets => listing.left_out.sockets += 1,
            Kind::CharDevice(_) | Kind::BlockDevice(_)
                if !selection.devices && !node.metadata.whiteout =>
            {
                listing.left_out.devices += 1;
            }
            Kind::Regular(_) if self.options.whiteouts == Some(Convention::Aufs) => {
                match whiteout::aufs_name(name) {
                    AufsName::Whiteout(hidden) => {
                        let hidden = path_of(&self.pending.path, hidden);
                        listing.whiteouts.push(whiteout::whiteout(hidden, node));
                    }
                    AufsName::Opaque => listing.opaque = true,
                    AufsName::Private => {}
                    AufsName::Plain => listing.files.push(Found::new(path.clone(), node)),
                }
            }
            _ => listing.files.push(Found::new(path.clone(), node)),
        }
        Ok(())
    }

    fn is_ignored(&self, path: &ManifestPath, is_directory: bool) -> bool {
        let first = &self.options.selection.ignore;
        self.layers.leave_out(first, path, is_directory)
    }

    /// Itself and what is in it, if nothing changed while it was visited.
    pub fn finish(self) -> Result<(Node, Listing), Cause> {
        let mut listing = self.listing.into_inner();
        let after = Stat::of(&self.handle).map_err(NodeError::from)?;
        if listing.changed || !after.is_unchanged(&self.node.stat) {
            return Err(Cause::Listing);
        }
        let mut node = self.node;
        if listing.opaque {
            whiteout::make_opaque(&mut node.metadata);
        }
        listing.resolve_whiteouts();
        listing.encode(self.options);
        Ok((node, listing))
    }
}

/// A name that was joined before, or is shorter than one that was.
fn path_of(directory: &ManifestPath, name: &[u8]) -> ManifestPath {
    directory.join(name).unwrap_or_else(|_| directory.clone())
}

impl Listing {
    fn add(&mut self, part: Self) {
        self.directories.extend(part.directories);
        self.files.extend(part.files);
        self.ready.extend(part.ready);
        self.refused.extend(part.refused);
        self.left_out += part.left_out;
        self.failures.extend(part.failures);
        self.whiteouts.extend(part.whiteouts);
        self.opaque |= part.opaque;
        self.changed |= part.changed;
    }

    /// Makes bytes of what need not wait.
    fn encode(&mut self, options: &Options) {
        let files = std::mem::take(&mut self.files).into_iter();
        for file in files {
            if file.is_waiting(options) {
                self.files.push(file);
                continue;
            }
            match file.encode(options.form) {
                Ok(ready) => self.ready.push(ready),
                Err(error) => self.refused.push(error),
            }
        }
    }

    /// A whiteout hides what lower layers have, not what stands beside it: a
    /// file takes its place anyway, and a directory hides what is below.
    fn resolve_whiteouts(&mut self) {
        if self.whiteouts.is_empty() {
            return;
        }
        let waiting = self.files.iter().map(|file| file.resource.path().clone());
        let ready = self.ready.iter().map(|file| file.path.clone());
        let files: HashSet<ManifestPath> = waiting.chain(ready).collect();
        for whiteout in std::mem::take(&mut self.whiteouts) {
            let path = whiteout.resource.path();
            let beside = self.directories.iter_mut().find(|one| one.path == *path);
            match beside {
                Some(directory) => directory.opaque = true,
                None if files.contains(path) => {}
                None => self.files.push(whiteout),
            }
        }
    }
}
