//! Which inodes the kernel has been told of and has not forgotten: it takes no
//! content of others.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::inode::Ino;

/// One bit for each inode.
#[derive(Debug)]
pub(super) struct Known(Box<[AtomicU64]>);

impl Known {
    /// For a table of so many inodes, of which the kernel knows none.
    pub(super) fn new(inodes: u64) -> Self {
        // Numbers begin with 1.
        let words = inodes / 64 + 1;
        Self((0..words).map(|_| AtomicU64::new(0)).collect())
    }

    /// The kernel is told of an inode.
    pub(super) fn add(&self, ino: Ino) {
        if let Some(word) = self.word(ino) {
            word.fetch_or(bit(ino), Ordering::Relaxed);
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
        self.0.get(usize::try_from(ino.0 / 64).ok()?)
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
        let known = Known::new(64);
        for ino in [1, 63, 64] {
            assert!(!known.has(Ino(ino)));
            known.add(Ino(ino));
            assert!(known.has(Ino(ino)));
        }
        known.remove(Ino(63));
        assert!(known.has(Ino(64)) && !known.has(Ino(63)));
        known.add(Ino(u64::MAX));
        assert!(!known.has(Ino(u64::MAX)));
    }
}
