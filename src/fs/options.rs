//! How a manifest is shown, where that is for the one who mounts to say.

use crate::manifest::Timestamp;

use super::idmap::IdMap;

/// How a manifest is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Presentation {
    /// The time of inodes that have none in the manifest; 0 by default.
    pub default_time: Timestamp,
    /// Owners.
    pub uid_map: IdMap,
    /// Groups.
    pub gid_map: IdMap,
    /// Whether absolute symlinks are shown relative, so that they lead to the
    /// same place below the mountpoint.
    pub transform_symlinks: bool,
    /// Whether the attributes `user.continuity.*` answer.
    pub introspect: bool,
    /// Whether overlayfs's own attributes are hidden, which makes an overlay on
    /// top show files that the manifest means to be deleted.
    pub hide_overlay_xattrs: bool,
}
