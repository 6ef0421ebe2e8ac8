//! Files of the source that are kept open, and those that are to be closed.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

use crate::digest::Digest;
use crate::source::{ContentRef, Source, SourceError, SourceFile};

use super::declared::{Declared, FileId};
use super::error::Reason;

/// How many files may wait to be closed.
const UNUSED_MAX: usize = 16;

/// A source, and a bounded number of its files.
#[derive(Debug)]
pub(super) struct OpenFiles {
    source: Box<dyn Source>,
    open: Mutex<LruCache<FileId, Arc<dyn SourceFile>>>,
    /// Those that are to be closed. That can take as long as reading them, so it
    /// is done under no lock, and in nobody's way.
    unused: Mutex<Vec<Arc<dyn SourceFile>>>,
}

impl OpenFiles {
    /// Keeps at most `count` files of `source` open, and one at least.
    pub(super) fn new(source: Box<dyn Source>, count: usize) -> Self {
        let count = NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN);
        Self {
            source,
            open: Mutex::new(LruCache::new(count)),
            unused: Mutex::default(),
        }
    }

    /// Takes nothing from the filesystem with this device number from now on.
    pub(super) fn avoid(&self, device: u64) {
        self.source.avoid(device);
    }

    /// Does something with the file of the source. When it fails with a file
    /// that was open already, another may have taken its place: it is opened
    /// anew and tried once more.
    pub(super) fn with<T>(
        &self,
        declared: &Declared<'_>,
        work: impl Fn(&dyn SourceFile) -> Result<T, Reason>,
    ) -> Result<T, Reason> {
        let open = self.open.lock().get(&declared.id).map(Arc::clone);
        if let Some(file) = open {
            if let Ok(value) = work(&*file) {
                return Ok(value);
            }
            let replaced = self.open.lock().pop(&declared.id);
            self.retire(replaced);
        }
        let file: Arc<dyn SourceFile> = self.open_anew(declared).map_err(Reason::Source)?.into();
        let value = work(&*file)?;
        let evicted = self.open.lock().push(declared.id, file);
        self.retire(evicted.map(|(_, file)| file));
        Ok(value)
    }

    /// Does something with the file of the source, which is opened for it.
    pub(super) fn with_new<T>(
        &self,
        declared: &Declared<'_>,
        work: impl Fn(&dyn SourceFile) -> Result<T, Reason>,
    ) -> Result<T, Reason> {
        work(&*self.open_anew(declared).map_err(Reason::Source)?)
    }

    /// Whether there are files to be closed.
    pub(super) fn has_unused(&self) -> bool {
        !self.unused.lock().is_empty()
    }

    /// Closes files that make room for others.
    pub(super) fn close_unused(&self) {
        let unused = std::mem::take(&mut *self.unused.lock());
        drop(unused);
    }

    /// Has a file of the source closed some time.
    fn retire(&self, file: Option<Arc<dyn SourceFile>>) {
        let Some(file) = file else { return };
        let mut unused = self.unused.lock();
        unused.push(file);
        let too_many = unused.len() >= UNUSED_MAX;
        drop(unused);
        if too_many {
            self.close_unused();
        }
    }

    /// Opens the file of the source. That we have no descriptor left is nothing
    /// that a reader should hear of while we keep files open: they go first.
    fn open_anew(&self, declared: &Declared<'_>) -> Result<Box<dyn SourceFile>, SourceError> {
        let digests: Vec<Digest> = declared.whole.iter().collect();
        let path = declared.path.path();
        let content = ContentRef {
            path: &path,
            size: declared.size,
            digests: &digests,
        };
        loop {
            match self.source.open(&content) {
                Err(SourceError::Exhausted) => {
                    self.close_unused();
                    let Some((_, file)) = self.open.lock().pop_lru() else {
                        return Err(SourceError::Exhausted);
                    };
                    drop(file);
                }
                opened => return opened,
            }
        }
    }
}
