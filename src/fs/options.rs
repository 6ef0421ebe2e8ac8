//! How a manifest is shown, where that is for the one who mounts to say.

use std::borrow::Cow;

use crate::manifest::Timestamp;
use crate::sys::KnownIds;

use super::idmap::IdMap;
use super::{acl, capability};

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

impl Presentation {
    /// The same in a user namespace that has these ids. Its kernel refuses whole ACLs
    /// in which there are others (fs/posix_acl.c: `posix_acl_from_xattr`).
    #[must_use]
    pub fn within(&self, known: &KnownIds) -> Self {
        Self {
            uid_map: self.uid_map.within(&known.users),
            gid_map: self.gid_map.within(&known.groups),
            ..self.clone()
        }
    }

    /// The value that an extended attribute has in the mount, if it has it there.
    pub(super) fn xattr<'a>(&self, name: &[u8], value: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        if acl::NAMES.contains(&name) {
            return Some(acl::map(value, &self.uid_map, &self.gid_map));
        }
        if name == capability::NAME {
            return capability::map(value, &self.uid_map);
        }
        let is_overlay =
            name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.");
        (!(self.hide_overlay_xattrs && is_overlay)).then_some(Cow::Borrowed(value))
    }
}
