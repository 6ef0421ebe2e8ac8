//! What a verifier may use.

use std::time::Duration;

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
