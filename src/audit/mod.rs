//! Reads everything through a mount, to find out what it refuses.
//!
//! Each byte is asked of the kernel, and where the kernel asks the mount for it, it is
//! checked on its way. So nothing is compared here: what can be read matched.

mod content;
mod error;
mod walk;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use crate::progress::Progress;
use crate::sys::Errno;

pub use error::AuditError;

use content::Reader;
use walk::{Found, Walk};

/// How many paths are in memory at once.
const BATCH: usize = 1024;

/// How an audit is made.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whether what the kernel has in its page cache is believed: it was checked when
    /// it came in.
    pub cached: bool,
    /// How many threads to use; 0 for one on each processor.
    pub jobs: usize,
    /// How far it has come.
    pub progress: Arc<Progress>,
}

/// Something that cannot be read.
#[derive(Debug)]
pub struct Finding {
    /// Where, from the root of the audit on; empty for the root itself.
    pub path: PathBuf,
    /// Its inode number, where it could be told.
    pub ino: u64,
    /// What is wrong.
    pub wrong: Wrong,
}

/// What is wrong with a path.
#[derive(Debug)]
pub enum Wrong {
    /// The mount refuses its content.
    Refused {
        /// The first byte that could not be read.
        offset: u64,
    },
    /// Something else is in the way, so nobody knows.
    Trouble(io::Error),
}

/// How an audit ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many paths there were, of any kind.
    pub paths: u64,
    /// How many of them were regular files.
    pub files: u64,
    /// How many bytes could be read.
    pub bytes: u64,
    /// How many files were refused.
    pub refused: u64,
    /// How many paths could not be looked at.
    pub troubles: u64,
    /// How many places were left out because something else is mounted there.
    pub covered: u64,
}

/// Reads all files below `root`, the targets of all links, and the attributes of
/// everything, and tells what cannot be read, in the order of the directories. What
/// else is mounted there is left out.
///
/// # Errors
/// When the root cannot be read, and whatever `tell` says.
pub fn audit(
    root: &Path,
    options: &Options,
    tell: impl FnMut(&Finding) -> io::Result<()> + Send,
) -> Result<Summary, AuditError> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.jobs)
        .build()
        .map_err(AuditError::Threads)?;
    pool.install(|| run(root, options, tell))
}

fn run(
    root: &Path,
    options: &Options,
    mut tell: impl FnMut(&Finding) -> io::Result<()>,
) -> Result<Summary, AuditError> {
    let mut walk = Walk::new(root).map_err(|cause| AuditError::Root {
        root: root.to_owned(),
        cause,
    })?;
    let auditor = Auditor {
        root,
        options,
        device: walk.device(),
    };
    let mut summary = Summary::default();
    loop {
        let batch: Vec<Found> = walk.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            break;
        }
        let looked: Vec<Looked> = batch
            .into_par_iter()
            .map_init(
                || Reader::new(options.cached),
                |reader, found| auditor.look(reader, found),
            )
            .collect();
        for looked in looked {
            summary.count(&looked);
            if let Some(finding) = looked.finding {
                tell(&finding).map_err(AuditError::Output)?;
            }
        }
    }
    Ok(summary)
}

/// What came of a path.
#[derive(Default)]
struct Looked {
    is_file: bool,
    is_covered: bool,
    bytes: u64,
    finding: Option<Finding>,
}

struct Auditor<'a> {
    root: &'a Path,
    options: &'a Options,
    device: u64,
}

impl Auditor<'_> {
    fn look(&self, reader: &mut Reader, found: Found) -> Looked {
        let Found { path, listed } = found;
        let mut looked = Looked::default();
        let mut ino = 0;
        let wrong = match listed {
            Ok(()) => self.look_at(reader, &path, &mut looked, &mut ino),
            Err(error) => Some(Wrong::Trouble(error)),
        };
        looked.finding = wrong.map(|wrong| Finding { path, ino, wrong });
        self.options.progress.add_files(1);
        looked
    }

    fn look_at(
        &self,
        reader: &mut Reader,
        path: &Path,
        looked: &mut Looked,
        ino: &mut u64,
    ) -> Option<Wrong> {
        let place = self.root.join(path);
        let metadata = match fs::symlink_metadata(&place) {
            Ok(metadata) => metadata,
            Err(error) => return Some(Wrong::Trouble(error)),
        };
        *ino = metadata.ino();
        if metadata.dev() != self.device {
            looked.is_covered = true;
            return None;
        }
        let kind = metadata.file_type();
        if kind.is_symlink() {
            return fs::read_link(&place).err().map(Wrong::Trouble);
        }
        if !kind.is_file() {
            return None;
        }
        looked.is_file = true;
        let progress = &self.options.progress;
        let read = reader.read(&place, self.device, &mut |count| {
            looked.bytes = looked.bytes.saturating_add(count);
            progress.add_bytes(count);
        });
        match read {
            Ok(length) if length == metadata.len() => None,
            // Nobody but a flaw of the mount can bring that about.
            Ok(length) => Some(Wrong::Trouble(io::Error::other(format!(
                "it has {length} bytes, and should have {}",
                metadata.len()
            )))),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::IO) => Some(Wrong::Refused {
                offset: looked.bytes,
            }),
            Err(error) => Some(Wrong::Trouble(error)),
        }
    }
}

impl Summary {
    fn count(&mut self, looked: &Looked) {
        self.paths += 1;
        self.files += u64::from(looked.is_file);
        self.covered += u64::from(looked.is_covered);
        self.bytes = self.bytes.saturating_add(looked.bytes);
        match looked.finding.as_ref().map(|finding| &finding.wrong) {
            Some(Wrong::Refused { .. }) => self.refused += 1,
            Some(Wrong::Trouble(_)) => self.troubles += 1,
            None => {}
        }
    }
}
