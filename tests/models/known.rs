//! What the kernel was told of. It may be wrong for a moment, and must not stay wrong.

use std::sync::Arc;

use shuttle::thread;

use super::known::Known;
use crate::inode::Ino;
use crate::{by_itself, try_all_orders};

#[test]
fn knows_what_it_was_told() {
    by_itself(|| {
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
    });
}

/// Inodes share words.
#[test]
fn nobody_forgets_what_another_one_adds() {
    try_all_orders(|| {
        let known = Arc::new(Known::new(10));
        known.add(Ino(4));
        let other = Arc::clone(&known);
        let thread = thread::spawn(move || {
            other.add(Ino(3));
            other.remove(Ino(4));
        });
        known.add(Ino(2));
        known.remove(Ino(2));
        known.add(Ino(5));
        thread.join().unwrap();
        let has = [2, 3, 4, 5].map(|ino| known.has(Ino(ino)));
        assert_eq!(has, [false, true, false, true]);
    });
}

/// The kernel gets the names of a directory, and drops one of them; a read comes at any
/// time, on another thread.
#[test]
fn what_was_announced_and_forgotten_stays_forgotten() {
    try_all_orders(|| {
        let known = Arc::new(Known::new(10));
        let reads = Arc::clone(&known);
        let read = thread::spawn(move || reads.settle());
        known.announce(vec![Ino(2), Ino(3)]);
        known.remove(Ino(2));
        read.join().unwrap();
        known.settle();
        assert_eq!((known.has(Ino(2)), known.has(Ino(3))), (false, true));
    });
}
