//! The filesystem: one method for each operation, in plain types. The FUSE
//! layer above only translates; everything here is tested without a mount.

mod acl;
mod ahead;
mod attributes;
mod cache;
mod capability;
mod content;
mod counters;
mod errno;
mod filesystem;
mod idmap;
mod introspect;
mod options;
mod refusals;
mod shutdown;
mod symlink;

pub use attributes::{Attributes, Statfs};
pub use cache::{CopyCache, CopyCounters};
pub use counters::Counters;
pub use errno::FsError;
pub use filesystem::{DirectoryEntry, Filesystem};
pub use idmap::{IdMap, IdMapError};
pub use options::Presentation;
pub use shutdown::OnRefusal;
