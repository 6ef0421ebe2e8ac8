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

/// The attributes of a directory that is opaque.
pub const OPAQUE_NAMES: [&[u8]; 2] = [b"trusted.overlay.opaque", b"user.overlay.opaque"];
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
pub const PREFIX: &[u8] = b".wh.";
/// The file that makes its directory opaque.
pub const OPAQUE_FILE: &[u8] = b".wh..wh..opq";
/// How the names begin that aufs keeps for itself.
const PRIVATE_PREFIX: &[u8] = b".wh..wh.";

/// Whether an attribute belongs to the form in which a manifest says it.
pub(super) fn is_native_xattr(name: &[u8]) -> bool {
    OPAQUE_NAMES.contains(&name)
}

/// Sees whether overlayfs means something else by a file than what it is.
pub(super) fn read_overlay(node: &mut Node) -> Result<(), Cause> {
    recognise(&mut node.metadata, &mut node.kind).map_err(Cause::LowerLayer)?;
    if node.metadata.whiteout {
        // overlayfs makes whiteouts links of each other.
        node.stat.links = 1;
    }
    Ok(())
}

/// Says in words what overlayfs's form says.
///
/// # Errors
/// The name of the attribute that says that the file is in a lower layer.
pub fn recognise(metadata: &mut Metadata, kind: &mut Kind) -> Result<(), Box<[u8]>> {
    let has = |names: &[&[u8]], value: Option<&[u8]>| {
        metadata.xattrs.iter().find(|xattr| {
            names.contains(&&*xattr.name) && value.is_none_or(|value| *xattr.value == *value)
        })
    };
    if let Some(xattr) = has(&ELSEWHERE_NAMES, None) {
        return Err(xattr.name.clone());
    }
    match kind {
        Kind::CharDevice(number) if number.encode() == 0 => metadata.whiteout = true,
        Kind::Regular(content) if content.size == 0 && has(&WHITEOUT_NAMES, None).is_some() => {
            make_whiteout(metadata, kind);
        }
        Kind::Directory if has(&OPAQUE_NAMES, Some(b"y")).is_some() => metadata.opaque = true,
        _ => {}
    }
    Ok(())
}

/// What a name means in a tree of aufs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AufsName<'a> {
    /// This name is gone.
    Whiteout(&'a [u8]),
    /// The directory is opaque.
    Opaque,
    /// Of no meaning outside of aufs.
    Private,
    /// Only itself.
    Plain,
}

/// What a name means in a tree of aufs.
#[must_use]
pub fn aufs_name(name: &[u8]) -> AufsName<'_> {
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
    make_whiteout(&mut node.metadata, &mut node.kind);
    // aufs makes whiteouts links of each other.
    node.stat.links = 1;
}

/// Makes a whiteout of what stands for one; owner and times stay.
pub fn make_whiteout(metadata: &mut Metadata, kind: &mut Kind) {
    metadata.mode = FileMode::new(FileType::CharDevice, 0);
    metadata.xattrs.clear();
    metadata.whiteout = true;
    *kind = Kind::CharDevice(DeviceNumber::decode(0));
}

/// Makes a directory hide what lower layers have in it.
pub fn make_opaque(metadata: &mut Metadata) {
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
