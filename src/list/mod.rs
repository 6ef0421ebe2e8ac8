//! Shows what a manifest says, whether or not it obeys the rules: `ls`,
//! `stats` and `dump`.
//!
//! The text forms are those of the Go tool, byte for byte. All of it works on
//! [`Records`](crate::manifest::Records), one at a time, and nothing is written
//! of bytes that are no manifest.

mod columns;
mod dump;
mod ls;
mod ls_json;
mod mtree;
mod size;
mod stats;

pub use dump::{dump, dump_json};
pub use ls::ls;
pub use ls_json::ls_json;
pub use mtree::mtree;
pub use size::HumanSize;
pub use stats::Stats;

/// How names are written in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// As they are, as the Go tool writes them.
    Raw,
    /// As [`crate::escape::Escaped`] has them; for a terminal.
    Escaped,
}
