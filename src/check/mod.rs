//! Compares trees: a directory with a manifest, or any two of them.
//!
//! [`compare`] says in what two resources differ, and knows nothing of files.
//! Two manifests are merged path by path (`merge`). The files of a directory
//! are looked at under the names that the other side has, many at once
//! (`directory`), and a walk finds those that it does not have (`unlisted`).
//! Findings come in the order of the paths, one at a time, so that memory does
//! not grow with their number.

mod compare;
mod content;
mod directory;
mod error;
mod finding;
mod go_words;
mod hashing;
mod json;
mod links;
mod merge;
mod open_directory;
mod session;
mod short;
mod unlisted;

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::attributes::{Attribute, AttributeSet};
use crate::build::{Selection, build};
use crate::digest::Algorithm;
use crate::manifest::{Kind, Limits, ManifestError, Resources};
use crate::progress::Progress;

pub use compare::{Rules, compare};
pub use error::{CheckError, Which};
pub use finding::{
    BadChunks, Change, Difference, DifferenceKind, Finding, Sides, Trouble, TroubleCause,
};
pub use go_words::GoWords;
pub use json::{JsonFindings, JsonForm};
pub use short::Short;

use session::{Session, on_threads, open, read};

/// How to compare.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which attributes must be the same.
    pub attributes: AttributeSet,
    /// Times that are less than this apart are the same.
    pub time_granularity: Duration,
    /// Whether what is there and not declared is a difference too: files,
    /// extended attributes, hard links. Comparing two sides alike is always
    /// strict.
    pub strict: bool,
    /// Whether sockets that are not declared are looked at; `build` leaves them
    /// out too unless it is told otherwise.
    pub sockets: bool,
    /// How many threads read files; 0 for as many as there are processors.
    pub jobs: usize,
    /// Bounds on what a manifest may hold.
    pub limits: Limits,
    /// Where to count what was checked.
    pub progress: Arc<Progress>,
}

/// As the Go tool: everything but times.
impl Default for Options {
    fn default() -> Self {
        Self {
            attributes: AttributeSet::all().without(Attribute::Mtime),
            time_granularity: Duration::ZERO,
            strict: false,
            sockets: false,
            jobs: 0,
            limits: Limits::default(),
            progress: Arc::default(),
        }
    }
}

impl Options {
    fn rules(&self) -> Rules<'_> {
        Rules {
            attributes: &self.attributes,
            time_granularity: self.time_granularity,
            strict: self.strict,
        }
    }
}

/// How a comparison ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many resources were compared: those of the manifest or first side,
    /// its root among them where it is declared.
    pub resources: u64,
    /// How many paths are missing.
    pub missing: u64,
    /// How many paths are not wanted.
    pub added: u64,
    /// How many paths are on both sides and differ.
    pub changed: u64,
    /// How many of those have other content: another size, or other digests.
    pub content: u64,
    /// How many differences were found; a path can have several.
    pub differences: u64,
    /// How often it could not be told whether there is one.
    pub troubles: u64,
}

impl Summary {
    /// Whether everything was compared and nothing differs.
    #[must_use]
    pub const fn is_same(&self) -> bool {
        self.differences == 0 && self.troubles == 0
    }
}

/// Compares what a manifest declares with what is in the directory `root`,
/// and tells everything that differs, in the order of the paths.
///
/// No symlink below `root` is followed. Files that the manifest does not list
/// are not looked at, unless [`Options::strict`].
///
/// # Errors
/// See [`CheckError`]; then no finding was told, unless it is
/// [`CheckError::Output`].
pub fn verify(
    root: &Path,
    manifest: &[u8],
    options: &Options,
    on_finding: impl FnMut(&Finding) -> io::Result<()> + Send,
) -> Result<Summary, CheckError> {
    let directory = open(root)?;
    on_threads(options, || {
        let wanted = (manifest, Which::First);
        Session::new(options, false, on_finding).check_directory(wanted, &directory, None)
    })
}

/// Compares what a manifest declares with what another one tells of something
/// that is no directory, such as an archive; in all else as [`verify`].
///
/// # Errors
/// See [`CheckError`]; then no finding was told, unless it is
/// [`CheckError::Output`].
pub fn verify_manifest(
    found: &[u8],
    manifest: &[u8],
    options: &Options,
    on_finding: impl FnMut(&Finding) -> io::Result<()> + Send,
) -> Result<Summary, CheckError> {
    on_threads(options, || {
        let wanted = read(manifest, options, Which::First)?;
        let found = read(found, options, Which::Second)?;
        Session::new(options, false, on_finding).compare_manifests(&wanted, &found)
    })
}

/// The algorithms by which a manifest has digests of whole files, so that
/// something can be hashed that is to be compared with it.
///
/// # Errors
/// When the manifest is refused.
pub fn algorithms(manifest: &[u8], limits: &Limits) -> Result<Vec<Algorithm>, ManifestError> {
    let mut found = BTreeSet::new();
    for resource in Resources::new(manifest, limits) {
        if let Kind::Regular(content) = resource?.kind {
            found.extend(content.digests.iter().map(|digest| digest.algorithm()));
        }
    }
    Ok(found.into_iter().collect())
}

/// One side of [`diff`].
#[derive(Clone, Copy, Debug)]
pub enum Side<'a> {
    /// A manifest, in bytes.
    Manifest(&'a [u8]),
    /// A directory, or a symlink to one.
    Directory(&'a Path),
}

/// Compares two sides, and tells everything that differs, in the order of the
/// paths; what the first has is wanted, what the second has is found.
///
/// It is always strict. A directory is hashed with the algorithms of the other
/// side, and only where that needs to be known.
///
/// # Errors
/// See [`CheckError`]; then no finding was told, unless it is
/// [`CheckError::Output`].
pub fn diff(
    first: Side<'_>,
    second: Side<'_>,
    options: &Options,
    on_finding: impl FnMut(&Finding) -> io::Result<()> + Send,
) -> Result<Summary, CheckError> {
    let options = &Options {
        strict: true,
        ..options.clone()
    };
    on_threads(options, || match (first, second) {
        (Side::Manifest(first), Side::Manifest(second)) => {
            let first = read(first, options, Which::First)?;
            let second = read(second, options, Which::Second)?;
            Session::new(options, false, on_finding).compare_manifests(&first, &second)
        }
        (Side::Manifest(first), Side::Directory(second)) => {
            let directory = open(second)?;
            let first = (first, Which::First);
            Session::new(options, false, on_finding).check_directory(first, &directory, None)
        }
        (Side::Directory(first), Side::Manifest(second)) => {
            let directory = open(first)?;
            let second = (second, Which::Second);
            Session::new(options, true, on_finding).check_directory(second, &directory, None)
        }
        (Side::Directory(first), Side::Directory(second)) => {
            let directory = open(second)?;
            let wanted_root = open(first)?;
            let listed = list(first, options)?;
            let first = (&*listed, Which::First);
            let wanted_root = Some(&wanted_root);
            Session::new(options, false, on_finding).check_directory(first, &directory, wanted_root)
        }
    })
}

/// A manifest of a directory whose files were not hashed.
fn list(root: &Path, options: &Options) -> Result<Vec<u8>, CheckError> {
    let built = build(
        root,
        &crate::build::Options {
            content: false,
            selection: Selection {
                sockets: options.sockets,
                // Everything that is there is compared.
                ignore_files: false,
                ..Selection::default()
            },
            xattrs: (!options.attributes.has(Attribute::Xattr)).then(Vec::new),
            jobs: options.jobs,
            progress: Arc::clone(&options.progress),
            ..crate::build::Options::default()
        },
    )?;
    Ok(built.encode())
}
