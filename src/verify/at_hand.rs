//! What was checked a short while ago and is still kept.

use bytes::Bytes;

use super::block::Plan;
use super::declared::Declared;
use super::verifier::{BlockId, Verifier};

impl Verifier {
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
        let block = self.blocks.kept().get(&id)?;
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
            let block = self.blocks.kept().get(&BlockId { file, index })?;
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
                self.blocks.kept().remove(&BlockId { file, index });
            }
        }
    }
}
