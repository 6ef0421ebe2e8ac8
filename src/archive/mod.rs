//! Archives in and out: a manifest of a tar archive that is never unpacked, and
//! an archive of a manifest with content that was checked.

mod error;
mod layer;
mod plan;
mod read;
mod write;

pub use error::WriteError;
pub use read::{Found, read};
pub use write::{WriteOptions, Written, write};
