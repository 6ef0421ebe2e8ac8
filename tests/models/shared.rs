//! What is kept: made once for all, and thrown away while somebody reads it.

use std::sync::Arc;

use shuttle::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use shuttle::thread;

use super::cache::ByteCache;
use super::shared::Shared;
use crate::try_orders;

/// A table, or a block: which file it is of, and how many there were when it was made.
type Made = Arc<(u64, u64)>;

/// Nothing throws it away, so it is made once, however many come for it and when.
#[test]
fn a_table_is_made_once() {
    try_orders(|| {
        let tables = Arc::new(Shared::<u64, Made, ()>::new(ByteCache::new(10)));
        let made = Arc::new(AtomicU64::new(0));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (tables, made) = (Arc::clone(&tables), Arc::clone(&made));
                thread::spawn(move || {
                    let table = tables.get_or_make(
                        7,
                        None,
                        |_| Some(4),
                        || {
                            thread::yield_now();
                            Ok(Arc::new((7, made.fetch_add(1, Ordering::SeqCst))))
                        },
                    );
                    assert_eq!(*table.unwrap().unwrap(), (7, 0));
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(made.load(Ordering::SeqCst), 1);
        assert_eq!(tables.kept().bytes(), 4);
    });
}

/// There is room for one: each that is made throws another away, which whoever has got
/// it goes on reading. Nobody gets that of another file, and none is lost or kept twice.
#[test]
fn eviction_takes_nothing_from_a_reader() {
    try_orders(|| {
        let tables = Arc::new(Shared::<u64, Made, ()>::new(ByteCache::keeping_one(0)));
        let made = Arc::new(AtomicU64::new(0));
        let at_it = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let threads: Vec<_> = [0, 1, 0, 1]
            .into_iter()
            .map(|file: u64| {
                let (tables, made, at_it) =
                    (Arc::clone(&tables), Arc::clone(&made), Arc::clone(&at_it));
                thread::spawn(move || {
                    let at_it = at_it.get(file as usize).unwrap();
                    let size = |made: &Made| Some(4 + made.0 as usize);
                    let table = tables.get_or_make(file, None, size, || {
                        assert_eq!(at_it.fetch_add(1, Ordering::SeqCst), 0);
                        thread::yield_now();
                        at_it.fetch_sub(1, Ordering::SeqCst);
                        Ok(Arc::new((file, made.fetch_add(1, Ordering::SeqCst))))
                    });
                    let table = table.unwrap().unwrap();
                    let weak = Arc::downgrade(&table);
                    assert_eq!(table.0, file);
                    tables.kept().remove(&file);
                    thread::yield_now();
                    assert_eq!((table.0, weak.strong_count() > 0), (file, true));
                    drop(table);
                    weak
                })
            })
            .collect();
        let weak: Vec<_> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect();
        let kept: Vec<Made> = [0, 1]
            .iter()
            .filter_map(|file| tables.kept().get(file))
            .collect();
        let bytes: usize = kept.iter().map(|made| 4 + made.0 as usize).sum();
        assert_eq!(tables.kept().bytes(), bytes);
        assert!(kept.len() <= 1);
        // What nobody keeps or reads is gone.
        for weak in weak.iter().filter_map(|weak| weak.upgrade()) {
            assert!(kept.iter().any(|kept| Arc::ptr_eq(kept, &weak)));
        }
    });
}
