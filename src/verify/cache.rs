//! A bounded cache that goes by bytes.

use std::hash::Hash;

use lru::LruCache;
use parking_lot::Mutex;

/// Keeps what was used last, up to a number of bytes.
#[derive(Debug)]
pub(super) struct ByteCache<K: Eq + Hash, V> {
    inner: Mutex<Inner<K, V>>,
    capacity: usize,
    /// How many values stay however large they are.
    least: usize,
}

#[derive(Debug)]
struct Inner<K: Eq + Hash, V> {
    entries: LruCache<K, (V, usize)>,
    bytes: usize,
}

impl<K: Eq + Hash, V: Clone> ByteCache<K, V> {
    /// A cache of at most `capacity` bytes.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            inner: Mutex::new(Inner {
                entries: LruCache::unbounded(),
                bytes: 0,
            }),
            capacity,
            least: 0,
        }
    }

    /// The same, but what was put in last stays, however large it is.
    pub(super) fn keeping_one(capacity: usize) -> Self {
        Self {
            least: 1,
            ..Self::new(capacity)
        }
    }

    pub(super) fn get(&self, key: &K) -> Option<V> {
        let mut inner = self.inner.lock();
        inner.entries.get(key).map(|(value, _)| value.clone())
    }

    /// Whether it is there; that does not count as use.
    pub(super) fn contains(&self, key: &K) -> bool {
        self.inner.lock().entries.contains(key)
    }

    /// Takes it out, if it is there.
    pub(super) fn remove(&self, key: &K) {
        let mut inner = self.inner.lock();
        if let Some((_, bytes)) = inner.entries.pop(key) {
            inner.bytes = inner.bytes.saturating_sub(bytes);
        }
    }

    /// Puts a value of `bytes` bytes in, and others out to make room. One that
    /// is larger than the whole cache is not kept, unless one has to be.
    pub(super) fn put(&self, key: K, value: V, bytes: usize) {
        if bytes > self.capacity && self.least == 0 {
            return;
        }
        let mut inner = self.inner.lock();
        if let Some((_, (_, old))) = inner.entries.push(key, (value, bytes)) {
            inner.bytes = inner.bytes.saturating_sub(old);
        }
        inner.bytes = inner.bytes.saturating_add(bytes);
        while inner.bytes > self.capacity && inner.entries.len() > self.least {
            let Some((_, (_, old))) = inner.entries.pop_lru() else {
                break;
            };
            inner.bytes = inner.bytes.saturating_sub(old);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_was_used_last() {
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
        assert_eq!(cache.inner.lock().bytes, 10);
    }

    #[test]
    fn keeps_one_where_it_must() {
        let cache = ByteCache::keeping_one(0);
        cache.put(1, 1, 4);
        assert_eq!(cache.get(&1), Some(1));
        cache.put(2, 2, 5);
        assert_eq!((cache.get(&1), cache.get(&2)), (None, Some(2)));
        assert_eq!(cache.inner.lock().bytes, 5);
    }
}
