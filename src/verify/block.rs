//! How a file is cut into the blocks that are checked at once.

use std::ops::Range;

use super::declared::{ChunksRef, Declared};
use super::error::Reason;

/// Size of the blocks of a private table, in bytes, for a file of this size:
/// 128 KiB, and more where there would be too many of them.
pub(super) fn private_block(size: u64) -> u64 {
    let smallest = size / PRIVATE_BLOCKS_MAX;
    smallest
        .checked_next_power_of_two()
        .unwrap_or(PRIVATE_BLOCK_MAX)
        .clamp(PRIVATE_BLOCK_MIN, PRIVATE_BLOCK_MAX)
}

const PRIVATE_BLOCK_MIN: u64 = 128 << 10;
const PRIVATE_BLOCK_MAX: u64 = 16 << 20;
/// A tag has 32 bytes, so a table of so many has 4 MiB.
const PRIVATE_BLOCKS_MAX: u64 = 1 << 17;

/// Chunks below this size, in bytes, cost more than they save.
const CHUNK_MIN: u64 = 4096;

/// How a file is cut, and what its blocks are checked against.
#[derive(Clone, Copy, Debug)]
pub(super) enum Plan<'a> {
    /// One block, checked against the digests of the whole.
    Whole,
    /// A block for each declared chunk.
    Chunks(ChunksRef<'a>),
    /// Blocks of this many bytes, checked against a table that was filled while
    /// the whole file was checked.
    Private(u64),
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
            .filter(|chunks| chunks.largest.min(declared.size) <= block_max)
            .filter(|chunks| chunks.largest >= CHUNK_MIN || !has_digest);
        match chunks {
            _ if has_digest && declared.size <= small_file_max => Ok(Self::Whole),
            Some(chunks) => Ok(Self::Chunks(chunks)),
            None if has_digest => Ok(Self::Private(private_block(declared.size))),
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
            Self::Private(block) => offset / (*block).max(1),
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
            Self::Private(block) => equal(*block),
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
            Plan::Private(PRIVATE_BLOCK_MIN),
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

    #[test]
    fn tables_stay_small() {
        for (size, block) in [
            (0, 128 << 10),
            (16 << 30, 128 << 10),
            (64 << 30, 512 << 10),
            (1 << 40, 8 << 20),
            (1 << 50, 16 << 20),
            (u64::MAX, 16 << 20),
        ] {
            assert_eq!(private_block(size), block, "{size}");
        }
    }
}
