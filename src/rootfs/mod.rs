//! Whether a manifest can be the root of a container.
//!
//! A runtime mounts on the root before the first process runs, and cannot make
//! there what is missing when the root is read-only; and a mount takes from files
//! what its options do not allow. All of it can be told from the manifest alone.

mod file;
mod finding;
mod json;
mod links;
mod targets;

use std::collections::HashSet;
use std::io;

use thiserror::Error;

use crate::inode::{Ino, InodeKind, InodeTable, RootOwner};
use crate::manifest::{Limits, ManifestError};

pub use finding::{Cause, Finding, Id, Summary};
pub use json::JsonFindings;

use links::Links;

/// How the manifest is going to be mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// With the mount option `suid`.
    pub suid: bool,
    /// With the mount option `dev`.
    pub dev: bool,
    /// Below overlayfs, with a layer on top in which a runtime can make what is
    /// missing.
    pub overlay: bool,
    /// The largest owner or group that there is inside.
    pub max_id: Option<u32>,
}

/// Why it was not looked at to the end.
#[derive(Debug, Error)]
pub enum RootfsError {
    /// The manifest is refused.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Whoever was told of a finding could not take it.
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// Looks at a manifest as at the root of a container: first at what runtimes
/// mount on, then at every file, a directory before what is in it.
///
/// # Errors
/// See [`RootfsError`].
pub fn check(
    manifest: &[u8],
    options: &Options,
    mut tell: impl FnMut(&Finding) -> io::Result<()>,
) -> Result<Summary, RootfsError> {
    let table = InodeTable::build(manifest, &Limits::default(), RootOwner::default())?;
    let mut summary = Summary {
        inodes: table.statistics().inodes,
        warnings: 0,
    };
    let mut found = |finding: Finding| {
        summary.warnings += 1;
        tell(&finding)
    };
    targets::check(&table, options, &mut found)?;
    let mut links = Links::new(&table);
    let mut seen = HashSet::new();
    let mut todo: Vec<_> = table.get(Ino::ROOT).into_iter().collect();
    while let Some(inode) = todo.pop() {
        if let InodeKind::Directory(_) = inode.kind() {
            let names = todo.len();
            todo.extend(table.entries(inode, 0).map(|entry| entry.inode));
            if let Some(names) = todo.get_mut(names..) {
                names.reverse();
            }
        } else if inode.links() > 1 && !seen.insert(inode.ino()) {
            continue;
        }
        file::look(inode, &mut links, options, &mut found)?;
    }
    Ok(summary)
}

#[cfg(test)]
mod tests;
