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
pub mod whiteout;

use std::io::{self, Write};
use std::path::Path;

use rayon::prelude::*;

use crate::manifest::{Content, Form, Info, Kind, Limits, Manifest, Resource, Resources};
use crate::path::ManifestPath;
use crate::sys::{RootDir, Stat};

use found::{Ready, RegularFile};

pub use error::{BuildError, Cause, Failure, Failures};
pub use hash::content_of;
pub use ignore::{IgnoreFileError, IgnorePatterns, PatternError};
pub use left_out::LeftOut;
pub use options::{Options, Selection, Times};
pub use reuse::Reuse;
pub use whiteout::Convention;

/// A manifest and what was met while it was made.
#[derive(Clone, Debug)]
pub struct Built {
    /// The manifest without its resources.
    header: Manifest,
    /// Sorted.
    resources: Vec<Ready>,
    form: Form,
    /// How many bytes of content were hashed.
    pub content: u64,
    /// What was left out.
    pub left_out: LeftOut,
}

impl Built {
    /// How many resources there are, without the root.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.resources.len()
    }

    /// Writes the manifest in the form that was asked for.
    ///
    /// # Errors
    /// Whatever writing says.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let resources = self.resources.iter().map(|ready| &ready.encoded);
        self.header.write_encoded(self.form, resources, out)
    }

    /// The bytes of the manifest.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Memory takes everything.
        let _ = self.write(&mut bytes);
        bytes
    }

    /// The regular files that were only looked at, under each of their names, and
    /// what they were. The resources are gone then.
    pub fn take_seen(&mut self) -> Vec<(ManifestPath, Stat)> {
        let mut seen = Vec::with_capacity(self.resources.len());
        for ready in std::mem::take(&mut self.resources) {
            if let Some(RegularFile::Seen(file)) = ready.file {
                let others = file.other_paths.into_iter();
                let names = std::iter::once(ready.path).chain(others);
                seen.extend(names.map(|name| (name, file.stat)));
            }
        }
        seen
    }

    /// Writes `manifest`, which was made without content, with the content that
    /// its files were found to have meanwhile.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn declare(
        &self,
        manifest: &[u8],
        mut content: impl FnMut(&Resource, u64) -> Option<Content>,
    ) -> Result<Vec<u8>, BuildError> {
        let mut resources = Vec::new();
        for resource in Resources::new(manifest, &Limits::default()) {
            let mut resource = resource?;
            if let Kind::Regular(Content { size, .. }) = resource.kind
                && let Some(content) = content(&resource, size)
            {
                resource.kind = Kind::Regular(content);
            }
            resources.push(resource.encode(self.form)?);
        }
        let mut bytes = Vec::new();
        let header = &self.header;
        // Memory takes everything.
        let _ = header.write_encoded(self.form, resources.iter(), &mut bytes);
        Ok(bytes)
    }
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

/// What a manifest says of itself when it is made here.
#[must_use]
pub fn info() -> Info {
    Info {
        version: 1,
        generator: concat!("continuity ", env!("CARGO_PKG_VERSION")).to_owned(),
        base: String::new(),
    }
}

fn build_in_pool(root: &RootDir, options: &Options) -> Result<Built, BuildError> {
    let walk::Tree {
        root: root_metadata,
        files,
        mut ready,
        mut refused,
        left_out,
    } = walk::walk(root, options)?;
    let mut found = links::group(files)?;
    // Refuse what the form cannot hold before hours of hashing.
    refused.extend(
        found
            .iter()
            .filter_map(|file| file.resource.encode(options.form).err()),
    );
    if let Some(error) = refused
        .into_iter()
        .min_by(|one, two| one.path().cmp(two.path()))
    {
        return Err(error.into());
    }
    if options.content {
        hash::fill(root, &mut found, &ready, options)?;
    }
    for file in found {
        ready.push(file.encode(options.form)?);
    }
    ready.par_sort_unstable_by(|one, two| one.path.cmp(&two.path));
    let content = ready.iter().filter_map(Ready::content).sum();
    Ok(Built {
        header: Manifest {
            root: Some(root_metadata),
            info: info(),
            ..Manifest::default()
        },
        resources: ready,
        form: options.form,
        content,
        left_out,
    })
}
