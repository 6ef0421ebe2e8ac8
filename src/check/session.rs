//! One comparison from beginning to end: batches, threads, counting.

use std::io;
use std::path::Path;

use rayon::prelude::*;

use crate::attributes::Attribute;
use crate::inode::{InodeTable, RootOwner};
use crate::manifest::{ManifestError, PathIndex};
use crate::path::ManifestPath;
use crate::sys::RootDir;

use super::directory::{Checker, DirectoryLinks, Looked};
use super::error::{CheckError, Which};
use super::finding::{Change, DifferenceKind, Finding};
use super::unlisted::Unlisted;
use super::{Options, Summary, merge};

/// How many paths are in memory at once.
const BATCH: usize = 1024;

/// Opens a directory that is compared.
pub(super) fn open(root: &Path) -> Result<RootDir, CheckError> {
    RootDir::open(root).map_err(|error| CheckError::Root {
        root: root.to_owned(),
        error,
    })
}

/// A manifest that is compared.
pub(super) struct Declared<'a> {
    pub index: PathIndex<'a>,
    /// How many resources there are, the root among them where it is declared.
    resources: u64,
    /// How many bytes its regular files have.
    bytes: u64,
}

/// Reads a manifest that is compared: all of it, and that it makes a tree, for
/// half a verdict is none.
pub(super) fn read<'a>(
    manifest: &'a [u8],
    options: &Options,
    which: Which,
) -> Result<Declared<'a>, CheckError> {
    let checked = || {
        let table = InodeTable::build(manifest, &options.limits, RootOwner::default())?;
        let bytes = table.statistics().bytes;
        drop(table);
        let index = PathIndex::new(manifest, &options.limits)?;
        Ok(Declared {
            resources: index.resources(),
            index,
            bytes,
        })
    };
    checked().map_err(CheckError::of(which))
}

/// What goes on while two sides are compared.
pub(super) struct Session<'a, F> {
    options: &'a Options,
    /// Whether the sides are told the other way round.
    is_reversed: bool,
    on_finding: F,
    summary: Summary,
}

impl<'a, F: FnMut(&Finding) -> io::Result<()> + Send> Session<'a, F> {
    pub fn new(options: &'a Options, is_reversed: bool, on_finding: F) -> Self {
        Self {
            options,
            is_reversed,
            on_finding,
            summary: Summary::default(),
        }
    }

    /// Compares two manifests.
    pub fn compare_manifests(
        mut self,
        wanted: &Declared<'_>,
        found: &Declared<'_>,
    ) -> Result<Summary, CheckError> {
        self.summary.resources = wanted.resources;
        let paths = wanted
            .index
            .entries()
            .len()
            .max(found.index.entries().len());
        self.options.progress.begin(paths as u64, 0);
        let rules = self.options.rules();
        merge::compare_manifests(&wanted.index, &found.index, &rules, |difference| {
            self.options.progress.add_files(1);
            let difference =
                difference.filter(|one| rules.strict || !matches!(one.kind, DifferenceKind::Added));
            self.tell(difference.map(Finding::Different))
        })?;
        Ok(self.summary)
    }

    /// Compares what is declared with a directory; `wanted_root` has the files
    /// themselves where no digests are declared.
    pub fn check_directory(
        mut self,
        wanted: &Declared<'_>,
        root: &RootDir,
        wanted_root: Option<&RootDir>,
    ) -> Result<Summary, CheckError> {
        let options = self.options;
        self.summary.resources = wanted.resources;
        let has_content = options.attributes.has(Attribute::Content);
        let bytes = if has_content { wanted.bytes } else { 0 };
        options.progress.begin(wanted.resources, bytes);
        let checker = Checker {
            root,
            wanted_root,
            rules: options.rules(),
            progress: &options.progress,
        };
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(options.jobs)
            .build()
            .map_err(CheckError::Threads)?;
        pool.install(|| self.check_batches(&wanted.index, &checker))?;
        Ok(self.summary)
    }

    fn check_batches(
        &mut self,
        wanted: &PathIndex<'_>,
        checker: &Checker<'_>,
    ) -> Result<(), CheckError> {
        let options = self.options;
        let mut links = DirectoryLinks::new();
        let mut unlisted = options
            .strict
            .then(|| Unlisted::new(checker.root, wanted, options.sockets));
        for batch in wanted.entries().chunks(BATCH) {
            let looked = batch.par_iter().with_max_len(4).map(|entry| {
                let (path, resource) = wanted.read(*entry)?;
                let file = merge::file(*entry, &resource);
                Ok(checker.look(path, file, resource))
            });
            let looked: Vec<Looked> = looked
                .collect::<Result<_, ManifestError>>()
                .map_err(CheckError::of(Which::First))?;
            for looked in looked {
                self.tell_unlisted(unlisted.as_mut(), Some(&looked.path), checker)?;
                self.tell(checker.judge(looked, &mut links))?;
            }
        }
        self.tell_unlisted(unlisted.as_mut(), None, checker)
    }

    /// Tells of what is not listed and comes before a path.
    fn tell_unlisted(
        &mut self,
        unlisted: Option<&mut Unlisted<'_>>,
        end: Option<&ManifestPath>,
        checker: &Checker<'_>,
    ) -> Result<(), CheckError> {
        let Some(unlisted) = unlisted else {
            return Ok(());
        };
        for found in unlisted.before(end) {
            match found {
                Ok(found) => self.tell(checker.unexpected(found).map(Finding::Different))?,
                Err(trouble) => self.tell([Finding::Trouble(trouble)])?,
            }
        }
        Ok(())
    }

    fn tell(&mut self, findings: impl IntoIterator<Item = Finding>) -> Result<(), CheckError> {
        for mut finding in findings {
            if self.is_reversed {
                finding = finding.reversed();
            }
            self.summary.count(&finding);
            (self.on_finding)(&finding)?;
        }
        Ok(())
    }
}

impl Summary {
    fn count(&mut self, finding: &Finding) {
        let difference = match finding {
            Finding::Different(difference) => difference,
            Finding::Trouble(_) => {
                self.troubles += 1;
                return;
            }
        };
        self.differences += difference.count();
        match &difference.kind {
            DifferenceKind::Missing { .. } => self.missing += 1,
            DifferenceKind::Added => self.added += 1,
            DifferenceKind::Changed(changes) => {
                self.changed += 1;
                let is_content = |change: &Change| {
                    matches!(change.attribute(), Attribute::Content | Attribute::Size)
                };
                self.content += u64::from(changes.iter().any(is_content));
            }
        }
    }
}
