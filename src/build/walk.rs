//! Finds every file of a tree, looks at it, and hashes the small ones while they
//! are open.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use rayon::Scope;

use crate::manifest::{EncodeError, Limits, Metadata};
use crate::path::ManifestPath;
use crate::sys::{Absence, RootDir, Stat};
use crate::tree::{Node, NodeError, inspect_open};

use super::directory::{Directory, Listing};
use super::error::{Cause, Failure, Failures};
use super::found::{Found, Ready};
use super::ignore::{self, IgnorePatterns, Layers};
use super::left_out::LeftOut;
use super::options::Options;
use super::whiteout;

/// All that was found.
#[derive(Debug)]
pub(super) struct Tree {
    /// Metadata of the root.
    pub root: Metadata,
    /// What else has to wait, in no order.
    pub files: Vec<Found>,
    /// Everything else, in no order.
    pub ready: Vec<Ready>,
    /// Files that the form has no place for.
    pub refused: Vec<EncodeError>,
    /// What is not among them.
    pub left_out: LeftOut,
}

/// A directory that is still to be visited.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub path: ManifestPath,
    /// Patterns of the directories that it lies in.
    pub layers: Layers,
    /// Whether a whiteout of the same name hides what lower layers have in it.
    pub opaque: bool,
    /// Whether it changed when it was visited before.
    pub again: bool,
}

/// How many entries of a directory one thread takes at once.
const BATCH: usize = 256;

struct Walk<'a> {
    root: &'a RootDir,
    /// The filesystem of the root.
    device: u64,
    options: &'a Options,
    tree: Mutex<Tree>,
    failures: Mutex<Vec<Failure>>,
}

/// Walks the tree, many directories and many parts of a large one side by side.
///
/// Each directory is opened by its path below the root and closed before those
/// in it are visited, so that there are few descriptors, however deep the tree
/// is.
pub(super) fn walk(root: &RootDir, options: &Options) -> Result<Tree, Failures> {
    let first = Pending {
        path: ManifestPath::root(),
        layers: Layers::default(),
        opaque: false,
        again: false,
    };
    let failed = |cause| {
        Failures::check(vec![Failure {
            path: ManifestPath::root(),
            cause,
        }])
    };
    let device = match Stat::of(root) {
        Ok(stat) => stat.device,
        Err(error) => {
            failed(NodeError::from(error).into())?;
            0
        }
    };
    let walk = Walk {
        root,
        device,
        options,
        tree: Mutex::new(Tree {
            root: Metadata::new(crate::mode::FileMode::DEFAULT_DIRECTORY),
            files: Vec::new(),
            ready: Vec::new(),
            refused: Vec::new(),
            left_out: LeftOut::default(),
        }),
        failures: Mutex::default(),
    };
    // A task that has spawned others does not wait for them, and so holds
    // nothing while they run.
    rayon::scope(|scope| walk.visit(scope, first));
    Failures::check(walk.failures.into_inner())?;
    Ok(walk.tree.into_inner())
}

impl<'a> Walk<'a> {
    fn visit<'s>(&'s self, scope: &Scope<'s>, pending: Pending) {
        let directory = match self.open(pending.clone()) {
            Ok(directory) => Arc::new(directory),
            Err(Cause::Listing) if !pending.again => {
                return self.visit_again(scope, pending);
            }
            Err(cause) => return self.fail(pending.path, cause),
        };
        for start in (BATCH..directory.entries.len()).step_by(BATCH) {
            let directory = Arc::clone(&directory);
            scope.spawn(move |scope| self.take(scope, directory, start));
        }
        self.take(scope, directory, 0);
    }

    fn visit_again<'s>(&'s self, scope: &Scope<'s>, pending: Pending) {
        scope.spawn(move |scope| {
            self.visit(
                scope,
                Pending {
                    again: true,
                    ..pending
                },
            );
        });
    }

    /// Opens a directory and lists it.
    fn open(&self, pending: Pending) -> Result<Directory<'a>, Cause> {
        check_depth(&pending.path)?;
        let options = self.options;
        let handle = self
            .root
            .open_directory(pending.path.relative())
            .map_err(gone)?;
        let mut node = inspect_open(&handle, options.reads_xattrs())?.ok_or(Cause::Listing)?;
        let foreign = options.selection.one_filesystem && node.stat.device != self.device;
        let mut listing = Listing::default();
        let mut entries = Vec::new();
        if foreign {
            listing.left_out.filesystems += 1;
        } else {
            entries = handle.entries().map_err(Cause::List)?;
        }
        let layers = self.layers(&pending, &handle, &entries)?;
        options.read_node(&mut node)?;
        if pending.opaque {
            whiteout::make_opaque(&mut node.metadata);
        }
        Directory {
            pending,
            handle,
            node,
            entries,
            layers,
            options,
            listing: Mutex::new(listing),
        }
        .without_cache()
    }

    /// The patterns that hold in a directory.
    fn layers(
        &self,
        pending: &Pending,
        handle: &RootDir,
        entries: &[crate::sys::Entry],
    ) -> Result<Layers, Cause> {
        let layers = pending.layers.clone();
        let has_file = || entries.iter().any(|entry| entry.name == ignore::FILE_NAME);
        if !self.options.selection.ignore_files || !has_file() {
            return Ok(layers);
        }
        Ok(match IgnorePatterns::of_directory(handle)? {
            Some(patterns) => layers.with(&pending.path, patterns),
            None => layers,
        })
    }

    /// Takes some of the entries; whoever takes the last ones finishes.
    fn take<'s>(&'s self, scope: &Scope<'s>, directory: Arc<Directory<'a>>, start: usize) {
        directory.take(start, BATCH);
        if let Some(directory) = Arc::into_inner(directory) {
            self.finish(scope, directory);
        }
    }

    fn finish<'s>(&'s self, scope: &Scope<'s>, directory: Directory<'a>) {
        let pending = directory.pending.clone();
        let (node, listing) = match directory.finish() {
            Ok(finished) => finished,
            Err(Cause::Listing) if !pending.again => {
                return self.visit_again(scope, pending);
            }
            Err(cause) => return self.fail(pending.path, cause),
        };
        let Listing {
            directories,
            files,
            ready,
            refused,
            left_out,
            failures,
            ..
        } = listing;
        let count = files.len() + ready.len();
        self.options.progress.add_files(1 + count as u64);
        self.failures.lock().extend(failures);
        {
            let mut tree = self.tree.lock();
            tree.left_out += left_out;
            tree.files.extend(files);
            tree.ready.extend(ready);
            tree.refused.extend(refused);
            self.add_directory(&mut tree, pending.path, node);
        }
        for pending in directories {
            scope.spawn(move |scope| self.visit(scope, pending));
        }
    }

    fn add_directory(&self, tree: &mut Tree, path: ManifestPath, node: Node) {
        if path.is_root() {
            tree.root = node.metadata;
            return;
        }
        match Found::new(path, node).encode(self.options.form) {
            Ok(ready) => tree.ready.push(ready),
            Err(error) => tree.refused.push(error),
        }
    }

    fn fail(&self, path: ManifestPath, cause: Cause) {
        self.failures.lock().push(Failure { path, cause });
    }
}

/// What cannot be opened as a directory any more has been replaced since it
/// was seen in its parent.
fn gone(error: io::Error) -> Cause {
    match Absence::of(&error) {
        Some(_) => Cause::Listing,
        None => Cause::List(error),
    }
}

/// No reader takes a manifest that is deeper.
fn check_depth(path: &ManifestPath) -> Result<(), Cause> {
    let limit = Limits::default().depth;
    let found = path.as_bytes().iter().filter(|byte| **byte == b'/').count();
    if found > limit {
        return Err(Cause::Depth { found, limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn walk_at(path: &std::path::Path, options: &Options) -> Result<Tree, Failures> {
        walk(&RootDir::open(path).unwrap(), options)
    }

    #[test]
    fn finds_everything_but_sockets() {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir_all(scratch.path().join("a/b")).unwrap();
        fs::write(scratch.path().join("a/file"), "").unwrap();
        let socket = std::os::unix::net::UnixListener::bind(scratch.path().join("a/socket"));

        let mut options = Options::default();
        let tree = walk_at(scratch.path(), &options).unwrap();
        assert_eq!((tree.ready.len(), tree.left_out.sockets), (3, 1));
        options.selection.sockets = true;
        let tree = walk_at(scratch.path(), &options).unwrap();
        assert_eq!((tree.ready.len(), tree.left_out.sockets), (4, 0));
        drop(socket);
    }

    #[test]
    fn names_a_path_that_is_too_deep() {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir_all(scratch.path().join("d/".repeat(1025))).unwrap();
        let failures = walk_at(scratch.path(), &Options::default()).unwrap_err();
        let depth = &failures.first[0].cause;
        assert!(matches!(depth, Cause::Depth { found: 1025, .. }));
    }
}
