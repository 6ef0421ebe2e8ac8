//! Why there is no manifest.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::escape::Escaped;
use crate::manifest::{EncodeError, ManifestError};
use crate::path::{ManifestPath, PathError};
use crate::tree::{NodeError, ReadError};

use super::ignore::IgnoreFileError;

/// Why there is no manifest of a tree.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The root cannot be opened.
    #[error("cannot open directory {:?}: {error}", Escaped(.root.as_os_str().as_encoded_bytes()))]
    Root {
        /// The root, as it was given.
        root: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// There can be no threads.
    #[error("cannot start threads: {0}")]
    Threads(#[source] rayon::ThreadPoolBuildError),
    /// The tree does not fit the form.
    #[error(transparent)]
    Form(#[from] EncodeError),
    /// No reader would take it.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Files of the tree cannot be told.
    #[error(transparent)]
    Files(#[from] Failures),
}

/// The files that cannot be told: the first few, sorted by path.
#[derive(Debug, Error)]
pub struct Failures {
    /// At least one, at most [`Failures::SHOWN`].
    pub first: Vec<Failure>,
    /// How many more there were.
    pub more: usize,
}

impl Failures {
    /// Enough to see what is wrong with a tree.
    pub const SHOWN: usize = 10;

    /// `Ok` when there is none.
    pub(super) fn check(mut failures: Vec<Failure>) -> Result<(), Self> {
        if failures.is_empty() {
            return Ok(());
        }
        failures.sort_by(|one, two| one.path.cmp(&two.path));
        let more = failures.len().saturating_sub(Self::SHOWN);
        failures.truncate(Self::SHOWN);
        Err(Self {
            first: failures,
            more,
        })
    }
}

/// One a line.
impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, failure) in self.first.iter().enumerate() {
            if index != 0 {
                f.write_str("\n")?;
            }
            write!(f, "{failure}")?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

/// One file that cannot be told.
#[derive(Debug, Error)]
#[error("{path:?} {cause}")]
pub struct Failure {
    /// Which one.
    pub path: ManifestPath,
    /// Why.
    #[source]
    pub cause: Cause,
}

/// Why a file cannot be told.
#[derive(Debug, Error)]
pub enum Cause {
    /// A directory that cannot be listed. Without it the manifest would say
    /// that it is empty.
    #[error("cannot be listed: {0}")]
    List(#[source] io::Error),
    /// Its metadata cannot be told.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// Its content cannot be told.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A directory in which files come and go while it is read.
    #[error("changed while it was listed")]
    Listing,
    /// Two names of one inode that do not agree.
    #[error("changed while it was read: it differs from {0:?}, which is the same file")]
    Link(ManifestPath),
    /// A name in the directory makes a path that a manifest cannot hold.
    #[error("has the entry {:?}: {error}", Escaped(.name))]
    Path {
        /// The name.
        name: Box<[u8]>,
        /// What is wrong with it.
        #[source]
        error: PathError,
    },
    /// A file that says what is left out, and does not say it well.
    #[error("cannot be used: {0}")]
    IgnoreFile(#[from] IgnoreFileError),
    /// Content or a name that overlayfs left in a lower layer.
    #[error("has the attribute {:?}: part of it is in a lower layer, so this tree alone does not tell what it is", Escaped(.0))]
    LowerLayer(Box<[u8]>),
    /// Deeper than any reader would take.
    #[error("is {found} levels deep, more than {limit}")]
    Depth {
        /// How deep it is.
        found: usize,
        /// The limit of readers.
        limit: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_first_by_path() {
        let failures = (0..15).rev().map(|number| Failure {
            path: ManifestPath::root()
                .join(format!("{number:02}\n").as_bytes())
                .unwrap(),
            cause: Cause::Listing,
        });
        let shown = Failures::check(failures.collect()).unwrap_err().to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 11);
        assert_eq!(lines[0], r#""/00\n" changed while it was listed"#);
        assert_eq!(lines[10], "and 5 more");
        assert!(Failures::check(Vec::new()).is_ok());
    }
}
