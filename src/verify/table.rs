//! The private table of a large file: a tag for each of its blocks, made in the
//! one pass in which the whole file was read and its digests matched.
//!
//! A tag is a BLAKE3 hash under a key that nobody else knows and that is new
//! for each verifier, so nobody can make a block that fits a tag.

use crate::source::SourceFile;

use super::block::private_block;
use super::error::Reason;
use super::pass::Pass;

/// The key of all tags of one verifier.
pub(super) type Key = [u8; 32];

/// The tags of a file that matched its digests.
#[derive(Debug)]
pub(super) struct Table(Box<[[u8; 32]]>);

impl Table {
    /// Reads a whole file, checks it, and keeps the tags.
    pub(super) fn fill(key: &Key, pass: &Pass<'_>, file: &dyn SourceFile) -> Result<Self, Reason> {
        let block = private_block(pass.declared.size) as usize;
        let mut tags = Vec::new();
        pass.run(
            |room, offset| file.read_at(room, offset),
            |_, piece| {
                tags.extend(piece.chunks(block).map(|block| tag(key, block)));
                Ok::<_, Reason>(())
            },
        )?;
        Ok(Self(tags.into_boxed_slice()))
    }

    /// Whether a block is the one that was there when the file matched.
    pub(super) fn matches(&self, key: &Key, index: u64, block: &[u8]) -> bool {
        usize::try_from(index)
            .ok()
            .and_then(|index| self.0.get(index))
            .is_some_and(|wanted| *wanted == tag(key, block))
    }

    /// How much memory it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.0)
    }
}

fn tag(key: &Key, block: &[u8]) -> [u8; 32] {
    *blake3::keyed_hash(key, block).as_bytes()
}
