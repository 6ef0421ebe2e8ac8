//! Owner, mode, extended attributes and times: what differs, and bringing it
//! to what is declared.
//!
//! The order is that in which nothing undoes what came before: a new owner
//! costs setuid bits and capabilities, a new mode changes an access control
//! list, and everything but times can be changed without changing times.

use std::os::fd::AsFd;

use crate::attributes::{Attribute, AttributeSet};
use crate::inode::Inode;
use crate::manifest::Xattr;
use crate::mode::FileType;
use crate::sys::{Stat, attributes, xattr};

use super::event::Cause;
use super::options::{Options, Whiteouts};

const CAPABILITY: &[u8] = b"security.capability";
const ACCESS_LIST: &[u8] = b"system.posix_acl_access";
const DEFAULT_LIST: &[u8] = b"system.posix_acl_default";
/// Attributes by which overlayfs takes a directory for an opaque one.
const OPAQUE: [&[u8]; 2] = [b"trusted.overlay.opaque", b"user.overlay.opaque"];
const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;

/// What is to be changed of one file; nothing where all is as declared.
#[derive(Debug, Default)]
pub(super) struct Changes<'t> {
    uid: Option<u32>,
    gid: Option<u32>,
    /// The twelve bits.
    mode: Option<u32>,
    set: Vec<&'t Xattr>,
    remove: Vec<Vec<u8>>,
    mtime: Option<(i64, u32)>,
}

impl<'t> Changes<'t> {
    /// Compares a file with what is declared.
    pub fn find(
        file: impl AsFd,
        stat: &Stat,
        wanted: Inode<'t>,
        options: &Options,
    ) -> Result<Self, Cause> {
        let set = &options.attributes;
        let mut changes = Self::default();
        if !wanted.is_declared() {
            return Ok(changes);
        }
        let differs = |attribute, found: u32, wanted: u32| {
            (set.has(attribute) && found != wanted).then_some(wanted)
        };
        changes.uid = differs(Attribute::Uid, stat.uid, wanted.uid());
        changes.gid = differs(Attribute::Gid, stat.gid, wanted.gid());
        let is_owner_new = changes.uid.is_some() || changes.gid.is_some();
        let file_type = wanted.mode().file_type();
        if file_type != FileType::Symlink {
            let mode = wanted_mode(stat, wanted, set);
            // A new owner takes bits away.
            let is_lost = is_owner_new && mode & (SETUID | SETGID) != 0;
            changes.mode = (mode != stat.st_mode & 0o7777 || is_lost).then_some(mode);
        }
        if set.has(Attribute::Xattr) {
            let found = xattr::of(file).map_err(Cause::io("looked at"))?;
            changes.find_xattrs(found, wanted, options, is_owner_new);
        }
        if let (true, Some(time)) = (set.has(Attribute::Mtime), wanted.mtime()) {
            let time = (time.seconds(), time.nanoseconds());
            changes.mtime = (time != stat.mtime).then_some(time);
        }
        Ok(changes)
    }

    fn find_xattrs(
        &mut self,
        found: Vec<xattr::Xattr>,
        wanted: Inode<'t>,
        options: &Options,
        is_owner_new: bool,
    ) {
        let is_wanted = |name: &[u8]| {
            let is_opaque = OPAQUE.contains(&name);
            options.attributes.has_xattr(name)
                && !(is_opaque && options.whiteouts == Whiteouts::None)
        };
        for xattr in wanted
            .xattrs()
            .iter()
            .filter(|xattr| is_wanted(&xattr.name))
        {
            let is_there = found
                .iter()
                .any(|(name, value)| **name == *xattr.name && **value == *xattr.value);
            let is_lost = is_owner_new && *xattr.name == *CAPABILITY;
            if !is_there || is_lost {
                self.set.push(xattr);
            }
        }
        self.remove = found
            .into_iter()
            .map(|(name, _)| name)
            .filter(|name| is_ours(name) && is_wanted(name) && wanted.xattr(name).is_none())
            .collect();
    }

    pub const fn is_empty(&self) -> bool {
        self.uid.is_none()
            && self.gid.is_none()
            && self.mode.is_none()
            && self.set.is_empty()
            && self.remove.is_empty()
            && self.mtime.is_none()
    }

    /// Whether somebody else's file would become one that gives privileges.
    pub fn raises_privilege(&self, wanted: Inode<'_>) -> bool {
        self.uid.is_some()
            && (wanted.mode().permissions() & (SETUID | SETGID) != 0
                || wanted.xattr(CAPABILITY).is_some())
    }

    /// Makes the changes; `failed` is told of each that cannot be made.
    pub fn make(&self, file: impl AsFd, wanted: Inode<'_>, mut failed: impl FnMut(Cause)) {
        if (self.uid.is_some() || self.gid.is_some())
            && let Err(error) = self.set_owner(&file)
        {
            failed(Cause::Owner(error));
        }
        if let Some(mode) = self.mode {
            let allowed = match Stat::of(&file) {
                Ok(stat) => allowed_mode(mode, &stat, wanted),
                Err(_) => mode & !(SETUID | SETGID),
            };
            if mode != allowed {
                failed(Cause::Privilege);
            }
            if let Err(cause) = set_mode(&file, allowed) {
                failed(cause);
            }
        }
        for name in &self.remove {
            if let Err(error) = xattr::remove(&file, name) {
                failed(Cause::io("rid of an attribute")(error));
            }
        }
        for xattr in &self.set {
            if let Err(error) = xattr::set(&file, &xattr.name, &xattr.value) {
                failed(Cause::Xattr {
                    name: xattr.name.clone(),
                    error,
                });
            }
        }
        if let Some(time) = self.mtime
            && let Err(error) = attributes::set_mtime(&file, time)
        {
            failed(Cause::io("given its time")(error));
        }
    }

    /// Of the two, one may be allowed where the other is not.
    fn set_owner(&self, file: &impl AsFd) -> std::io::Result<()> {
        let both = attributes::set_owner(file, self.uid, self.gid);
        if both.is_err() && self.uid.is_some() && self.gid.is_some() {
            // The first error is told.
            let _ = attributes::set_owner(file, None, self.gid);
        }
        both
    }
}

/// The declared mode, with the bits of the file where they do not count.
fn wanted_mode(stat: &Stat, wanted: Inode<'_>, set: &AttributeSet) -> u32 {
    let counts = set.mode_bits();
    (wanted.mode().permissions() & counts) | (stat.st_mode & 0o7777 & !counts)
}

/// The mode without what would give the privileges of whoever owns the file
/// now, where that is not who was declared.
fn allowed_mode(mode: u32, now: &Stat, wanted: Inode<'_>) -> u32 {
    // Of a directory it says only who owns what is made in it.
    if wanted.mode().file_type() == FileType::Directory {
        return mode;
    }
    let mut allowed = mode;
    if now.uid != wanted.uid() {
        allowed &= !SETUID;
    }
    if now.gid != wanted.gid() {
        allowed &= !SETGID;
    }
    allowed
}

/// The system may leave out a setgid bit without a word (chmod(2)).
fn set_mode(file: &impl AsFd, wanted: u32) -> Result<(), Cause> {
    attributes::set_mode(file, wanted).map_err(Cause::io("given its mode"))?;
    if wanted & (SETUID | SETGID) != 0 {
        let stat = Stat::of(file).map_err(Cause::io("looked at"))?;
        let found = stat.st_mode & 0o7777;
        if found != wanted {
            return Err(Cause::Mode { found, wanted });
        }
    }
    Ok(())
}

/// Whether an attribute that is not declared goes. Others in `security.` and
/// `system.` belong to the system: labels, signatures.
fn is_ours(name: &[u8]) -> bool {
    name.starts_with(b"user.")
        || name.starts_with(b"trusted.")
        || [CAPABILITY, ACCESS_LIST, DEFAULT_LIST].contains(&name)
}
