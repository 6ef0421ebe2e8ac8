//! Private copies of large files: where they are kept, and what came of them.

use std::fmt;
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::sys::PrivateDirectory;

/// Where private copies are kept, and how much of them.
#[derive(Debug)]
pub struct CopyCache {
    /// The directory that has them.
    pub directory: PrivateDirectory,
    /// What of them whoever serves the mount next has to know; empty at first.
    pub ledger: File,
    /// How large all of them may be together, in bytes.
    pub max_bytes: u64,
    /// How long an open waits for a copy. Nothing can end that sooner, not even
    /// the death of who opens.
    pub patience: Duration,
    /// What came of it.
    pub counters: CopyCounters,
}

impl CopyCache {
    /// A cache that is empty, or of which `ledger` tells what is in it.
    #[must_use]
    pub fn new(directory: PrivateDirectory, ledger: File, max_bytes: u64) -> Self {
        Self {
            directory,
            ledger,
            max_bytes,
            patience: Duration::from_secs(30),
            counters: CopyCounters::default(),
        }
    }
}

/// What came of a cache of copies.
#[derive(Debug, Default)]
pub struct CopyCounters {
    made: AtomicU64,
    bytes: AtomicU64,
    failed: AtomicU64,
    opens: AtomicU64,
    evicted: AtomicU64,
}

impl CopyCounters {
    /// A copy of so many bytes was made.
    pub fn note_made(&self, bytes: u64) {
        self.made.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A copy could not be made.
    pub fn note_failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Somebody has opened a file and was given its copy.
    pub fn note_open(&self) {
        self.opens.fetch_add(1, Ordering::Relaxed);
    }

    /// So many copies had to make room for others.
    pub fn note_evicted(&self, count: usize) {
        self.evicted.fetch_add(count as u64, Ordering::Relaxed);
    }
}

impl fmt::Display for CopyCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            made,
            bytes,
            failed,
            opens,
            evicted,
        } = self;
        let [made, bytes, failed, opens, evicted] =
            [made, bytes, failed, opens, evicted].map(|counter| counter.load(Ordering::Relaxed));
        write!(
            f,
            "made={made} bytes={bytes} failed={failed} opens={opens} evicted={evicted}"
        )
    }
}
