//! Content in memory, for tests and for trees that are made up.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::path::ManifestPath;

use super::{ContentRef, Source, SourceError, SourceFile};

/// Files in memory. Clones share them, so that a file can be changed while it
/// is open, as in a directory.
#[derive(Clone, Debug, Default)]
pub struct MemorySource(Arc<RwLock<HashMap<ManifestPath, Shared>>>);

type Shared = Arc<RwLock<Vec<u8>>>;

impl MemorySource {
    /// Replaces the content of a file; those who have it open see the change.
    pub fn write(&self, path: ManifestPath, content: Vec<u8>) {
        let mut files = self.0.write();
        *files.entry(path).or_default().write() = content;
    }

    /// Removes a file; those who have it open keep it.
    pub fn remove(&self, path: &ManifestPath) {
        self.0.write().remove(path);
    }
}

impl Source for MemorySource {
    fn open(&self, content: &ContentRef<'_>) -> Result<Box<dyn SourceFile>, SourceError> {
        match self.0.read().get(content.path) {
            Some(file) => Ok(Box::new(MemoryFile(Arc::clone(file)))),
            None => Err(SourceError::Missing),
        }
    }
}

#[derive(Debug)]
struct MemoryFile(Shared);

impl SourceFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.0.read();
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| content.get(offset..))
            .unwrap_or_default();
        let count = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        Ok(count)
    }
}
