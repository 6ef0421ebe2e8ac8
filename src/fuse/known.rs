//! Which inodes the kernel has been told of and has not forgotten: it takes no
//! content of others.
//!
//! Requests come to several threads, so this can be wrong for a moment. That costs a read
//! of a file, and gives nobody wrong content.
//!
//! Its tests are in `tests/models.rs`, which runs it with other locks.

use crate::inode::Ino;

use super::sync::{AtomicU64, Mutex, Ordering};

/// One bit for each inode, and those that the kernel is being told of.
#[derive(Debug)]
pub(super) struct Known {
    words: Box<[AtomicU64]>,
    announced: Mutex<Vec<Ino>>,
}

impl Known {
    /// For inodes whose numbers are below this one; the kernel knows none of them.
    pub(super) fn new(next_number: u64) -> Self {
        let words = next_number.div_ceil(64);
        Self {
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
            announced: Mutex::default(),
        }
    }

    /// The kernel is told of an inode.
    pub(super) fn add(&self, ino: Ino) {
        if let Some(word) = self.word(ino) {
            word.fetch_or(bit(ino), Ordering::Relaxed);
        }
    }

    /// The kernel is being told of inodes, in a reply that it has not had yet.
    pub(super) fn announce(&self, mut inodes: Vec<Ino>) {
        self.announced.lock().append(&mut inodes);
    }

    /// A request has come, so that the replies before it have been had.
    pub(super) fn settle(&self) {
        self.add_announced(&mut self.announced.lock());
    }

    /// The kernel has forgotten an inode. That is a request as well, and what was
    /// announced before must not be added after it.
    pub(super) fn remove(&self, ino: Ino) {
        let mut announced = self.announced.lock();
        self.add_announced(&mut announced);
        if let Some(word) = self.word(ino) {
            word.fetch_and(!bit(ino), Ordering::Relaxed);
        }
    }

    fn add_announced(&self, announced: &mut Vec<Ino>) {
        for ino in announced.drain(..) {
            self.add(ino);
        }
    }

    /// Whether the kernel knows an inode, as far as we can tell.
    pub(super) fn has(&self, ino: Ino) -> bool {
        self.word(ino)
            .is_some_and(|word| word.load(Ordering::Relaxed) & bit(ino) != 0)
    }

    fn word(&self, ino: Ino) -> Option<&AtomicU64> {
        self.words.get(usize::try_from(ino.0 / 64).ok()?)
    }
}

const fn bit(ino: Ino) -> u64 {
    1 << (ino.0 % 64)
}
