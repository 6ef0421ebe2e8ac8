//! One comparison from beginning to end: batches, threads, counting.

use std::io;
use std::path::Path;
use std::slice::Chunks;

use rayon::prelude::*;

use crate::attributes::Attribute;
use crate::inode::{InodeTable, RootOwner};
use crate::manifest::{Indexed, ManifestError, PathIndex};
use crate::path::ManifestPath;
use crate::sys::RootDir;

use super::directory::{Checker, DirectoryLinks, Looked};
use super::error::{CheckError, Which};
use super::finding::{Change, DifferenceKind, Finding};
use super::open_directory::Directories;
use super::unlisted::Unlisted;
use super::{Options, Summary, merge};

/// How many paths are in memory at once.
const BATCH: usize = 1024;

/// Does all of a comparison on as many threads as it may take.
pub(super) fn on_threads<T: Send>(
    options: &Options,
    compare: impl FnOnce() -> Result<T, CheckError> + Send,
) -> Result<T, CheckError> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.jobs)
        .build()
        .map_err(CheckError::Threads)?;
    pool.install(compare)
}

/// Opens a directory that is compared.
pub(super) fn open(root: &Path) -> Result<RootDir, CheckError> {
    RootDir::open(root).map_err(|error| CheckError::Root {
        root: root.to_owned(),
        error,
    })
}

/// Reads a manifest that is compared: all of it, and that it makes a tree, for
/// half a verdict is none.
pub(super) fn read<'a>(
    manifest: &'a [u8],
    options: &Options,
    which: Which,
) -> Result<PathIndex<'a>, CheckError> {
    read_sized(manifest, options, which).map(|(index, _)| index)
}

/// The same, and how many bytes its regular files have.
fn read_sized<'a>(
    manifest: &'a [u8],
    options: &Options,
    which: Which,
) -> Result<(PathIndex<'a>, u64), CheckError> {
    let (tree, index) = rayon::join(
        || {
            let table = InodeTable::build(manifest, &options.limits, RootOwner::default())?;
            Ok(table.statistics().bytes)
        },
        || PathIndex::new(manifest, &options.limits),
    );
    // It has read all resources, and so tells what is wrong with the first of them.
    let bytes = tree.map_err(CheckError::of(which))?;
    Ok((index.map_err(CheckError::of(which))?, bytes))
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
        wanted: &PathIndex<'_>,
        found: &PathIndex<'_>,
    ) -> Result<Summary, CheckError> {
        self.summary.resources = wanted.resources();
        let paths = wanted.entries().len().max(found.entries().len());
        self.options.progress.begin(paths as u64, 0);
        let rules = self.options.rules();
        merge::compare_manifests(wanted, found, &rules, |difference| {
            self.options.progress.add_files(1);
            let difference =
                difference.filter(|one| rules.strict || !matches!(one.kind, DifferenceKind::Added));
            self.tell(difference.map(Finding::Different))
        })?;
        Ok(self.summary)
    }

    /// Compares what a manifest declares with a directory; `wanted_root` has
    /// the files themselves where no digests are declared.
    pub fn check_directory(
        mut self,
        (manifest, which): (&[u8], Which),
        root: &RootDir,
        wanted_root: Option<&RootDir>,
    ) -> Result<Summary, CheckError> {
        let options = self.options;
        let (wanted, bytes) = read_sized(manifest, options, which)?;
        self.summary.resources = wanted.resources();
        let is_read = options.attributes.has(Attribute::Content);
        let bytes = if is_read { bytes } else { 0 };
        options.progress.begin(wanted.resources(), bytes);
        let checker = Checker {
            root,
            wanted_root,
            rules: options.rules(),
            progress: &options.progress,
        };
        let mut links = DirectoryLinks::new();
        let mut unlisted = options
            .strict
            .then(|| Unlisted::new(root, &wanted, options.sockets));
        let mut batches = Batches::new(&wanted, checker);
        let mut next = batches.next();
        while let Some(batch) = next {
            let batch = batch.map_err(CheckError::of(which))?;
            // The next ones are looked at while these are told.
            let (told, after) = rayon::join(
                || self.tell_batch(batch, &mut links, unlisted.as_mut(), &checker),
                || batches.next(),
            );
            told?;
            next = after;
        }
        self.tell_unlisted(unlisted.as_mut(), None, &checker)?;
        Ok(self.summary)
    }

    fn tell_batch(
        &mut self,
        batch: Vec<Looked>,
        links: &mut DirectoryLinks,
        mut unlisted: Option<&mut Unlisted<'_>>,
        checker: &Checker<'_>,
    ) -> Result<(), CheckError> {
        for looked in batch {
            self.tell_unlisted(unlisted.as_deref_mut(), Some(&looked.path), checker)?;
            self.tell(checker.judge(looked, links))?;
        }
        Ok(())
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

/// Looks at all paths of a manifest, many at once, in their order.
struct Batches<'a> {
    wanted: &'a PathIndex<'a>,
    checker: Checker<'a>,
    directories: Directories<'a>,
    entries: Chunks<'a, Indexed<'a>>,
}

impl<'a> Batches<'a> {
    fn new(wanted: &'a PathIndex<'a>, checker: Checker<'a>) -> Self {
        Self {
            wanted,
            checker,
            directories: Directories::default(),
            entries: wanted.entries().chunks(BATCH),
        }
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<Vec<Looked>, ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self {
            wanted,
            checker,
            directories,
            entries,
        } = self;
        let of = |entry: &Indexed<'a>| (*entry, directories.of(entry.path()));
        let batch: Vec<_> = entries.next()?.iter().map(of).collect();
        let looked = batch
            .into_par_iter()
            .with_max_len(4)
            .map(|(entry, directory)| {
                let (path, resource) = wanted.read(entry)?;
                let file = merge::file(entry, &resource);
                Ok(checker.look(path, file, resource, &directory))
            });
        Some(looked.collect())
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
