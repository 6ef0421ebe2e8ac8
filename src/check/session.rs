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

/// How many of these are looked at before the whole manifest has been read.
const BATCHES_AHEAD: usize = 16;

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
    check_tree(manifest, options)
        .and_then(|_| PathIndex::new(manifest, &options.limits))
        .map_err(CheckError::of(which))
}

/// Tells how many bytes the regular files of a manifest have, if it makes a
/// tree.
fn check_tree(manifest: &[u8], options: &Options) -> Result<u64, ManifestError> {
    let table = InodeTable::build(manifest, &options.limits, RootOwner::default())?;
    Ok(table.statistics().bytes)
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
    ///
    /// The first files are looked at while it is found out whether the manifest
    /// makes a tree; nothing is told of them before that is known.
    pub fn check_directory(
        mut self,
        (manifest, which): (&[u8], Which),
        root: &RootDir,
        wanted_root: Option<&RootDir>,
    ) -> Result<Summary, CheckError> {
        let options = self.options;
        let refused = CheckError::of(which);
        let wanted = match PathIndex::new(manifest, &options.limits) {
            Ok(wanted) => wanted,
            // What is wrong with a resource before that place is told first.
            Err(error) => {
                let first = check_tree(manifest, options).err();
                return Err(refused(first.unwrap_or(error)));
            }
        };
        self.summary.resources = wanted.resources();
        options.progress.begin(wanted.resources(), 0);
        let checker = Checker {
            root,
            wanted_root,
            rules: options.rules(),
            progress: &options.progress,
        };
        let mut batches = Batches::new(&wanted, checker);
        let (bytes, ahead) = rayon::join(
            || check_tree(manifest, options),
            || {
                let ahead = batches.by_ref().take(BATCHES_AHEAD);
                ahead.collect::<Result<Vec<_>, _>>()
            },
        );
        let bytes = bytes.map_err(&refused)?;
        if options.attributes.has(Attribute::Content) {
            options.progress.expect_bytes(bytes);
        }
        let ahead = ahead.map_err(&refused)?.into_iter().map(Ok);
        let mut links = DirectoryLinks::new();
        let mut unlisted = options
            .strict
            .then(|| Unlisted::new(root, &wanted, options.sockets));
        for batch in ahead.chain(batches) {
            for looked in batch.map_err(&refused)? {
                self.tell_unlisted(unlisted.as_mut(), Some(&looked.path), &checker)?;
                self.tell(checker.judge(looked, &mut links))?;
            }
        }
        self.tell_unlisted(unlisted.as_mut(), None, &checker)?;
        Ok(self.summary)
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
