//! Makes a manifest of a tree.

mod error;
mod found;
mod hash;
mod links;
mod walk;

use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;

use crate::digest::Algorithm;
use crate::manifest::{Form, Info, Manifest};
use crate::progress::Progress;
use crate::sys::RootDir;

pub use error::{BuildError, Cause, Failure, Failures};

/// How to make a manifest.
#[derive(Clone, Debug)]
pub struct Options {
    /// The form that it will be written in. The compatible one has no chunk
    /// tables, so none are made for it.
    pub form: Form,
    /// Whether sockets are taken; else they are only counted.
    pub sockets: bool,
    /// Files of at least this many bytes have a chunk table.
    pub chunk_threshold: u64,
    /// Size of a chunk in bytes.
    pub chunk_size: NonZeroU64,
    /// What chunks are hashed with. Only readers of chunk tables need to know
    /// it, so it can be the fastest: BLAKE3 costs a quarter of SHA-256.
    pub chunk_algorithm: Algorithm,
    /// How many threads read files; 0 for as many as there are processors.
    pub jobs: usize,
    /// Where to count the files that were found, and then those whose content
    /// is done.
    pub progress: Arc<Progress>,
}

impl Options {
    /// A chunk is the least that a reader must fetch to check anything, and
    /// costs 32 bytes in the manifest.
    const CHUNK_SIZE: NonZeroU64 = match NonZeroU64::new(1 << 20) {
        Some(size) => size,
        None => NonZeroU64::MIN,
    };
}

impl Default for Options {
    fn default() -> Self {
        Self {
            form: Form::Full,
            sockets: false,
            chunk_threshold: 4 << 20,
            chunk_size: Self::CHUNK_SIZE,
            chunk_algorithm: Algorithm::Blake3,
            jobs: 0,
            progress: Arc::default(),
        }
    }
}

/// A manifest and what was met while it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Built {
    /// The manifest, sorted.
    pub manifest: Manifest,
    /// How many bytes of content were hashed.
    pub content: u64,
    /// How many sockets were left out.
    pub sockets_skipped: u64,
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
        sockets_skipped,
    } = walk::walk(root, options.sockets, &options.progress)?;
    let mut found = links::group(files)?;
    let mut manifest = Manifest {
        root: Some(root_metadata),
        info: Info {
            version: 1,
            generator: concat!("continuity ", env!("CARGO_PKG_VERSION")).to_owned(),
            base: String::new(),
        },
        resources: Vec::new(),
    };
    if options.form == Form::Compat {
        // Refuse what it cannot hold before hours of hashing.
        links::check_names(&found)?;
    }
    let content = hash::fill(root, &mut found, options)?;
    manifest.resources = found.into_iter().map(|file| file.resource).collect();
    Ok(Built {
        manifest,
        content,
        sockets_skipped,
    })
}
