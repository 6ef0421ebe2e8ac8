//! Which inodes the kernel has been told of and has not forgotten: it takes no
//! content of others.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::inode::Ino;

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
        for ino in std::mem::take(&mut *self.announced.lock()) {
            self.add(ino);
        }
    }

    /// The kernel has forgotten an inode.
    pub(super) fn remove(&self, ino: Ino) {
        if let Some(word) = self.word(ino) {
            word.fetch_and(!bit(ino), Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_it_was_told() {
        let known = Known::new(65);
        for ino in [1, 63, 64] {
            assert!(!known.has(Ino(ino)));
            known.add(Ino(ino));
            assert!(known.has(Ino(ino)));
        }
        known.announce(vec![Ino(2), Ino(3)]);
        assert!(!known.has(Ino(2)));
        known.settle();
        assert!(known.has(Ino(2)) && known.has(Ino(3)));
        known.remove(Ino(63));
        assert!(known.has(Ino(64)) && !known.has(Ino(63)));
        known.add(Ino(u64::MAX));
        assert!(!known.has(Ino(u64::MAX)));
    }
}
