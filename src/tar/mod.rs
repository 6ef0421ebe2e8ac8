//! Tar archives: bytes to members and back.
//!
//! Reading is ours, and not that of the `tar` crate, because an archive is as
//! little trusted as a manifest: that crate holds an extended header of any
//! size in memory, takes GNU tar's older form of files with holes for the only
//! one, and what readers take differently is an attack
//! (CVE-2025-62518: the size of an extended header).
//!
//! | file | what |
//! |---|---|
//! | `input`, `zstd` | the bytes, unpacked |
//! | `header`, `pax`, `extended` | one header, and what extends it |
//! | `sparse`, `acl` | files with holes; ACLs |
//! | `entry`, `reader` | members, in the words of a manifest |
//! | `tree` | what all of them come to |
//! | `writer` | the one form in which we write |

mod acl;
mod entry;
mod error;
mod extended;
mod header;
mod input;
mod pax;
mod reader;
mod sparse;
mod tree;
mod writer;
mod zstd;

pub use acl::Owners;
pub use entry::{Entry, EntryKind};
pub use error::{Fault, TarError};
pub use input::{Input, Seekable, Stream};
pub use reader::Reader;
pub use sparse::{Extents, Segment};
pub use tree::Tree;
pub use writer::{Member, MemberKind, Writer};
