//! How a file is cut into the blocks that are checked at once.

use std::ops::Range;

use super::declared::{ChunksRef, Declared};
use super::error::Reason;

/// Size of the blocks of a private table, in bytes.
pub(super) const PRIVATE_BLOCK: u64 = 128 * 1024;

/// How a file is cut, and what its blocks are checked against.
#[derive(Clone, Copy, Debug)]
pub(super) enum Plan<'a> {
    /// One block, checked against the digests of the whole.
    Whole,
    /// A block for each declared chunk.
    Chunks(ChunksRef<'a>),
    /// Blocks of [`PRIVATE_BLOCK`], checked against a table that was filled
    /// while the whole file was checked.
    Private,
}

impl<'a> Plan<'a> {
    /// Chooses the cheapest way that needs no block over `block_max` bytes.
    pub(super) fn of(
        declared: &Declared<'a>,
        small_file_max: u64,
        block_max: u64,
    ) -> Result<Self, Reason> {
        let has_digest = !declared.whole.is_empty();
        let chunks = declared
            .chunks
            .filter(|chunks| chunks.largest.min(declared.size) <= block_max);
        match chunks {
            _ if has_digest && declared.size <= small_file_max => Ok(Self::Whole),
            Some(chunks) => Ok(Self::Chunks(chunks)),
            None if has_digest => Ok(Self::Private),
            None => Err(Reason::NoDigest),
        }
    }

    /// The number of the block that holds byte `offset`.
    pub(super) fn index_of(&self, offset: u64) -> u64 {
        match self {
            Self::Whole => 0,
            Self::Chunks(ChunksRef {
                ends: [], largest, ..
            }) => offset / (*largest).max(1),
            Self::Chunks(chunks) => chunks.ends.partition_point(|end| *end <= offset) as u64,
            Self::Private => offset / PRIVATE_BLOCK,
        }
    }

    /// The bytes of a block of a file of `size` bytes.
    pub(super) fn range(&self, index: u64, size: u64) -> Range<u64> {
        let equal = |block: u64| {
            let begin = index.saturating_mul(block).min(size);
            begin..begin.saturating_add(block).min(size)
        };
        match self {
            Self::Whole => 0..size,
            Self::Chunks(ChunksRef {
                ends: [], largest, ..
            }) => equal(*largest),
            Self::Chunks(chunks) => {
                let end = |index: u64| {
                    usize::try_from(index)
                        .ok()
                        .and_then(|index| chunks.ends.get(index))
                        .map_or(size, |end| (*end).min(size))
                };
                index.checked_sub(1).map_or(0, end)..end(index)
            }
            Self::Private => equal(PRIVATE_BLOCK),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Algorithm;

    fn chunks<'a>(largest: u64, ends: &'a [u64]) -> Plan<'a> {
        Plan::Chunks(ChunksRef {
            algorithm: Algorithm::Sha256,
            digests: &[],
            largest,
            ends,
        })
    }

    #[test]
    fn every_byte_lies_in_the_block_that_is_said() {
        let size = 300_007;
        for plan in [
            Plan::Whole,
            Plan::Private,
            chunks(1000, &[]),
            chunks(size, &[]),
            chunks(200_000, &[1, 100_000, 300_000, size]),
        ] {
            let mut next = 0;
            let mut index = 0;
            while next < size {
                let range = plan.range(index, size);
                assert_eq!(range.start, next, "{plan:?}");
                assert_eq!(plan.index_of(range.start), index);
                assert_eq!(plan.index_of(range.end - 1), index);
                next = range.end;
                index += 1;
            }
            assert_eq!(next, size);
        }
    }
}
