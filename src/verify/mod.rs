//! The trust boundary: [`Verifier::read`] is the way to content, and what it
//! returns was hashed, in the very buffer that it returns, and matched.
//!
//! What is checked at once is a *block*, and how a file is cut into blocks
//! follows from what its manifest declares (`Plan`, in `block.rs`):
//!
//! | declared | block | checked against |
//! |---|---|---|
//! | whole-file digests, small file | the file | the digests |
//! | a chunk table | a chunk | the table |
//! | whole-file digests, large file | 128 KiB | a private table, filled in one pass that checked the whole file |
//!
//! Nothing is trusted after it was read: not times, not inode numbers, not the
//! verdict of an earlier read. The one exception is a copy that nobody else can
//! write to ([`Verifier::copy`]). No failure is remembered either, so a source that
//! was repaired serves again at once.

use parking_lot as sync;

mod at_hand;
mod block;
mod buffers;
mod cache;
mod check;
mod copy;
mod declared;
mod error;
mod flight;
mod load;
mod open_files;
mod options;
mod pass;
mod prepare;
mod reading;
mod shared;
mod table;
mod verifier;

pub use copy::CopyError;
pub use declared::{ChunksRef, Declared, FileId, Located, Whole};
pub use error::{Mismatch, Reason, Refused, VerifyError, Word};
pub use options::Options;
pub use verifier::Verifier;
