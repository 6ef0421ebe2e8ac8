//! Finds every file of a tree and looks at it.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;

use rayon::prelude::*;

use crate::manifest::{Kind, Limits, Metadata};
use crate::path::ManifestPath;
use crate::progress::Progress;
use crate::sys::{Absence, RootDir, Stat, xattr};
use crate::tree::{Node, NodeError, inspect_handle, metadata_of};

use super::error::{Cause, Failure, Failures};
use super::found::Found;

/// All that was found.
#[derive(Debug)]
pub(super) struct Tree {
    /// Metadata of the root.
    pub root: Metadata,
    /// Everything else, in no order.
    pub files: Vec<Found>,
    /// How many sockets are not among them.
    pub sockets_skipped: u64,
}

/// Walks level by level, the directories of a level side by side.
///
/// Each directory is opened by its path below the root, so that there is one
/// descriptor a thread, however deep the tree is.
pub(super) fn walk(root: &RootDir, sockets: bool, progress: &Progress) -> Result<Tree, Failures> {
    let mut tree = Tree {
        root: Metadata::new(crate::mode::FileMode::DEFAULT_DIRECTORY),
        files: Vec::new(),
        sockets_skipped: 0,
    };
    let mut failures = Vec::new();
    let mut level = vec![ManifestPath::root()];
    while !level.is_empty() {
        let listings: Vec<_> = level
            .into_par_iter()
            .map(|path| {
                let listing = list(root, &path, sockets);
                if let Ok(listing) = &listing {
                    progress.add_files(1 + listing.files.len() as u64);
                }
                (path, listing)
            })
            .collect();
        level = Vec::new();
        for (path, listing) in listings {
            let listing = match listing {
                Ok(listing) => listing,
                Err(cause) => {
                    failures.push(Failure { path, cause });
                    continue;
                }
            };
            if path.is_root() {
                tree.root = listing.directory.metadata;
            } else {
                tree.files.push(Found::new(path, listing.directory));
            }
            tree.files.extend(listing.files);
            tree.sockets_skipped += listing.sockets_skipped;
            failures.extend(listing.failures);
            level.extend(listing.directories);
        }
    }
    Failures::check(failures)?;
    Ok(tree)
}

/// One directory.
#[derive(Debug)]
struct Listing {
    /// Itself.
    directory: Node,
    /// The directories in it.
    directories: Vec<ManifestPath>,
    /// What else is in it.
    files: Vec<Found>,
    sockets_skipped: u64,
    failures: Vec<Failure>,
}

/// Lists a directory; twice when it changes meanwhile.
fn list(root: &RootDir, path: &ManifestPath, sockets: bool) -> Result<Listing, Cause> {
    match list_once(root, path, sockets) {
        Err(Cause::Listing) => list_once(root, path, sockets),
        listing => listing,
    }
}

fn list_once(root: &RootDir, path: &ManifestPath, sockets: bool) -> Result<Listing, Cause> {
    check_depth(path)?;
    let directory = root.open_directory(path.relative()).map_err(listing)?;
    let stat = Stat::of(&directory).map_err(NodeError::from)?;
    let names = directory.names().map_err(Cause::List)?;
    let xattrs = xattr::of(&directory).map_err(NodeError::from)?;
    let mut listing = Listing {
        directory: Node {
            stat,
            metadata: metadata_of(&stat, xattrs)?,
            kind: Kind::Directory,
        },
        directories: Vec::new(),
        files: Vec::new(),
        sockets_skipped: 0,
        failures: Vec::new(),
    };
    for name in names {
        listing.take(&directory, path, name, sockets)?;
    }
    let after = Stat::of(&directory).map_err(NodeError::from)?;
    if !after.is_unchanged(&stat) {
        return Err(Cause::Listing);
    }
    Ok(listing)
}

impl Listing {
    fn take(
        &mut self,
        directory: &RootDir,
        parent: &ManifestPath,
        name: OsString,
        sockets: bool,
    ) -> Result<(), Cause> {
        let path = parent.join(name.as_bytes()).map_err(|error| Cause::Path {
            name: Box::from(name.as_bytes()),
            error,
        })?;
        let node = match directory.handle(&name) {
            Ok(handle) => inspect_handle(&handle),
            // Its name was there when the directory was read.
            Err(error) if Absence::of(&error).is_some() => return Err(Cause::Listing),
            Err(error) => Err(error.into()),
        };
        match node {
            Ok(node) if node.kind == Kind::Directory => self.directories.push(path),
            Ok(node) if node.kind == Kind::Socket && !sockets => self.sockets_skipped += 1,
            Ok(node) => self.files.push(Found::new(path, node)),
            Err(error) => {
                let cause = error.into();
                self.failures.push(Failure { path, cause });
            }
        }
        Ok(())
    }
}

/// What cannot be opened as a directory any more has been replaced since it
/// was seen in its parent.
fn listing(error: io::Error) -> Cause {
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

    #[test]
    fn finds_everything_but_sockets() {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir_all(scratch.path().join("a/b")).unwrap();
        fs::write(scratch.path().join("a/file"), "").unwrap();
        let socket = std::os::unix::net::UnixListener::bind(scratch.path().join("a/socket"));
        let root = RootDir::open(scratch.path()).unwrap();

        let tree = walk(&root, false, &Progress::default()).unwrap();
        assert_eq!((tree.files.len(), tree.sockets_skipped), (3, 1));
        let tree = walk(&root, true, &Progress::default()).unwrap();
        assert_eq!((tree.files.len(), tree.sockets_skipped), (4, 0));
        drop(socket);
    }

    #[test]
    fn names_a_path_that_is_too_deep() {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir_all(scratch.path().join("d/".repeat(1025))).unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        let failures = walk(&root, false, &Progress::default()).unwrap_err();
        let depth = &failures.first[0].cause;
        assert!(matches!(depth, Cause::Depth { found: 1025, .. }));
    }
}
