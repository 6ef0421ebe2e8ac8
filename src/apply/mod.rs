//! Brings a tree to what a manifest declares: in place, or with content from a
//! source.
//!
//! | step | file |
//! |---|---|
//! | directories, from the root down: made, made usable, listed | `directories.rs` |
//! | everything else, side by side | `files.rs` |
//! | files with several names | `links.rs` |
//! | what the manifest does not list goes, if that is wanted | `remove.rs` |
//! | owners, modes, attributes and times of directories, from the leaves up | `directories.rs` |
//!
//! Content is right if it has the declared digests; or, of a manifest that was just
//! made of the source, if the source's file is what it was then ([`Evidence`]).
//!
//! Nothing has its name before it is complete: a file gets its content, which
//! is judged, then owner, mode, attributes and time, in the order in which none
//! undoes another (`attributes.rs`), and then its name, in one step
//! (`place.rs`). So it can end at any moment; the next run goes on, and removes
//! what was left under a temporary name.
//!
//! Every call is relative to a directory that was opened below the root through
//! no link (`sys`). Whoever swaps directories for links meanwhile makes some
//! calls fail, and moves nothing out of the root.

mod attributes;
mod content;
mod directories;
mod event;
mod files;
mod judge;
mod links;
mod moved;
mod options;
mod place;
mod record;
mod remove;
mod report;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::inode::{Ino, Inode, InodeTable, RootOwner};
use crate::manifest::DeviceNumber;
use crate::mode::FileType;
use crate::path::ManifestPath;
use crate::source::Source;
use crate::sys::{self, Absence, RootDir, Stat};

pub use event::{Action, ApplyError, Cause, Change, Event, Failure};
pub use options::{Devices, Evidence, Mode, Options, Whiteouts};
pub use record::Record;
pub use report::Summary;

use directories::{Directories, State};
use report::Reporter;

/// Brings the directory `root` to what the manifest declares, and tells of
/// every change and of every entry that could not be had; the others are done
/// all the same, unless there is no sense in going on.
///
/// Content comes from `source`. Without one, it must be in place already.
///
/// # Errors
/// See [`ApplyError`]; then nothing was changed.
pub fn apply(
    root: &Path,
    manifest: &[u8],
    source: Option<&dyn Source>,
    options: &Options,
    on_event: impl FnMut(&Event) + Send,
) -> Result<Summary, ApplyError> {
    let table = InodeTable::build(manifest, &options.limits, RootOwner::default())?;
    let (directory, state) = open_root(root, source.is_some(), options.dry_run)?;
    let directory = match directory {
        Some(directory) if !options.cross_mounts => Some(directory.without_mounts()),
        directory => directory,
    };
    if let (Some(directory), false) = (&directory, options.dry_run)
        && !directory.lock().map_err(|error| cannot_open(root, error))?
    {
        return Err(ApplyError::Locked(root.to_owned()));
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.jobs)
        .build()
        .map_err(ApplyError::Threads)?;
    options
        .progress
        .begin(table.statistics().inodes, table.statistics().bytes);
    let mut on_event = on_event;
    let work = Work {
        table: &table,
        root: directory.as_ref(),
        source,
        options,
        is_superuser: sys::process::user().0 == 0,
        has_unnamed: AtomicBool::new(true),
        has_reflinks: AtomicBool::new(true),
        claimed: Mutex::default(),
        moved: Mutex::default(),
        report: Reporter::new(&mut on_event),
    };
    pool.install(|| {
        let directories = Directories::prepare(&work, state);
        let linked = work.make_files(&directories);
        work.make_links(&directories, linked);
        directories.remove_others(&work);
        directories.finish(&work);
    });
    Ok(work.report.finish())
}

/// What all steps share.
struct Work<'a> {
    table: &'a InodeTable,
    /// `None` in a dry run, where it would be made.
    root: Option<&'a RootDir>,
    source: Option<&'a dyn Source>,
    options: &'a Options,
    /// Whether we are root.
    is_superuser: bool,
    /// Whether the filesystem has files without a name, as far as was seen.
    has_unnamed: AtomicBool,
    /// Whether it can share blocks with the source, as far as was seen.
    has_reflinks: AtomicBool,
    /// Files with several names that are there, and what they have become.
    claimed: Mutex<HashMap<(u64, u64), Ino>>,
    /// What files with several names were in the source.
    moved: Mutex<HashMap<Ino, Stat>>,
    report: Reporter<'a>,
}

impl Work<'_> {
    /// Why an entry is left out, where it is.
    fn leaves_out(&self, inode: Inode<'_>) -> bool {
        match inode.mode().file_type() {
            _ if is_whiteout(inode) => self.options.whiteouts == Whiteouts::None,
            FileType::CharDevice | FileType::BlockDevice => self.options.devices == Devices::Skip,
            FileType::Socket => !self.options.sockets,
            _ => false,
        }
    }

    /// Whether no try has shown that files without a name cannot be had.
    fn can_be_unnamed(&self) -> bool {
        self.has_unnamed.load(Ordering::Relaxed)
    }

    /// Whether no try has shown that blocks cannot be shared.
    fn can_reflink(&self) -> bool {
        self.has_reflinks.load(Ordering::Relaxed)
    }

    fn cannot_reflink(&self) {
        self.has_reflinks.store(false, Ordering::Relaxed);
    }
}

/// A character device 0:0, as overlayfs has it.
fn is_whiteout(inode: Inode<'_>) -> bool {
    inode.mode().file_type() == FileType::CharDevice && inode.device() == DeviceNumber::new(0, 0)
}

/// Opens the root, or makes it where that makes sense.
fn open_root(
    root: &Path,
    may_make: bool,
    dry_run: bool,
) -> Result<(Option<RootDir>, State), ApplyError> {
    match RootDir::open(root) {
        Err(error) if may_make && Absence::of(&error) == Some(Absence::Missing) => {
            let cannot_make = |error| ApplyError::Make {
                root: root.to_owned(),
                error,
            };
            if dry_run {
                can_be_made(root).map_err(cannot_make)?;
                return Ok((None, State::Absent));
            }
            std::fs::create_dir(root).map_err(cannot_make)?;
            let made = RootDir::open(root).map_err(|error| cannot_open(root, error))?;
            Ok((Some(made), State::New))
        }
        opened => {
            let opened = opened.map_err(|error| cannot_open(root, error))?;
            Ok((Some(opened), State::Existing))
        }
    }
}

/// What mkdir(2) would say of a missing directory before it looks at rights.
fn can_be_made(root: &Path) -> io::Result<()> {
    if root.symlink_metadata().is_ok() {
        return Err(sys::Errno::EXIST.into());
    }
    match root.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => RootDir::open(parent).map(drop),
        _ => Ok(()),
    }
}

fn cannot_open(root: &Path, error: io::Error) -> ApplyError {
    ApplyError::Root {
        root: root.to_owned(),
        error,
    }
}

/// The path of a name in a directory. Both come from a table in which every
/// path was checked.
fn join(directory: &ManifestPath, name: &[u8]) -> ManifestPath {
    directory
        .join(name)
        .unwrap_or_else(|_| ManifestPath::root())
}
