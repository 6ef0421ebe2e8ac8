//! Reads content, and lets out what matched.

use std::cmp::Ordering;
use std::io;
use std::num::NonZeroUsize;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use lru::LruCache;
use parking_lot::Mutex;

use crate::digest::Digest;
use crate::source::{ContentRef, Source, SourceError, SourceFile};
use crate::sys;

use super::block::Plan;
use super::buffers::Buffers;
use super::cache::ByteCache;
use super::declared::{Declared, FileId};
use super::error::{Reason, VerifyError};
use super::flight::Flights;
use super::reading::{read_block, read_exact};
use super::table::{Key, Table};

/// Sizes of a verifier.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Up to this size, in bytes, a file with a digest is checked as a whole.
    pub small_file_max: u64,
    /// Largest chunk that is checked as declared, in bytes. A file with larger
    /// ones is checked by its digest.
    pub block_max: u64,
    /// How many bytes of checked blocks are kept.
    pub block_cache: usize,
    /// How many bytes of private tables are kept; the last one always is, since
    /// every read would have to hash the whole file otherwise.
    pub table_cache: usize,
    /// How many files of the source are kept open.
    pub open_files: usize,
    /// How long anybody waits for somebody else to read what both want; for ever,
    /// if it is not said.
    pub patience: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            small_file_max: 1 << 20,
            block_max: 16 << 20,
            block_cache: 32 << 20,
            table_cache: 16 << 20,
            open_files: 128,
            patience: None,
        }
    }
}

/// Reads from a source, and lets out only bytes that match what is declared.
#[derive(Debug)]
pub struct Verifier {
    source: Box<dyn Source>,
    options: Options,
    key: Key,
    files: Mutex<LruCache<FileId, Arc<dyn SourceFile>>>,
    /// Those that are to be closed. That can take as long as reading them, so it
    /// is done under no lock, and in nobody's way.
    unused: Mutex<Vec<Arc<dyn SourceFile>>>,
    buffers: Buffers,
    blocks: ByteCache<BlockId, Bytes>,
    block_flights: Flights<BlockId, Result<Bytes, VerifyError>>,
    tables: ByteCache<FileId, Arc<Table>>,
    table_flights: Flights<FileId, Result<Arc<Table>, VerifyError>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct BlockId {
    file: FileId,
    index: u64,
}

impl Verifier {
    /// A verifier of what `source` has.
    ///
    /// # Errors
    /// When the system has no random bytes for its key.
    pub fn new(source: Box<dyn Source>, options: Options) -> io::Result<Self> {
        let open_files = NonZeroUsize::new(options.open_files).unwrap_or(NonZeroUsize::MIN);
        Ok(Self {
            source,
            options,
            key: sys::random::bytes()?,
            files: Mutex::new(LruCache::new(open_files)),
            unused: Mutex::default(),
            buffers: Buffers::new(SPARE_BUFFERS),
            blocks: ByteCache::new(options.block_cache),
            block_flights: Flights::default(),
            tables: ByteCache::keeping_one(options.table_cache),
            table_flights: Flights::default(),
        })
    }

    /// Takes nothing from the filesystem with this device number from now on.
    pub fn avoid(&self, device: u64) {
        self.source.avoid(device);
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

    /// The declared chunk that byte `offset` lies in, and where it begins, if it
    /// was checked a short while ago. Nothing is read for it.
    #[must_use]
    pub fn chunk_at_hand(&self, declared: &Declared<'_>, offset: u64) -> Option<(u64, Bytes)> {
        let plan = self.plan(declared).ok()?;
        if !matches!(plan, Plan::Chunks(_)) || offset >= declared.size {
            return None;
        }
        let index = plan.index_of(offset);
        let id = BlockId {
            file: declared.id,
            index,
        };
        let block = self.blocks.get(&id)?;
        Some((plan.range(index, declared.size).start, block))
    }

    /// What [`Self::read`] would give, if all of it was checked a short while ago
    /// and is still kept. Nothing is read for it.
    #[must_use]
    pub fn at_hand(&self, declared: &Declared<'_>, offset: u64, size: u32) -> Option<Bytes> {
        let end = offset.saturating_add(u64::from(size)).min(declared.size);
        if offset >= end {
            return Some(Bytes::new());
        }
        let plan = self.plan(declared).ok()?;
        let (first, last) = (plan.index_of(offset), plan.index_of(end - 1));
        let mut joined = Vec::new();
        for index in first..=last {
            let file = declared.id;
            let block = self.blocks.get(&BlockId { file, index })?;
            let range = plan.range(index, declared.size);
            let from = offset.saturating_sub(range.start) as usize;
            let to = (end.min(range.end) - range.start) as usize;
            let part = block.slice(from.min(block.len())..to.min(block.len()));
            if first == last {
                return Some(part);
            }
            joined.extend_from_slice(&part);
        }
        Some(joined.into())
    }

    /// Lets go of the blocks that begin in these bytes, so that the next read has
    /// them from the source again.
    pub fn forget(&self, declared: &Declared<'_>, offset: u64, size: u32) {
        let end = offset.saturating_add(u64::from(size)).min(declared.size);
        let Ok(plan) = self.plan(declared) else {
            return;
        };
        if offset >= end {
            return;
        }
        for index in plan.index_of(offset)..=plan.index_of(end - 1) {
            if plan.range(index, declared.size).start >= offset {
                let file = declared.id;
                self.blocks.remove(&BlockId { file, index });
            }
        }
    }

    /// How long anybody waits for the source, as the options say.
    #[must_use]
    pub const fn patience(&self) -> Option<Duration> {
        self.options.patience
    }

    /// Whether there are files of the source to be closed.
    #[must_use]
    pub fn has_unused(&self) -> bool {
        !self.unused.lock().is_empty()
    }

    /// Closes files of the source that make room for others. Where nobody calls
    /// this, a read does it now and then.
    pub fn close_unused(&self) {
        let unused = std::mem::take(&mut *self.unused.lock());
        drop(unused);
    }

    /// Has a file of the source closed some time.
    fn retire(&self, file: Option<Arc<dyn SourceFile>>) {
        let Some(file) = file else { return };
        let mut unused = self.unused.lock();
        unused.push(file);
        let too_many = unused.len() >= UNUSED_MAX;
        drop(unused);
        if too_many {
            self.close_unused();
        }
    }

    /// Whether a read needs no work but on the blocks that it touches.
    #[must_use]
    pub fn is_prepared(&self, declared: &Declared<'_>) -> bool {
        !matches!(self.plan(declared), Ok(Plan::Private(_))) || self.tables.contains(&declared.id)
    }

    /// Checks the whole of a file that is to be read in blocks and has no
    /// declared ones. [`Self::read`] does it too, if it was not done before.
    /// `read` counts the bytes that came so far, for whoever wants to see whether
    /// it gets on.
    ///
    /// # Errors
    /// When the file is refused.
    pub fn prepare(&self, declared: &Declared<'_>, read: &AtomicU64) -> Result<(), VerifyError> {
        match self.plan(declared) {
            Ok(Plan::Private(_)) => self.table(declared, read).map(drop),
            _ => Ok(()),
        }
    }

    pub(super) fn plan<'a>(&self, declared: &Declared<'a>) -> Result<Plan<'a>, Reason> {
        let options = &self.options;
        Plan::of(declared, options.small_file_max, options.block_max)
    }

    /// Several blocks of a file with a private table, read and checked in one
    /// buffer. They are not kept: who reads so many goes on behind them.
    fn run(
        &self,
        declared: &Declared<'_>,
        plan: &Plan<'_>,
        blocks: RangeInclusive<u64>,
        wanted: Range<u64>,
    ) -> Result<Bytes, VerifyError> {
        let begin = plan.range(*blocks.start(), declared.size).start;
        let length = plan.range(*blocks.end(), declared.size).end - begin;
        let place = |at: u64| (at - begin) as usize;
        let table = self.table(declared, &AtomicU64::new(0))?;
        self.with_file(declared, |file| {
            let run = read_exact(&self.buffers, declared, file, begin, length)?;
            for index in blocks.clone() {
                let range = plan.range(index, declared.size);
                let block = run.get(place(range.start)..place(range.end));
                if !block.is_some_and(|block| table.matches(&self.key, index, block)) {
                    return Err(Reason::Changed);
                }
            }
            Ok(run.freeze().slice(place(wanted.start)..place(wanted.end)))
        })
        .map_err(|reason| VerifyError::new(declared, None, begin..begin + length, reason))
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
        if let Some(block) = self.blocks.get(&id) {
            return Ok(block);
        }
        let patience = self.options.patience;
        let block = self.block_flights.run(id, patience, || {
            // It may have landed since we looked.
            if let Some(block) = self.blocks.get(&id) {
                return Ok(block);
            }
            let block = self.load(declared, plan, index)?;
            if keep {
                let bytes = block.len().saturating_add(BLOCK_OVERHEAD);
                self.blocks.put(id, block.clone(), bytes);
            }
            Ok(block)
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

    fn load(
        &self,
        declared: &Declared<'_>,
        plan: &Plan<'_>,
        index: u64,
    ) -> Result<Bytes, VerifyError> {
        let range = plan.range(index, declared.size);
        let length = range.end - range.start;
        let chunk = matches!(plan, Plan::Chunks(_)).then_some(index);
        let refuse = |reason| VerifyError::new(declared, chunk, range.clone(), reason);
        match plan {
            // Read once and not again soon: it is not kept open.
            Plan::Whole => self.with_new_file(declared, |file| {
                // One more byte shows whether the file goes on.
                let block = read_block(&self.buffers, file, 0, length.saturating_add(1))?;
                match (block.len() as u64).cmp(&length) {
                    Ordering::Less => Err(declared.short(block.len() as u64)),
                    Ordering::Greater => Err(declared.long()),
                    Ordering::Equal => {
                        for wanted in declared.whole.iter() {
                            Reason::compare(wanted, wanted.algorithm().hash(&block))?;
                        }
                        Ok(block.freeze())
                    }
                }
            }),
            Plan::Chunks(chunks) => self.with_file(declared, |file| {
                let block = read_exact(&self.buffers, declared, file, range.start, length)?;
                let wanted = chunks.digest(index).ok_or(Reason::NoDigest)?;
                Reason::compare(wanted, wanted.algorithm().hash(&block))?;
                Ok(block.freeze())
            }),
            Plan::Private(_) => {
                let table = self.table(declared, &AtomicU64::new(0))?;
                self.with_file(declared, |file| {
                    let block = read_exact(&self.buffers, declared, file, range.start, length)?;
                    if !table.matches(&self.key, index, &block) {
                        return Err(Reason::Changed);
                    }
                    Ok(block.freeze())
                })
            }
        }
        .map_err(refuse)
    }

    /// The private table of a large file; the whole of it is checked for that.
    fn table(&self, declared: &Declared<'_>, read: &AtomicU64) -> Result<Arc<Table>, VerifyError> {
        if let Some(table) = self.tables.get(&declared.id) {
            return Ok(table);
        }
        let patience = self.options.patience;
        let table = self.table_flights.run(declared.id, patience, || {
            if let Some(table) = self.tables.get(&declared.id) {
                return Ok(table);
            }
            let table = self
                .with_file(declared, |file| {
                    Table::fill(&self.key, declared, file, read)
                })
                .map(Arc::new)
                .map_err(|reason| VerifyError::new(declared, None, 0..declared.size, reason))?;
            self.tables
                .put(declared.id, Arc::clone(&table), table.bytes());
            Ok(table)
        });
        table.unwrap_or_else(|| Err(self.stalled(declared, 0, declared.size)))
    }

    /// Opens the file of the source. That we have no descriptor left is nothing
    /// that a reader should hear of while we keep files open: they go first.
    fn open(&self, declared: &Declared<'_>) -> Result<Box<dyn SourceFile>, SourceError> {
        let digests: Vec<Digest> = declared.whole.iter().collect();
        let path = declared.path.path();
        let content = ContentRef {
            path: &path,
            size: declared.size,
            digests: &digests,
        };
        loop {
            match self.source.open(&content) {
                Err(SourceError::Exhausted) => {
                    self.close_unused();
                    let Some((_, file)) = self.files.lock().pop_lru() else {
                        return Err(SourceError::Exhausted);
                    };
                    drop(file);
                }
                opened => return opened,
            }
        }
    }

    /// Does something with the file of the source. When it fails with a file
    /// that was open already, another may have taken its place: it is opened
    /// anew and tried once more.
    pub(super) fn with_file<T>(
        &self,
        declared: &Declared<'_>,
        work: impl Fn(&dyn SourceFile) -> Result<T, Reason>,
    ) -> Result<T, Reason> {
        let open = self.files.lock().get(&declared.id).map(Arc::clone);
        if let Some(file) = open {
            if let Ok(value) = work(&*file) {
                return Ok(value);
            }
            let replaced = self.files.lock().pop(&declared.id);
            self.retire(replaced);
        }
        let file: Arc<dyn SourceFile> = self.open(declared).map_err(Reason::Source)?.into();
        let value = work(&*file)?;
        let evicted = self.files.lock().push(declared.id, file);
        self.retire(evicted.map(|(_, file)| file));
        Ok(value)
    }

    /// Does something with the file of the source, which is opened for it.
    fn with_new_file<T>(
        &self,
        declared: &Declared<'_>,
        work: impl Fn(&dyn SourceFile) -> Result<T, Reason>,
    ) -> Result<T, Reason> {
        work(&*self.open(declared).map_err(Reason::Source)?)
    }
}

/// How many bytes of buffers are kept to be used again.
const SPARE_BUFFERS: usize = 8 << 20;

/// How many files may wait to be closed.
const UNUSED_MAX: usize = 16;

/// How much memory a cached block takes besides its bytes.
const BLOCK_OVERHEAD: usize = 256;
