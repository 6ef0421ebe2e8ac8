//! What a manifest declares about the content of one file.

use crate::digest::{Algorithm, Digest};
use crate::manifest::Chunks;
use crate::path::ManifestPath;

use super::error::Reason;

/// A file of one verifier; its inode number, where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u64);

/// What lies somewhere in the source. Where, is asked only to open it or to
/// refuse it: reading on in what is open costs no path.
pub trait Located: std::fmt::Debug + Sync {
    /// Where the source has it.
    fn path(&self) -> ManifestPath;
}

impl Located for ManifestPath {
    fn path(&self) -> ManifestPath {
        self.clone()
    }
}

/// Everything that can vouch for the content of a file.
#[derive(Clone, Copy, Debug)]
pub struct Declared<'a> {
    /// The file; two files of one verifier have two ids.
    pub id: FileId,
    /// Where the source has it.
    pub path: &'a dyn Located,
    /// Size in bytes.
    pub size: u64,
    /// Digests of the whole.
    pub whole: Whole<'a>,
    /// Digests of the parts.
    pub chunks: Option<ChunksRef<'a>>,
}

impl Declared<'_> {
    /// It ends after `found` bytes.
    pub(super) const fn short(&self, found: u64) -> Reason {
        Reason::Short {
            wanted: self.size,
            found,
        }
    }

    /// It goes on behind its declared size.
    pub(super) const fn long(&self) -> Reason {
        Reason::Long { wanted: self.size }
    }
}

/// Digests of a whole file; all of them must match.
#[derive(Clone, Copy, Debug)]
pub enum Whole<'a> {
    /// The common case, without a word wasted.
    Sha256(&'a [u8; 32]),
    /// Any number, even none.
    Many(&'a [Digest]),
}

impl<'a> Whole<'a> {
    /// The digests one by one.
    pub fn iter(self) -> impl Iterator<Item = Digest> + use<'a> {
        let (one, many) = match self {
            Self::Sha256(raw) => (Digest::from_raw(Algorithm::Sha256, raw), &[][..]),
            Self::Many(digests) => (None, digests),
        };
        one.into_iter().chain(many.iter().copied())
    }

    /// Whether nothing vouches for the whole.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        matches!(self, Self::Many([]))
    }
}

/// Digests of the parts of a file.
#[derive(Clone, Copy, Debug)]
pub struct ChunksRef<'a> {
    /// The algorithm of all of them.
    pub algorithm: Algorithm,
    /// Raw digests, one after the other.
    pub digests: &'a [u8],
    /// Size of the largest chunk in bytes; of all but the last, where all but
    /// the last have the same.
    pub largest: u64,
    /// Where each chunk ends, in bytes; empty where all but the last have the
    /// same size.
    pub ends: &'a [u64],
}

impl ChunksRef<'_> {
    /// How the file is cut.
    #[must_use]
    pub fn cut(&self) -> Chunks {
        if self.ends.is_empty() {
            return Chunks::Fixed(self.largest);
        }
        let begins = std::iter::once(&0).chain(self.ends);
        let lengths = self.ends.iter().zip(begins);
        Chunks::Lengths(
            lengths
                .map(|(end, begin)| end.saturating_sub(*begin))
                .collect(),
        )
    }

    /// The declared digest of a chunk.
    #[must_use]
    pub fn digest(&self, index: u64) -> Option<Digest> {
        let size = self.algorithm.size();
        let begin = usize::try_from(index).ok()?.checked_mul(size)?;
        let raw = self.digests.get(begin..begin.checked_add(size)?)?;
        Digest::from_raw(self.algorithm, raw)
    }
}
