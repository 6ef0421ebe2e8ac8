//! How a tree says that a name of lower layers is gone, and that a directory
//! hides what lower ones have in it.
//!
//! Whichever way the tree says it, the manifest says it in overlayfs's, which
//! older readers can put into effect (a character device 0:0;
//! `trusted.overlay.opaque`), and in words (`extension.whiteout`, `.opaque`).

use crate::manifest::{DeviceNumber, Kind, Metadata, Xattr};
use crate::mode::{FileMode, FileType};
use crate::path::ManifestPath;
use crate::tree::Node;

use super::error::Cause;
use super::found::Found;

/// Who made the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Convention {
    /// overlayfs: character devices 0:0, and the attributes `overlay.opaque` and
    /// `overlay.whiteout`, `trusted.` or `user.` (the kernel's
    /// Documentation/filesystems/overlayfs.rst).
    Overlay,
    /// aufs, and layers of OCI images: files `.wh.NAME` and `.wh..wh..opq`
    /// (layer.md of the OCI image specification).
    Aufs,
}

const OPAQUE_NAMES: [&[u8]; 2] = [b"trusted.overlay.opaque", b"user.overlay.opaque"];
const WHITEOUT_NAMES: [&[u8]; 2] = [b"trusted.overlay.whiteout", b"user.overlay.whiteout"];

/// What overlayfs writes instead of the content or the place of a file, which
/// is in a lower layer then.
const ELSEWHERE_NAMES: [&[u8]; 4] = [
    b"trusted.overlay.metacopy",
    b"user.overlay.metacopy",
    b"trusted.overlay.redirect",
    b"user.overlay.redirect",
];

/// How the name of a whiteout of aufs begins.
const PREFIX: &[u8] = b".wh.";
/// The file that makes its directory opaque.
const OPAQUE_FILE: &[u8] = b".wh..wh..opq";
/// How the names begin that aufs keeps for itself.
const PRIVATE_PREFIX: &[u8] = b".wh..wh.";

/// Type and permissions of a whiteout as overlayfs makes it.
const WHITEOUT_MODE: u32 = 0o020_000;

/// Whether an attribute belongs to the form in which a manifest says it.
pub(super) fn is_native_xattr(name: &[u8]) -> bool {
    OPAQUE_NAMES.contains(&name)
}

/// Sees whether overlayfs means something else by a file than what it is.
pub(super) fn read_overlay(node: &mut Node) -> Result<(), Cause> {
    let has = |names: &[&[u8]], value: Option<&[u8]>| {
        node.metadata.xattrs.iter().find(|xattr| {
            names.contains(&&*xattr.name) && value.is_none_or(|value| *xattr.value == *value)
        })
    };
    if let Some(xattr) = has(&ELSEWHERE_NAMES, None) {
        return Err(Cause::LowerLayer(xattr.name.clone()));
    }
    match &node.kind {
        Kind::CharDevice(number) if number.encode() == 0 => {
            node.metadata.whiteout = true;
            node.stat.links = 1;
        }
        Kind::Regular(content) if content.size == 0 && has(&WHITEOUT_NAMES, None).is_some() => {
            become_whiteout(node);
        }
        Kind::Directory if has(&OPAQUE_NAMES, Some(b"y")).is_some() => {
            node.metadata.opaque = true;
        }
        _ => {}
    }
    Ok(())
}

/// What a name means in a tree of aufs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AufsName<'a> {
    /// This name is gone.
    Whiteout(&'a [u8]),
    /// The directory is opaque.
    Opaque,
    /// Of no meaning outside of aufs.
    Private,
    /// Only itself.
    Plain,
}

pub(super) fn aufs_name(name: &[u8]) -> AufsName<'_> {
    match name.strip_prefix(PREFIX) {
        _ if name == OPAQUE_FILE => AufsName::Opaque,
        _ if name.starts_with(PRIVATE_PREFIX) => AufsName::Private,
        Some(hidden) if !hidden.is_empty() => AufsName::Whiteout(hidden),
        _ => AufsName::Plain,
    }
}

/// The whiteout that a file of aufs stands for.
pub(super) fn whiteout(path: ManifestPath, mut marker: Node) -> Found {
    become_whiteout(&mut marker);
    Found::new(path, marker)
}

fn become_whiteout(node: &mut Node) {
    if let Some(mode) = FileMode::from_stat(WHITEOUT_MODE) {
        node.metadata.mode = mode;
    }
    node.kind = Kind::CharDevice(DeviceNumber::decode(0));
    node.metadata.xattrs.clear();
    node.metadata.whiteout = true;
    // aufs and overlayfs both make whiteouts links of each other.
    node.stat.links = 1;
}

/// Makes a directory hide what lower layers have in it.
pub(super) fn make_opaque(metadata: &mut Metadata) {
    debug_assert_eq!(metadata.mode.file_type(), FileType::Directory);
    metadata.opaque = true;
    let [name, _] = OPAQUE_NAMES;
    if !metadata.xattrs.iter().any(|xattr| *xattr.name == *name) {
        metadata.xattrs.push(Xattr {
            name: Box::from(name),
            value: Box::from(*b"y"),
        });
        metadata.xattrs.sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_aufs() {
        for (name, meaning) in [
            (&b".wh.a"[..], AufsName::Whiteout(b"a")),
            (b".wh..hidden", AufsName::Whiteout(b".hidden")),
            (b".wh..wh..opq", AufsName::Opaque),
            (b".wh..wh.plnk", AufsName::Private),
            (b".wh.", AufsName::Plain),
            (b".why", AufsName::Plain),
        ] {
            assert_eq!(aufs_name(name), meaning);
        }
    }
}
