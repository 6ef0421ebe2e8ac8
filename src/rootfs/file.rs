//! One file in a root: what the mount takes from it, and what is not there inside.

use std::io;

use crate::inode::{Ino, Inode, InodeKind};
use crate::manifest::DeviceNumber;
use crate::mode::FileType;

use super::Options;
use super::finding::{Cause, Finding, Id};
use super::links::Links;

/// The attribute in which file capabilities are (capabilities(7)).
const CAPABILITIES: &[u8] = b"security.capability";
/// How the attributes begin by which overlayfs means something, and where it is
/// mounted with `userxattr` (the kernel's Documentation/filesystems/overlayfs.rst).
const OVERLAY: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];
/// What runtimes mount a filesystem of their own on: devices there are not seen.
const DEVICES: &[u8] = b"/dev/";

/// Looks at one file.
pub(super) fn look<'t>(
    inode: Inode<'t>,
    links: &mut Links<'t>,
    options: &Options,
    found: &mut impl FnMut(Finding) -> io::Result<()>,
) -> io::Result<()> {
    let file_type = Some(inode.mode().file_type());
    let mut add = |cause| {
        found(Finding {
            path: inode.path(),
            file_type,
            cause,
        })
    };
    let permissions = inode.mode().permissions();
    if inode.ino() == Ino::ROOT && permissions & 0o001 == 0 {
        add(Cause::ClosedRoot(permissions))?;
    }
    match inode.kind() {
        InodeKind::Regular(size) => {
            if size > 0 && !can_be_checked(inode) {
                add(Cause::NoDigest)?;
            }
            if !options.suid {
                look_at_rights(inode, &mut add)?;
            }
        }
        InodeKind::Symlink(target) if links.leave(inode, target) => {
            add(Cause::LeavesRoot(target.into()))?;
        }
        InodeKind::Device(number) => {
            if let Some(cause) = judge_device(inode, number, options) {
                add(cause)?;
            }
        }
        _ => {}
    }
    if !options.overlay
        && let Some(name) = overlay_attribute(inode)
    {
        add(Cause::OverlayAttribute(name))?;
    }
    if let Some(max) = options.max_id {
        for (which, id) in [(Id::User, inode.uid()), (Id::Group, inode.gid())] {
            if id > max {
                add(Cause::Owner { which, id, max })?;
            }
        }
    }
    Ok(())
}

fn can_be_checked(inode: Inode<'_>) -> bool {
    inode
        .declared(&inode)
        .is_some_and(|declared| declared.chunks.is_some() || declared.whole.iter().next().is_some())
}

/// What a program would have the rights of, if the mount let it.
fn look_at_rights(
    program: Inode<'_>,
    add: &mut impl FnMut(Cause) -> io::Result<()>,
) -> io::Result<()> {
    let permissions = program.mode().permissions();
    if permissions & 0o4000 != 0 {
        add(Cause::Setuid(program.uid()))?;
    }
    // Without the group's right to run it, it never meant that.
    if permissions & 0o2010 == 0o2010 {
        add(Cause::Setgid(program.gid()))?;
    }
    if program.xattr(CAPABILITIES).is_some() {
        add(Cause::Capabilities)?;
    }
    Ok(())
}

/// The first attribute that means something to overlayfs.
fn overlay_attribute(inode: Inode<'_>) -> Option<Box<[u8]>> {
    let means_overlay = |name: &[u8]| OVERLAY.iter().any(|prefix| name.starts_with(prefix));
    let mut xattrs = inode.xattrs().iter();
    let found = xattrs.find(|xattr| means_overlay(&xattr.name))?;
    Some(found.name.clone())
}

fn judge_device(inode: Inode<'_>, number: DeviceNumber, options: &Options) -> Option<Cause> {
    let is_whiteout = inode.mode().file_type() == FileType::CharDevice && number.encode() == 0;
    if is_whiteout {
        return (!options.overlay).then_some(Cause::Whiteout);
    }
    let is_covered = inode.path().as_bytes().starts_with(DEVICES);
    (!options.dev && !is_covered).then_some(Cause::Device(number))
}
