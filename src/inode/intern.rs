//! Values that many have in common.

use std::collections::HashMap;
use std::hash::Hash;

/// Values stored once each, and their numbers.
pub(super) struct Interned<T> {
    numbers: HashMap<T, u32>,
    /// What was asked for last: the next one is often the same.
    last: Option<(T, u32)>,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self {
            numbers: HashMap::new(),
            last: None,
        }
    }
}

impl<T: Eq + Hash + Clone> Interned<T> {
    /// The number of a value, which is a new one if the value is.
    pub(super) fn number(&mut self, value: T) -> u32 {
        if let Some((last, number)) = &self.last
            && *last == value
        {
            return *number;
        }
        let next = self.numbers.len() as u32;
        let number = *self.numbers.entry(value.clone()).or_insert(next);
        self.last = Some((value, number));
        number
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
