//! The only system calls of this crate, and its only `unsafe` code, each behind
//! a safe function.
//!
//! What is opened below a root goes through openat2(2) with `RESOLVE_BENEATH`,
//! `RESOLVE_NO_SYMLINKS` and `RESOLVE_NO_MAGICLINKS`: no link, however it got
//! there, is ever followed, and nothing outside of the root is reached. Nothing
//! here maps a file into memory: one that shrinks would kill us (SIGBUS), one
//! that changes would change under our checks.

pub mod absence;
pub mod attributes;
pub mod backing;
pub mod confine;
pub mod copy;
pub mod datagram;
pub mod descriptor;
pub mod entry;
pub mod file;
mod fuse_control;
mod fuse_device;
pub mod fusermount;
pub mod handle;
pub mod holders;
pub mod known_ids;
pub mod mount;
mod mount_attributes;
mod mount_found;
mod mount_table;
pub mod namespace;
pub mod peer;
pub mod private;
pub mod process;
pub mod random;
pub mod root;
pub mod served;
pub mod stat;
pub mod unnamed;
pub mod xattr;

pub use absence::Absence;
pub use handle::Handle;
pub use known_ids::{KnownIds, known_ids};
pub use private::{PrivateDirectory, PrivateDirectoryError, PrivateFile, SealedFile};
pub use root::{Entry, EntryKind, RootDir};
pub use rustix::io::Errno;
pub use stat::Stat;
