//! Numbers of inodes, where they do not follow from the manifest alone: a mount
//! whose manifest was read anew goes on with those that the kernel knows.

use thiserror::Error;

use super::record::Ino;

/// The number of each inode, and the way back.
#[derive(Debug)]
pub(super) struct Numbers {
    /// By the place of the inode in the table.
    numbers: Box<[u64]>,
    /// The places, sorted by their numbers.
    places: Box<[u32]>,
    /// Above all that were ever given.
    next: u64,
}

/// Why something is no numbering of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the numbers of the inodes do not fit the manifest")]
pub struct NumbersError;

impl Numbers {
    /// # Errors
    /// When two inodes have the same number, or the root has not its own.
    pub(super) fn new(numbers: Vec<u64>, next: u64) -> Result<Self, NumbersError> {
        let count = u32::try_from(numbers.len()).map_err(|_| NumbersError)?;
        let number = |place: &u32| numbers.get(*place as usize).copied().unwrap_or(0);
        let mut places: Box<[u32]> = (0..count).collect();
        places.sort_unstable_by_key(number);
        let are_distinct = places.windows(2).all(|pair| match pair {
            [one, two] => number(one) < number(two),
            _ => true,
        });
        let are_bounded = places.last().is_none_or(|last| number(last) < next);
        if !are_distinct || !are_bounded || numbers.first() != Some(&Ino::ROOT.0) {
            return Err(NumbersError);
        }
        Ok(Self {
            numbers: numbers.into_boxed_slice(),
            places,
            next,
        })
    }

    /// From what [`Self::to_bytes`] gave.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn from_bytes(bytes: &[u8], inodes: usize) -> Result<Self, NumbersError> {
        let (words, []) = bytes.as_chunks() else {
            return Err(NumbersError);
        };
        let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
        let next = words.next().ok_or(NumbersError)?;
        let numbers: Vec<u64> = words.collect();
        if numbers.len() != inodes {
            return Err(NumbersError);
        }
        Self::new(numbers, next)
    }

    /// The next number, and that of each inode, of eight bytes each.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let words = std::iter::once(&self.next).chain(&self.numbers);
        words.flat_map(|word| word.to_le_bytes()).collect()
    }

    pub(super) fn place(&self, ino: Ino) -> Option<usize> {
        let number = |place: &u32| self.numbers.get(*place as usize).copied();
        let found = self
            .places
            .binary_search_by(|place| number(place).cmp(&Some(ino.0)))
            .ok()?;
        self.places.get(found).map(|place| *place as usize)
    }

    pub(super) fn ino(&self, place: u32) -> Ino {
        // Nothing has the number 0.
        Ino(self.numbers.get(place as usize).copied().unwrap_or(0))
    }

    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.numbers) + size_of_val(&*self.places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let numbers = Numbers::new(vec![1, 9, 4], 12).unwrap();
        let bytes = numbers.to_bytes();
        for numbers in [numbers, Numbers::from_bytes(&bytes, 3).unwrap()] {
            assert_eq!(numbers.next(), 12);
            for (place, number) in [(0, 1), (1, 9), (2, 4)] {
                assert_eq!(numbers.ino(place), Ino(number));
                assert_eq!(numbers.place(Ino(number)), Some(place as usize));
            }
            for other in [0, 2, 5, 12, u64::MAX] {
                assert_eq!(numbers.place(Ino(other)), None);
            }
        }
    }

    #[test]
    fn what_is_no_numbering_is_refused() {
        for (numbers, next) in [
            (vec![1, 2, 2], 3),
            (vec![2, 3], 4),
            (vec![1, 3], 3),
            (vec![], 1),
        ] {
            assert!(Numbers::new(numbers, next).is_err());
        }
        let bytes = Numbers::new(vec![1, 2], 3).unwrap().to_bytes();
        assert!(Numbers::from_bytes(&bytes, 3).is_err());
        assert!(Numbers::from_bytes(bytes.get(1..).unwrap(), 2).is_err());
        assert!(Numbers::from_bytes(&[], 0).is_err());
    }
}
