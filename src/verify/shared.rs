//! Values that are made once for all who want them, and kept for a while.
//!
//! `tests/models.rs` tries this file in many orders that its locks can be taken in.

use std::hash::Hash;
use std::time::Duration;

use super::cache::ByteCache;
use super::flight::Flights;

/// A cache, and the making of what is not in it.
#[derive(Debug)]
pub(super) struct Shared<K: Eq + Hash, V, E> {
    kept: ByteCache<K, V>,
    flights: Flights<K, Result<V, E>>,
}

impl<K: Copy + Eq + Hash, V: Clone, E: Clone> Shared<K, V, E> {
    pub(super) fn new(kept: ByteCache<K, V>) -> Self {
        Self {
            kept,
            flights: Flights::default(),
        }
    }

    /// What is kept now. Nothing waits for it.
    pub(super) const fn kept(&self) -> &ByteCache<K, V> {
        &self.kept
    }

    /// The value that is kept, or the one that is made, by this caller or by another;
    /// `size` says how many bytes it takes where it is to be kept. No failure is.
    ///
    /// Nothing, if another one makes it and is not done within `patience`.
    pub(super) fn get_or_make(
        &self,
        key: K,
        patience: Option<Duration>,
        size: impl Fn(&V) -> Option<usize>,
        make: impl Fn() -> Result<V, E>,
    ) -> Option<Result<V, E>> {
        if let Some(value) = self.kept.get(&key) {
            return Some(Ok(value));
        }
        self.flights.run(key, patience, || {
            // It may have landed since we looked.
            if let Some(value) = self.kept.get(&key) {
                return Ok(value);
            }
            let value = make()?;
            if let Some(bytes) = size(&value) {
                self.kept.put(key, value.clone(), bytes);
            }
            Ok(value)
        })
    }
}
