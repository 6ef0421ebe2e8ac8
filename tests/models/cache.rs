//! What is kept, and its bounds.

use std::sync::Arc;

use shuttle::thread;

use super::cache::ByteCache;
use crate::{by_itself, try_orders};

#[test]
fn a_cache_keeps_what_was_used_last() {
    by_itself(|| {
        let cache = ByteCache::new(10);
        for (key, bytes) in [(1, 4), (2, 4), (1, 5), (3, 11)] {
            cache.put(key, key, bytes);
        }
        assert_eq!(cache.get(&1), Some(1));
        assert_eq!(cache.get(&3), None);
        cache.put(4, 4, 5);
        assert_eq!((cache.get(&1), cache.get(&2)), (Some(1), None));
        cache.put(1, 1, 5);
        assert_eq!((cache.get(&4), cache.get(&1)), (Some(4), Some(1)));
        assert_eq!(cache.bytes(), 10);
    });
}

#[test]
fn a_cache_keeps_one_where_it_must() {
    by_itself(|| {
        let cache = ByteCache::keeping_one(0);
        cache.put(1, 1, 4);
        assert_eq!(cache.get(&1), Some(1));
        cache.put(2, 2, 5);
        assert_eq!((cache.get(&1), cache.get(&2)), (None, Some(2)));
        assert_eq!(cache.bytes(), 5);
    });
}

/// Whoever looks, whenever: memory has a bound, and no more is thrown away than it takes.
#[test]
fn a_cache_never_has_too_much_nor_too_little() {
    try_orders(|| {
        let cache = Arc::new(ByteCache::new(10));
        let threads: Vec<_> = [1, 2, 3]
            .into_iter()
            .map(|key| {
                let cache = Arc::clone(&cache);
                thread::spawn(move || {
                    cache.put(key, key, 5);
                    let bytes = cache.bytes();
                    assert!(bytes == 5 || bytes == 10, "{bytes}");
                })
            })
            .collect();
        assert!(cache.bytes() <= 10);
        for thread in threads {
            thread.join().unwrap();
        }
        let kept = [1, 2, 3].iter().filter(|key| cache.contains(key)).count();
        assert_eq!((kept, cache.bytes()), (2, 10));
    });
}

/// A table that is thrown away by the one that makes room for itself costs a pass over a
/// whole file, each time.
#[test]
fn the_last_one_stays_whoever_comes_with_it() {
    try_orders(|| {
        let cache = Arc::new(ByteCache::keeping_one(0));
        let threads: Vec<_> = [1, 2, 3]
            .into_iter()
            .map(|key| {
                let cache = Arc::clone(&cache);
                thread::spawn(move || {
                    cache.put(key, key, 5);
                    assert_eq!(cache.bytes(), 5);
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        let kept = [1, 2, 3].iter().filter(|key| cache.contains(key)).count();
        assert_eq!((kept, cache.bytes()), (1, 5));
    });
}
