//! Values that many have in common.

use std::collections::HashMap;
use std::hash::Hash;

/// Values stored once each, and their numbers.
pub(super) struct Interned<T> {
    numbers: HashMap<T, u32>,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self {
            numbers: HashMap::new(),
        }
    }
}

impl<T: Eq + Hash + Clone> Interned<T> {
    /// The number of a value, which is a new one if the value is.
    pub(super) fn number(&mut self, value: T) -> u32 {
        let next = self.numbers.len() as u32;
        *self.numbers.entry(value).or_insert(next)
    }

    /// All values in the order of their numbers.
    pub(super) fn into_values(self) -> Box<[T]> {
        let mut values: Vec<(u32, T)> = self
            .numbers
            .into_iter()
            .map(|(value, number)| (number, value))
            .collect();
        values.sort_unstable_by_key(|(number, _)| *number);
        values.into_iter().map(|(_, value)| value).collect()
    }
}
