//! The FUSE side: the only place that names the `fuser` crate. It translates
//! requests into calls of [`crate::fs::Filesystem`] and what they return into
//! replies; it mounts, and it unmounts what it mounted.

mod adapter;
mod convert;
mod copies;
mod handoff;
mod known;
mod mount;
mod opener;
mod pool;
mod push_queue;
mod pusher;
mod readers;
mod session;

pub use adapter::Requests;
pub use mount::{MountError, MountOptions, Mounted, Unmounted, Unmounter};
pub use session::Session;
