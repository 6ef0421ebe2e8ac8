//! Makes a manifest of a tree.

mod directory;
mod error;
mod found;
mod hash;
mod ignore;
mod left_out;
mod links;
mod options;
mod reuse;
mod walk;
mod whiteout;

use std::path::Path;

use crate::manifest::{Form, HeaderCarried, Info, Manifest};
use crate::sys::RootDir;

pub use error::{BuildError, Cause, Failure, Failures};
pub use ignore::{IgnoreFileError, IgnorePatterns, PatternError};
pub use left_out::LeftOut;
pub use options::{Options, Selection, Times};
pub use reuse::Reuse;
pub use whiteout::Convention;

/// A manifest and what was met while it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Built {
    /// The manifest, sorted.
    pub manifest: Manifest,
    /// How many bytes of content were hashed.
    pub content: u64,
    /// What was left out.
    pub left_out: LeftOut,
}

/// Makes a manifest of the directory `root`, which may be a symlink to one.
///
/// The same tree gives the same manifest, whatever the order of its
/// directories and however many threads read it.
///
/// # Errors
/// See [`BuildError`]. There is no manifest of only a part of the tree.
pub fn build(root: &Path, options: &Options) -> Result<Built, BuildError> {
    let directory = RootDir::open(root).map_err(|error| BuildError::Root {
        root: root.to_owned(),
        error,
    })?;
    rayon::ThreadPoolBuilder::new()
        .num_threads(options.jobs)
        .build()
        .map_err(BuildError::Threads)?
        .install(|| build_in_pool(&directory, options))
}

fn build_in_pool(root: &RootDir, options: &Options) -> Result<Built, BuildError> {
    let walk::Tree {
        root: root_metadata,
        files,
        left_out,
    } = walk::walk(root, options)?;
    let mut found = links::group(files)?;
    let mut manifest = Manifest {
        root: Some(root_metadata),
        info: Info {
            version: 1,
            generator: concat!("continuity ", env!("CARGO_PKG_VERSION")).to_owned(),
            base: String::new(),
        },
        resources: Vec::new(),
        carried: HeaderCarried::default(),
    };
    if options.form == Form::Compat {
        // Refuse what it cannot hold before hours of hashing.
        links::check_names(&found)?;
    }
    let content = if options.content {
        hash::fill(root, &mut found, options)?
    } else {
        0
    };
    manifest.resources = found.into_iter().map(|file| file.resource).collect();
    Ok(Built {
        manifest,
        content,
        left_out,
    })
}
