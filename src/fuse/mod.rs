//! The FUSE side: the only place that names the `fuser` crate. It translates
//! requests into calls of [`crate::fs::Filesystem`] and what they return into
//! replies; it mounts, and it unmounts what it mounted.
//!
//! | idea | files |
//! |---|---|
//! | requests become operations, results replies | `adapter`, `convert`, `guard`, `requests`, `wishes` |
//! | reading content, so that nothing waits for what is stuck | `readers`, `owed`, `pool`, `seats` |
//! | giving the kernel files before it asks | `pusher`, `pushes`, `push_queue`, `known`, `handoff` |
//! | private copies that the kernel reads by itself | `opener`, `answers`, `copies`, `ledger` |
//! | the mount, the connection, and their ends | `mount`, `mounted`, `connection`, `session`, `end` |
//! | another manifest in the place of the first | `forget` |

/// The locks that `tests/models.rs` replaces by its own.
mod sync {
    pub(super) use parking_lot::{Condvar, Mutex};
    pub(super) use std::sync::atomic::{AtomicU64, Ordering};
}

mod adapter;
mod answers;
mod connection;
mod convert;
mod copies;
mod end;
mod forget;
mod guard;
mod handoff;
mod known;
mod ledger;
mod mount;
mod mounted;
mod opener;
mod owed;
mod pool;
mod push_queue;
mod pusher;
mod pushes;
mod readers;
mod requests;
mod seats;
mod session;
mod wishes;

pub use connection::Connection;
pub use forget::Forgetting;
pub use mount::{FILE_SYSTEM, MountError, MountOptions, Unserved};
pub use mounted::{Mounted, Unmounted, Unmounter};
pub use requests::Requests;
pub use session::{Session, Turn};
