//! Content that an older manifest of the same tree tells.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::digest::Algorithm;
use crate::manifest::{
    ChunkTable, Chunks, Content, Form, Kind, Limits, ManifestError, Resources, Timestamp,
};
use crate::path::ManifestPath;
use crate::sys::Stat;

use super::options::Options;

/// What an older manifest says of files that may be as they were.
///
/// A file is taken to be as it was when its path, its size, and the times of the
/// last change of its content and of its inode are the same to the nanosecond.
/// Nobody can set the last of these, and writing, renaming and linking all
/// change it, so that it stands for the inode's number too, which no manifest
/// has. It tells nothing where a clock was set back, where another machine's
/// clock sets it, or where a file was written through a mapping that was written
/// through before.
#[derive(Debug, Default)]
pub struct Reuse {
    files: HashMap<ManifestPath, Known>,
    used: AtomicU64,
}

#[derive(Debug)]
struct Known {
    mtime: Timestamp,
    ctime: Timestamp,
    content: Content,
}

impl Reuse {
    /// Reads an older manifest. Only what it says of files with both times can
    /// be used.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn read(manifest: &[u8], limits: &Limits) -> Result<Self, ManifestError> {
        let mut files = HashMap::new();
        for resource in Resources::new(manifest, limits) {
            let resource = resource?;
            let (Some(mtime), Some(ctime)) = (resource.metadata.mtime, resource.metadata.ctime)
            else {
                continue;
            };
            let path = resource.path().clone();
            if let Kind::Regular(content) = resource.kind {
                let known = Known {
                    mtime,
                    ctime,
                    content,
                };
                files.insert(path, known);
            }
        }
        Ok(Self {
            files,
            used: AtomicU64::new(0),
        })
    }

    /// How many files were not read.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// What is declared of a file, if the manifest tells all that is wanted.
    pub(super) fn content(
        &self,
        path: &ManifestPath,
        stat: &Stat,
        options: &Options,
    ) -> Option<Content> {
        let known = self.files.get(path)?;
        let time = |(seconds, nanoseconds)| Timestamp::new(seconds, nanoseconds);
        let is_same = known.content.size == stat.size
            && Some(known.mtime) == time(stat.mtime)
            && Some(known.ctime) == time(stat.ctime);
        if !is_same {
            return None;
        }
        let digest = |algorithm: &Algorithm| {
            let mut digests = known.content.digests.iter();
            digests.find(|digest| digest.algorithm() == *algorithm)
        };
        let digests = options.algorithms.iter().map(digest);
        let content = Content {
            size: stat.size,
            digests: digests
                .map(|digest| digest.copied())
                .collect::<Option<_>>()?,
            unknown_digests: Vec::new(),
            chunks: match options.has_table(stat.size) {
                true => Some(known.table(options)?),
                false => None,
            },
        };
        self.used.fetch_add(1, Ordering::Relaxed);
        Some(content)
    }
}

impl Known {
    /// The chunk table, if it is the one that is wanted.
    fn table(&self, options: &Options) -> Option<ChunkTable> {
        let table = self.content.chunks.as_ref()?;
        let is_wanted = table.algorithm == options.chunk_algorithm
            && table.chunks == Chunks::Fixed(options.chunk_size.get());
        is_wanted.then(|| table.clone())
    }
}

impl Options {
    /// Whether a file of `size` bytes has a chunk table.
    pub(super) fn has_table(&self, size: u64) -> bool {
        self.form == Form::Full && size > 0 && size >= self.chunk_threshold
    }
}
