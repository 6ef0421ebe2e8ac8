//! Checks a tree against a manifest.

mod content;
mod finding;
mod resource;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use thiserror::Error;

use crate::attributes::{Attribute, AttributeSet};
use crate::escape::Escaped;
use crate::inode::{InodeTable, RootOwner};
use crate::manifest::{Limits, ManifestError, Resource, Resources, read_header};
use crate::progress::Progress;
use crate::sys::RootDir;

pub use finding::{Difference, Finding, Trouble, TroubleCause};

use resource::Checker;

/// How to check.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which attributes must be as declared.
    pub attributes: AttributeSet,
    /// How many threads read files; 0 for as many as there are processors.
    pub jobs: usize,
    /// Bounds on what the manifest may hold.
    pub limits: Limits,
    /// Where to count what was checked.
    pub progress: Arc<Progress>,
}

/// As the Go tool: everything but times.
impl Default for Options {
    fn default() -> Self {
        Self {
            attributes: AttributeSet::all().without(Attribute::Mtime),
            jobs: 0,
            limits: Limits::default(),
            progress: Arc::default(),
        }
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many resources were checked, the root among them.
    pub resources: u64,
    /// How many bytes of content were hashed, or would have been.
    pub content: u64,
    /// How many differences were found.
    pub differences: u64,
    /// How often it could not be told whether there is one.
    pub troubles: u64,
}

/// Why nothing was checked.
#[derive(Debug, Error)]
pub enum CheckError {
    /// The root cannot be opened.
    #[error("cannot open directory {:?}: {error}", Escaped(.root.as_os_str().as_encoded_bytes()))]
    Root {
        /// The root, as it was given.
        root: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The manifest is refused.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// There can be no threads.
    #[error("cannot start threads: {0}")]
    Threads(#[source] rayon::ThreadPoolBuildError),
}

/// How many resources are in memory at once.
const BATCH: usize = 1024;

/// Compares what a manifest declares with what is in the directory `root`,
/// and tells everything that differs, in the order of the manifest.
///
/// Files that the manifest does not name are not looked at, and no symlink
/// below `root` is followed.
///
/// # Errors
/// See [`CheckError`]; then no finding was told.
pub fn verify(
    root: &Path,
    manifest: &[u8],
    options: &Options,
    mut on_finding: impl FnMut(&Finding) + Send,
) -> Result<Summary, CheckError> {
    let directory = RootDir::open(root).map_err(|error| CheckError::Root {
        root: root.to_owned(),
        error,
    })?;
    let header = read_header(manifest, &options.limits)?;
    // All of it, and that it makes a tree, before the first finding: half a
    // verdict is none.
    let table = InodeTable::build(manifest, &options.limits, RootOwner::default())?;
    let statistics = table.statistics();
    let bytes = if options.attributes.has(Attribute::Content) {
        statistics.bytes
    } else {
        0
    };
    let files = statistics.inodes - u64::from(header.root.is_none());
    let files = files.saturating_sub(statistics.implied_directories);
    options.progress.begin(files, bytes);
    drop(table);
    let checker = Checker {
        directory: &directory,
        root,
        attributes: &options.attributes,
        progress: &options.progress,
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.jobs)
        .build()
        .map_err(CheckError::Threads)?;
    pool.install(|| {
        let mut summary = Summary::default();
        if let Some(metadata) = &header.root {
            summary.resources += 1;
            let findings = checker.check_root(metadata);
            options.progress.add_files(1);
            summary.tell(&findings, &mut on_finding);
        }
        let mut resources = Resources::new(manifest, &options.limits);
        loop {
            let batch: Vec<Resource> = resources.by_ref().take(BATCH).collect::<Result<_, _>>()?;
            if batch.is_empty() {
                return Ok(summary);
            }
            let findings: Vec<Vec<Finding>> = batch
                .par_iter()
                .with_max_len(4)
                .map(|resource| {
                    let findings = checker.check(resource);
                    options.progress.add_files(1);
                    findings
                })
                .collect();
            summary.count(&batch);
            for findings in findings {
                summary.tell(&findings, &mut on_finding);
            }
        }
    })
}

impl Summary {
    /// Whether the tree was read in full and nothing differs.
    #[must_use]
    pub const fn is_same(&self) -> bool {
        self.differences == 0 && self.troubles == 0
    }

    fn count(&mut self, batch: &[Resource]) {
        self.resources += batch.len() as u64;
        let content = batch.iter().map(|resource| match &resource.kind {
            crate::manifest::Kind::Regular(content) => content.size,
            _ => 0,
        });
        // Sizes are what the manifest says, and it may say anything.
        self.content = content.fold(self.content, u64::saturating_add);
    }

    fn tell(&mut self, findings: &[Finding], on_finding: &mut impl FnMut(&Finding)) {
        for finding in findings {
            match finding {
                Finding::Different(_) => self.differences += 1,
                Finding::Trouble(_) => self.troubles += 1,
            }
            on_finding(finding);
        }
    }
}
