//! Evidence of what was refused: a count, a log that cannot be flooded, and the last
//! refusal of each file.

use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use lru::LruCache;
use parking_lot::Mutex;

use crate::inode::Ino;
use crate::verify::{FileId, VerifyError, Word};

use super::counters::Counters;

/// How many lines may come at once.
const BURST: u32 = 20;
/// One more line may come after each such time.
const REFILL: Duration = Duration::from_secs(1);

/// So many files have a line of their own however many lines there were, so that
/// one bad file cannot hide another.
const FILES_MAX: usize = 500;

/// Of how many files the last refusal is kept. Each has a path of up to 4 KiB.
const LAST_MAX: usize = 1024;

/// Counts refusals, and logs the first of each file and then one a second.
#[derive(Debug)]
pub(super) struct Refusals(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Files that had a line, up to [`FILES_MAX`].
    seen: HashSet<FileId>,
    last: LruCache<FileId, VerifyError>,
    counts: BTreeMap<Word, u64>,
    all_suppressed: u64,
    lines: u32,
    refilled: Instant,
    suppressed: u64,
}

impl Default for Refusals {
    fn default() -> Self {
        Self(Mutex::new(State {
            seen: HashSet::new(),
            last: LruCache::new(NonZeroUsize::new(LAST_MAX).unwrap_or(NonZeroUsize::MIN)),
            counts: BTreeMap::new(),
            all_suppressed: 0,
            lines: BURST,
            refilled: Instant::now(),
            suppressed: 0,
        }))
    }
}

impl Refusals {
    /// Takes notice of a refusal.
    pub(super) fn note(&self, error: &VerifyError) {
        let mut state = self.0.lock();
        let refused = error.refused();
        let counted = state.counts.entry(refused.reason.word()).or_default();
        *counted = counted.saturating_add(1);
        let is_first = state.seen.len() < FILES_MAX && state.seen.insert(refused.file);
        state.last.put(refused.file, error.clone());
        let suppressed = state.take(Instant::now(), is_first);
        drop(state);
        match suppressed {
            Some(0) => log::error!("{error}"),
            Some(suppressed) => log::error!("{error} suppressed={suppressed}"),
            None => {}
        }
    }

    /// The last one of a file, unless there were many others since.
    pub(super) fn last(&self, ino: Ino) -> Option<VerifyError> {
        self.0.lock().last.peek(&FileId(ino.0)).cloned()
    }

    /// How many there were of each kind, and how many had no line in the log.
    pub(super) fn counters(&self) -> Counters {
        let state = self.0.lock();
        Counters {
            refused: state.counts.clone(),
            log_suppressed: state.all_suppressed,
        }
    }
}

impl State {
    /// Whether there may be a line now, and how many had none before it.
    fn take(&mut self, now: Instant, is_first: bool) -> Option<u64> {
        while self.lines < BURST && now.duration_since(self.refilled) >= REFILL {
            self.refilled += REFILL;
            self.lines += 1;
        }
        if self.lines == BURST {
            self.refilled = now;
        }
        if is_first || self.lines > 0 {
            self.lines = self.lines.saturating_sub(1);
            return Some(std::mem::take(&mut self.suppressed));
        }
        self.suppressed = self.suppressed.saturating_add(1);
        self.all_suppressed = self.all_suppressed.saturating_add(1);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_refusals_are_a_few_lines() {
        let refusals = Refusals::default();
        let mut state = refusals.0.lock();
        let start = Instant::now();
        let mut lines = 0;
        let mut told = 0;
        // A hundred seconds of ten thousand refusals a second.
        for number in 0..1_000_000_u32 {
            if let Some(suppressed) =
                state.take(start + Duration::from_micros(100) * number, number == 0)
            {
                lines += 1;
                told += 1 + suppressed;
            }
        }
        assert!((100..150).contains(&lines), "{lines}");
        assert_eq!(told + state.suppressed, 1_000_000);
    }
}
