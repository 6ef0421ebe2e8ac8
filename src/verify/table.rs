//! The private table of a large file: a tag for each of its blocks, made in the
//! one pass in which the whole file was read and its digests matched.
//!
//! A tag is a BLAKE3 hash under a key that nobody else knows and that is new
//! for each verifier, so nobody can make a block that fits a tag.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
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
    /// Reads a whole file, checks it, and keeps the tags. `read` counts the bytes
    /// that came so far.
    ///
    /// A digest of the whole can only go byte after byte; reading and tagging
    /// go on beside it.
    pub(super) fn fill(
        key: &Key,
        declared: &Declared<'_>,
        file: &dyn SourceFile,
        read: &AtomicU64,
    ) -> Result<Self, Reason> {
        let wanted: Vec<Digest> = declared.whole.iter().collect();
        let hashers: Vec<Hasher> = wanted
            .iter()
            .map(|digest| Hasher::new(digest.algorithm()))
            .collect();
        let (tags, hashers) = thread::scope(|scope| {
            // What is read waits in here, and comes back when it was hashed.
            let (give, strides) = sync_channel(1);
            let (give_back, used) = channel();
            let hashing = thread::Builder::new()
                .name("hash".to_owned())
                .spawn_scoped(scope, move || hash(hashers, strides, &give_back))
                .map_err(Reason::Io)?;
            let tags = tag_all(key, declared, file, read, &used, &give);
            drop(give);
            let hashers = hashing
                .join()
                .map_err(|_| Reason::Io(io::Error::other("hashing panicked")))?;
            Ok((tags?, hashers))
        })?;
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

fn hash(
    mut hashers: Vec<Hasher>,
    strides: Receiver<Vec<u8>>,
    give_back: &Sender<Vec<u8>>,
) -> Vec<Hasher> {
    for stride in strides {
        hashers.iter_mut().for_each(|hasher| hasher.update(&stride));
        // Nobody takes the last ones.
        let _ = give_back.send(stride);
    }
    hashers
}

/// Reads a file, tags its blocks, and gives all that it reads on; `used` has
/// buffers that may be filled again.
fn tag_all(
    key: &Key,
    declared: &Declared<'_>,
    file: &dyn SourceFile,
    read: &AtomicU64,
    used: &Receiver<Vec<u8>>,
    give: &SyncSender<Vec<u8>>,
) -> Result<Vec<[u8; 32]>, Reason> {
    let block = private_block(declared.size) as usize;
    let room = STRIDE.next_multiple_of(block);
    let mut tags = Vec::new();
    let mut offset: u64 = 0;
    loop {
        let mut stride = used.try_recv().unwrap_or_default();
        stride.resize(room, 0);
        let count = file.read_at(&mut stride, offset).map_err(Reason::Io)?;
        stride.truncate(count);
        read.fetch_add(count as u64, Ordering::Relaxed);
        offset = offset.saturating_add(count as u64);
        if offset > declared.size {
            return Err(declared.long());
        }
        // Tags are of whole blocks, so nothing may come behind a part of one.
        if count < room && offset < declared.size {
            return Err(declared.short(offset));
        }
        tags.extend(stride.chunks(block).map(|block| tag(key, block)));
        if count == 0 || give.send(stride).is_err() {
            return Ok(tags);
        }
    }
}

fn tag(key: &Key, block: &[u8]) -> [u8; 32] {
    *blake3::keyed_hash(key, block).as_bytes()
}
