//! A bounded cache that goes by bytes.
//!
//! Its tests are in `tests/models.rs`, which runs it with other locks.

use std::hash::Hash;

use lru::LruCache;

use super::sync::Mutex;

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

    /// How many bytes all that is in it has.
    #[cfg(test)]
    #[allow(dead_code, reason = "tests/models.rs asks, and no test beside it")]
    pub(super) fn bytes(&self) -> usize {
        self.inner.lock().bytes
    }
}
