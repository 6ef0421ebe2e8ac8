//! Archives in and out: a manifest of a tar archive that is never unpacked, and
//! an archive of a manifest with content that was checked.

mod ahead;
mod error;
mod layer;
mod plan;
mod read;
mod write;

pub use ahead::WHOLE_MAX;
pub use error::WriteError;
pub use read::{Found, read};
pub use write::{WriteOptions, Written, write};
