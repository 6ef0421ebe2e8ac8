//! Hashes a whole file, piece by piece and in order, against what is declared of it.

use std::ops::Range;

use crate::digest::{Digest, Hasher};

use super::block::Plan;
use super::declared::{ChunksRef, Declared};
use super::error::Reason;

/// What is left to be compared.
pub(super) enum Check<'a> {
    /// One digest, or several, of all bytes.
    Whole(Vec<(Digest, Hasher)>),
    /// The digest of each chunk.
    Chunks {
        declared: &'a Declared<'a>,
        plan: Plan<'a>,
        chunks: ChunksRef<'a>,
    },
}

impl<'a> Check<'a> {
    pub(super) fn new(declared: &'a Declared<'a>, plan: Plan<'a>) -> Self {
        match plan {
            Plan::Chunks(chunks) => Self::Chunks {
                declared,
                plan,
                chunks,
            },
            Plan::Whole | Plan::Private(_) => Self::Whole(
                (declared.whole.iter())
                    .map(|digest| (digest, Hasher::new(digest.algorithm())))
                    .collect(),
            ),
        }
    }

    /// Takes the next bytes: whole chunks, where there are any.
    pub(super) fn update(&mut self, range: Range<u64>, bytes: &[u8]) -> Result<(), Reason> {
        match self {
            Self::Whole(hashers) => {
                hashers
                    .iter_mut()
                    .for_each(|(_, hasher)| hasher.update(bytes));
            }
            Self::Chunks {
                declared,
                plan,
                chunks,
            } => {
                let mut begin = range.start;
                while begin < range.end {
                    let index = plan.index_of(begin);
                    let end = plan.range(index, declared.size).end.min(range.end);
                    let place = |at: u64| (at - range.start) as usize;
                    let wanted = chunks.digest(index).ok_or(Reason::NoDigest)?;
                    let chunk = bytes.get(place(begin)..place(end)).unwrap_or_default();
                    Reason::compare(wanted, wanted.algorithm().hash(chunk))?;
                    begin = end;
                }
            }
        }
        Ok(())
    }

    /// All bytes were there.
    pub(super) fn finish(self) -> Result<(), Reason> {
        match self {
            Self::Whole(hashers) => hashers
                .into_iter()
                .try_for_each(|(wanted, hasher)| Reason::compare(wanted, hasher.finish())),
            Self::Chunks { .. } => Ok(()),
        }
    }
}
