//! The private table of a large file: a tag for each of its blocks, made in the
//! one pass in which the whole file was read and its digests matched.
//!
//! A tag is a BLAKE3 hash under a key that nobody else knows and that is new
//! for each verifier, so nobody can make a block that fits a tag.

use std::thread;

use crate::digest::{Digest, Hasher};
use crate::source::SourceFile;

use super::block::private_block;
use super::declared::Declared;
use super::error::Reason;

/// How much is read at once, in bytes, unless one block is more.
const STRIDE: usize = 1 << 20;

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
        let block = private_block(declared.size) as usize;
        let room = STRIDE.next_multiple_of(block);
        let mut offset = 0;
        let mut stride = read_stride(file, vec![0; room], offset)?;
        let mut spare = Vec::new();
        while !stride.is_empty() {
            offset = offset.saturating_add(stride.len() as u64);
            if offset > declared.size {
                return Err(Reason::Long {
                    wanted: declared.size,
                });
            }
            // Tags are of whole blocks, so nothing may come behind a part of one.
            if stride.len() < room && offset < declared.size {
                break;
            }
            // The digest of the whole can only go byte after byte; everything
            // else goes beside it.
            spare.resize(room, 0);
            let next = thread::scope(|scope| {
                let hashing =
                    scope.spawn(|| hashers.iter_mut().for_each(|hasher| hasher.update(&stride)));
                tags.extend(stride.chunks(block).map(|block| tag(key, block)));
                let next = read_stride(file, spare, offset);
                // Only hashing could panic, and it does not.
                let _ = hashing.join();
                next
            })?;
            spare = std::mem::replace(&mut stride, next);
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

/// The next bytes of a file; fewer than there is room for only at its end, and
/// none behind it.
fn read_stride(file: &dyn SourceFile, mut room: Vec<u8>, offset: u64) -> Result<Vec<u8>, Reason> {
    let count = file.read_at(&mut room, offset).map_err(Reason::Io)?;
    room.truncate(count);
    Ok(room)
}

fn tag(key: &Key, block: &[u8]) -> [u8; 32] {
    *blake3::keyed_hash(key, block).as_bytes()
}
