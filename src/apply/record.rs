//! The digests of what was put in place.

use std::collections::HashMap;
use std::fmt;

use parking_lot::Mutex;

use crate::digest::Algorithm;
use crate::manifest::Chunks;
use crate::path::ManifestPath;
use crate::tree::Hashes;

/// How a file of some size is cut into chunks, and what they are hashed with.
type Cut = dyn Fn(u64) -> Option<(Algorithm, Chunks)> + Send + Sync;

/// Digests of files, made while they are copied, or of what is in place.
pub struct Record {
    algorithms: Vec<Algorithm>,
    cut: Box<Cut>,
    files: Mutex<HashMap<ManifestPath, Hashes>>,
}

impl Record {
    /// Makes these digests of every file, and those of its chunks where `cut`
    /// says that it has some.
    pub fn new(
        algorithms: Vec<Algorithm>,
        cut: impl Fn(u64) -> Option<(Algorithm, Chunks)> + Send + Sync + 'static,
    ) -> Self {
        Self {
            algorithms,
            cut: Box::new(cut),
            files: Mutex::default(),
        }
    }

    /// Takes out what was found of a file, under whichever of its names.
    pub fn take(&self, paths: &[ManifestPath]) -> Option<Hashes> {
        let mut files = self.files.lock();
        paths.iter().find_map(|path| files.remove(path))
    }

    pub(super) fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    pub(super) fn cut(&self, size: u64) -> Option<(Algorithm, Chunks)> {
        (self.cut)(size)
    }

    pub(super) fn put(&self, path: ManifestPath, hashes: Hashes) {
        self.files.lock().insert(path, hashes);
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}
