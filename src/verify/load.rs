//! Blocks from the source: read, hashed, compared.

use std::cmp::Ordering;
use std::ops::{Range, RangeInclusive};
use std::sync::atomic::AtomicU64;

use bytes::Bytes;

use super::block::Plan;
use super::declared::Declared;
use super::error::{Reason, VerifyError};
use super::reading::{read_block, read_exact};
use super::verifier::Verifier;

impl Verifier {
    /// One block.
    pub(super) fn load(
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
            Plan::Whole => self.files.with_new(declared, |file| {
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
            Plan::Chunks(chunks) => self.files.with(declared, |file| {
                let block = read_exact(&self.buffers, declared, file, range.start, length)?;
                let wanted = chunks.digest(index).ok_or(Reason::NoDigest)?;
                Reason::compare(wanted, wanted.algorithm().hash(&block))?;
                Ok(block.freeze())
            }),
            Plan::Private(_) => {
                let table = self.table(declared, &AtomicU64::new(0))?;
                self.files.with(declared, |file| {
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

    /// Several blocks of a file with a private table, read and checked in one
    /// buffer. They are not kept: who reads so many goes on behind them.
    pub(super) fn run(
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
        self.files
            .with(declared, |file| {
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
}
