//! Reads content, and lets out what matched.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;

use crate::source::Source;
use crate::sys;

use super::block::Plan;
use super::buffers::Buffers;
use super::cache::ByteCache;
use super::declared::{Declared, FileId};
use super::error::{Reason, VerifyError};
use super::open_files::OpenFiles;
use super::options::Options;
use super::shared::Shared;
use super::table::{Key, Table};

/// Reads from a source, and lets out only bytes that match what is declared.
#[derive(Debug)]
pub struct Verifier {
    pub(super) files: OpenFiles,
    pub(super) options: Options,
    pub(super) key: Key,
    /// Whether nobody wants any content any more.
    pub(super) stopped: AtomicBool,
    pub(super) buffers: Buffers,
    pub(super) blocks: Shared<BlockId, Bytes, VerifyError>,
    pub(super) tables: Shared<FileId, Arc<Table>, VerifyError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct BlockId {
    pub(super) file: FileId,
    pub(super) index: u64,
}

impl Verifier {
    /// A verifier of what `source` has.
    ///
    /// # Errors
    /// When the system has no random bytes for its key.
    pub fn new(source: Box<dyn Source>, options: Options) -> io::Result<Self> {
        Ok(Self {
            files: OpenFiles::new(source, options.open_files),
            options,
            key: sys::random::bytes()?,
            stopped: AtomicBool::new(false),
            buffers: Buffers::new(SPARE_BUFFERS),
            blocks: Shared::new(ByteCache::new(options.block_cache)),
            tables: Shared::new(ByteCache::keeping_one(options.table_cache)),
        })
    }

    /// Takes nothing from the filesystem with this device number from now on.
    pub fn avoid(&self, device: u64) {
        self.files.avoid(device);
    }

    /// The bytes of a file from `offset` on: `size` of them, or as many as
    /// there are before its declared end.
    ///
    /// # Errors
    /// When any block that has one of these bytes is refused. There is no
    /// partial answer.
    pub fn read(
        &self,
        declared: &Declared<'_>,
        offset: u64,
        size: u32,
    ) -> Result<Bytes, VerifyError> {
        let end = offset.saturating_add(u64::from(size)).min(declared.size);
        if offset >= end {
            return Ok(Bytes::new());
        }
        let plan = self
            .plan(declared)
            .map_err(|reason| VerifyError::new(declared, None, offset..end, reason))?;
        let (first, last) = (plan.index_of(offset), plan.index_of(end - 1));
        if first == last {
            return self.part(declared, &plan, first, offset, end);
        }
        if matches!(plan, Plan::Private(_)) {
            return self.run(declared, &plan, first..=last, offset..end);
        }
        let mut joined = self.buffers.take((end - offset) as usize);
        let mut rest = joined.as_mut_slice();
        for index in first..=last {
            let part = self.part(declared, &plan, index, offset, end)?;
            let (now, later) = rest.split_at_mut(part.len().min(rest.len()));
            now.copy_from_slice(&part);
            rest = later;
        }
        // The buffer was used before: not one old byte may stay in it.
        if !rest.is_empty() {
            let reason = declared.short(end - rest.len() as u64);
            return Err(VerifyError::new(declared, None, offset..end, reason));
        }
        Ok(joined.freeze())
    }

    /// How long anybody waits for the source, as the options say.
    #[must_use]
    pub const fn patience(&self) -> Option<Duration> {
        self.options.patience
    }

    pub(super) fn plan<'a>(&self, declared: &Declared<'a>) -> Result<Plan<'a>, Reason> {
        let options = &self.options;
        Plan::of(declared, options.small_file_max, options.block_max)
    }

    /// Those bytes of a block that lie from `offset` to `end`.
    fn part(
        &self,
        declared: &Declared<'_>,
        plan: &Plan<'_>,
        index: u64,
        offset: u64,
        end: u64,
    ) -> Result<Bytes, VerifyError> {
        let range = plan.range(index, declared.size);
        // The kernel keeps what it gets; only what it did not get may be asked
        // for again soon.
        let keep = range.start < offset || end < range.end;
        let block = self.block(declared, plan, index, keep)?;
        let from = offset.saturating_sub(range.start) as usize;
        let to = (end.min(range.end) - range.start) as usize;
        Ok(block.slice(from.min(block.len())..to.min(block.len())))
    }

    /// A checked block, from the cache or from the source.
    fn block(
        &self,
        declared: &Declared<'_>,
        plan: &Plan<'_>,
        index: u64,
        keep: bool,
    ) -> Result<Bytes, VerifyError> {
        let id = BlockId {
            file: declared.id,
            index,
        };
        let size = |block: &Bytes| keep.then(|| block.len().saturating_add(BLOCK_OVERHEAD));
        let block = self
            .blocks
            .get_or_make(id, self.options.patience, size, || {
                self.load(declared, plan, index)
            });
        block.unwrap_or_else(|| {
            let range = plan.range(index, declared.size);
            Err(self.stalled(declared, range.start, range.end - range.start))
        })
    }

    /// That the source did not give some bytes in time.
    #[must_use]
    pub fn stalled(&self, declared: &Declared<'_>, offset: u64, length: u64) -> VerifyError {
        let waited = self.options.patience.unwrap_or_default();
        let range = offset..offset.saturating_add(length);
        VerifyError::new(declared, None, range, Reason::Stalled(waited))
    }

    /// Whether there are files of the source to be closed.
    #[must_use]
    pub fn has_unused(&self) -> bool {
        self.files.has_unused()
    }

    /// Closes files of the source that make room for others. Where nobody calls
    /// this, a read does it now and then.
    pub fn close_unused(&self) {
        self.files.close_unused();
    }
}

/// How many bytes of buffers are kept to be used again.
const SPARE_BUFFERS: usize = 8 << 20;

/// How much memory a cached block takes besides its bytes.
const BLOCK_OVERHEAD: usize = 256;
