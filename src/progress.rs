//! How far work has come: counters that one side adds to and the other reads.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of work on files, shared between whoever works and whoever shows.
///
/// What was counted and has to be done again is taken back, so that no count
/// passes its total for long.
#[derive(Debug, Default)]
pub struct Progress {
    files: AtomicU64,
    files_total: AtomicU64,
    bytes: AtomicU64,
    bytes_total: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Files of any kind that are done.
    pub files: u64,
    /// How many there will be; 0 while nobody knows.
    pub files_total: u64,
    /// Bytes of content that are done.
    pub bytes: u64,
    /// How many there will be, or more where files need not be read after all;
    /// 0 while nobody knows.
    pub bytes_total: u64,
}

impl Progress {
    /// Tells how much there is to do, and begins to count anew.
    pub fn begin(&self, files: u64, bytes: u64) {
        self.files.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
        self.files_total.store(files, Ordering::Relaxed);
        self.bytes_total.store(bytes, Ordering::Relaxed);
    }

    /// Tells how many bytes there are to do, once that is known.
    pub fn expect_bytes(&self, bytes: u64) {
        self.bytes_total.store(bytes, Ordering::Relaxed);
    }

    /// So many more files are done.
    pub fn add_files(&self, files: u64) {
        self.files.fetch_add(files, Ordering::Relaxed);
    }

    /// So many more bytes are done.
    pub fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many of the bytes that were counted have to be done again, or were
    /// not worth it.
    pub fn take_back_bytes(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// The counters now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            files: self.files.load(Ordering::Relaxed),
            files_total: self.files_total.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            bytes_total: self.bytes_total.load(Ordering::Relaxed),
        }
    }
}
