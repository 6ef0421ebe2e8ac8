//! Files of a real tree, in the words of a manifest.
//!
//! `build` declares what is found here, `verify` compares with it.

mod chunk;
mod content;
mod metadata;

pub use chunk::ChunkHasher;
pub use content::{ContentHasher, Hashes, ReadError, Wanted, hash, hash_open, read_open};
pub use metadata::{
    Node, NodeError, inspect, inspect_handle, inspect_open, inspect_stat, metadata_of,
};
