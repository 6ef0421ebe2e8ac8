//! The immutable inode table: everything that a mounted manifest says, in a few
//! tens of bytes for each inode, without a lock.
//!
//! It is built once, from a manifest that is walked one resource at a time and
//! not kept. Names lie in one arena; the children of a directory lie side by
//! side, sorted by name; what many inodes have in common is stored once.

mod arrange;
mod build;
mod follow;
mod intern;
mod numbers;
mod record;
mod resolve;
mod table;
mod view;

pub use follow::Change;
pub use numbers::NumbersError;
pub use record::{Ino, RootOwner};
pub use resolve::ResolveError;
pub use table::{InodeTable, Statistics};
pub use view::{Dirent, Inode, InodeKind};
