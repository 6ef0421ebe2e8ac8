//! The private table of a large file: a tag for each of its blocks, made in the
//! one pass in which the whole file was read and its digests matched.
//!
//! A tag is a BLAKE3 hash under a key that nobody else knows and that is new
//! for each verifier, so nobody can make a block that fits a tag.

use crate::digest::{Digest, Hasher};
use crate::source::SourceFile;

use super::block::PRIVATE_BLOCK;
use super::declared::Declared;
use super::error::Reason;

/// How much is read at once, in bytes: whole blocks.
const STRIDE: usize = 8 * PRIVATE_BLOCK as usize;

/// The key of all tags of one verifier.
pub(super) type Key = [u8; 32];

/// The tags of a file that matched its digests.
#[derive(Debug)]
pub(super) struct Table(Box<[[u8; 32]]>);

impl Table {
    /// Reads a whole file, checks it, and keeps the tags.
    pub(super) fn fill(
        key: &Key,
        declared: &Declared<'_>,
        file: &dyn SourceFile,
    ) -> Result<Self, Reason> {
        let wanted: Vec<Digest> = declared.whole.iter().collect();
        let mut hashers: Vec<Hasher> = wanted
            .iter()
            .map(|digest| Hasher::new(digest.algorithm()))
            .collect();
        let mut tags = Vec::new();
        let mut buffer = vec![0; STRIDE];
        let mut offset = 0;
        loop {
            let count = file.read_at(&mut buffer, offset).map_err(Reason::Io)?;
            let read = buffer.get(..count).unwrap_or(&buffer);
            offset = offset.saturating_add(count as u64);
            if offset > declared.size {
                return Err(Reason::Long {
                    wanted: declared.size,
                });
            }
            for hasher in &mut hashers {
                hasher.update(read);
            }
            let blocks = read.chunks(PRIVATE_BLOCK as usize);
            tags.extend(blocks.map(|block| tag(key, block)));
            if count < STRIDE {
                break;
            }
        }
        if offset < declared.size {
            return Err(Reason::Short {
                wanted: declared.size,
                found: offset,
            });
        }
        for (wanted, hasher) in wanted.into_iter().zip(hashers) {
            Reason::compare(wanted, hasher.finish())?;
        }
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
