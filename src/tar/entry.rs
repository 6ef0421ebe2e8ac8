//! One member of an archive, in the words of a manifest.

use crate::acl::{ACCESS, DEFAULT, is_trivial};
use crate::manifest::{
    DeviceNumber, Metadata, TARGET_MAX, Timestamp, XATTR_NAME_MAX, XATTR_SIZE_MAX, Xattr,
};
use crate::mode::{FileMode, FileType};

use super::acl::{self, AclError, Owners};
use super::error::Fault;
use super::extended::Extended;
use super::header::{Format, Header, field};
use super::sparse::Extents;

/// One member of an archive.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Where its header begins, in bytes.
    pub at: u64,
    /// Its name as it stands.
    pub name: Box<[u8]>,
    /// What every kind of file has; of a hard link it means nothing.
    pub metadata: Metadata,
    /// What only this kind has.
    pub kind: EntryKind,
}

/// What only one kind of member has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    Regular(Extents),
    /// One more name of a member before, which has this name.
    Link(Box<[u8]>),
    /// A directory.
    Directory,
    /// A symlink to this target.
    Symlink(Box<[u8]>),
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice(DeviceNumber),
    /// A block device.
    BlockDevice(DeviceNumber),
}

/// A type flag of a header, where it stands for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TypeFlag {
    Regular,
    /// A regular file with holes, in GNU tar's older form.
    GnuSparse,
    Link,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
}

impl TypeFlag {
    pub fn of(header: &Header<'_>, name: &[u8]) -> Option<Self> {
        Some(match header.type_flag() {
            // Before POSIX, only the slash told.
            b'0' | 0 if name.ends_with(b"/") => Self::Directory,
            // 7 is a file in one piece, which nobody has.
            b'0' | 0 | b'7' => Self::Regular,
            b'1' => Self::Link,
            b'2' => Self::Symlink,
            b'3' => Self::CharDevice,
            b'4' => Self::BlockDevice,
            b'5' => Self::Directory,
            b'6' => Self::Fifo,
            b'S' if header.format() == Format::Gnu => Self::GnuSparse,
            _ => return None,
        })
    }

    pub const fn file_type(self) -> FileType {
        match self {
            Self::Regular | Self::GnuSparse | Self::Link => FileType::Regular,
            Self::Symlink => FileType::Symlink,
            Self::CharDevice => FileType::CharDevice,
            Self::BlockDevice => FileType::BlockDevice,
            Self::Directory => FileType::Directory,
            Self::Fifo => FileType::Fifo,
        }
    }
}

/// Permissions of a header; some writers put the type there too.
const PERMISSIONS: i64 = 0o7777;

/// What every kind of file has, from the header and what extends it.
pub(super) fn metadata(
    header: &Header<'_>,
    extended: &mut Extended,
    owners: Option<&Owners>,
    file_type: FileType,
) -> Result<Metadata, Fault> {
    let permissions = number(header, "mode", field::MODE)? & PERMISSIONS;
    let permissions = u32::try_from(permissions).map_err(|_| Fault::Number("mode"))?;
    let mut metadata = Metadata::new(FileMode::new(file_type, permissions));
    metadata.uid = owner(header, "uid", field::UID, extended.uid)?;
    metadata.gid = owner(header, "gid", field::GID, extended.gid)?;
    let (seconds, nanoseconds) = match extended.mtime {
        Some(time) => time,
        None => (number(header, "time", field::MTIME)?, 0),
    };
    metadata.mtime = Timestamp::new(seconds, nanoseconds);
    let (user, group) = match header.format() {
        Format::V7 => (&b""[..], &b""[..]),
        _ => (header.text(field::USER), header.text(field::GROUP)),
    };
    metadata.user = owner_name(extended.user.as_deref().unwrap_or(user));
    metadata.group = owner_name(extended.group.as_deref().unwrap_or(group));
    if let Some(owners) = owners {
        take_acls(extended, owners)?;
    }
    metadata.xattrs = xattrs(extended)?;
    Ok(metadata)
}

pub(super) fn number(
    header: &Header<'_>,
    name: &'static str,
    field: std::ops::Range<usize>,
) -> Result<i64, Fault> {
    header.number(field).ok_or(Fault::Number(name))
}

fn owner(
    header: &Header<'_>,
    which: &'static str,
    field: std::ops::Range<usize>,
    extended: Option<u64>,
) -> Result<u32, Fault> {
    let value = match extended {
        Some(value) => i128::from(value),
        None => number(header, which, field)?.into(),
    };
    // 4294967295 is -1, which chown(2) takes for "leave as it is".
    u32::try_from(value)
        .ok()
        .filter(|id| *id != u32::MAX)
        .ok_or(Fault::Owner { which, value })
}

/// For information only, so that what a manifest cannot hold is left out.
fn owner_name(name: &[u8]) -> String {
    std::str::from_utf8(name).unwrap_or_default().to_owned()
}

/// An ACL that is an attribute too is that attribute: that has numbers alone.
fn take_acls(extended: &mut Extended, owners: &Owners) -> Result<(), Fault> {
    for (name, text) in [
        (ACCESS, extended.access_acl.take()),
        (DEFAULT, extended.default_acl.take()),
    ] {
        let Some(text) = text.filter(|_| !extended.xattrs.contains_key(name)) else {
            continue;
        };
        match acl::from_text(&text, owners) {
            Ok(Some(value)) if name == ACCESS && is_trivial(&value) => {}
            Ok(Some(value)) => {
                extended.xattrs.insert(name.to_vec(), value);
            }
            Ok(None) => {}
            Err(AclError::Malformed) => return Err(Fault::Acl),
            Err(AclError::Unnumbered(name)) => return Err(Fault::AclName(name)),
        }
    }
    Ok(())
}

fn xattrs(extended: &mut Extended) -> Result<Vec<Xattr>, Fault> {
    let mut list = 0_usize;
    let mut xattrs = Vec::new();
    for (name, value) in extended.take_xattrs() {
        let is_name = (1..=XATTR_NAME_MAX).contains(&name.len()) && !name.contains(&0);
        if !is_name || value.len() > XATTR_SIZE_MAX {
            let shown = name.get(..XATTR_NAME_MAX).unwrap_or(&name);
            return Err(Fault::Xattr(Box::from(shown)));
        }
        list = list.saturating_add(name.len()).saturating_add(1);
        if list > XATTR_SIZE_MAX {
            return Err(Fault::XattrList);
        }
        xattrs.push(Xattr {
            name: name.into_boxed_slice(),
            value: value.into_boxed_slice(),
        });
    }
    Ok(xattrs)
}

/// What only one kind has, of all kinds without content.
pub(super) fn kind(
    header: &Header<'_>,
    extended: &mut Extended,
    type_flag: TypeFlag,
    long_link: Option<Vec<u8>>,
) -> Result<EntryKind, Fault> {
    let link = extended
        .link
        .take()
        .or(long_link)
        .unwrap_or_else(|| header.text(field::LINK).to_vec());
    Ok(match type_flag {
        TypeFlag::Regular | TypeFlag::GnuSparse => EntryKind::Regular(Extents::whole(0, 0)),
        TypeFlag::Link => EntryKind::Link(link.into_boxed_slice()),
        TypeFlag::Directory => EntryKind::Directory,
        TypeFlag::Symlink if !(1..=TARGET_MAX).contains(&link.len()) || link.contains(&0) => {
            return Err(Fault::Target(link.len()));
        }
        TypeFlag::Symlink => EntryKind::Symlink(link.into_boxed_slice()),
        TypeFlag::Fifo => EntryKind::Fifo,
        TypeFlag::CharDevice => EntryKind::CharDevice(device(header, extended)?),
        TypeFlag::BlockDevice => EntryKind::BlockDevice(device(header, extended)?),
    })
}

fn device(header: &Header<'_>, extended: &Extended) -> Result<DeviceNumber, Fault> {
    let part = |extended: Option<u64>, name, field| match extended {
        Some(value) => Ok(value),
        None => u64::try_from(number(header, name, field)?).map_err(|_| Fault::Device),
    };
    let major = part(extended.major, "major number", field::MAJOR)?;
    let minor = part(extended.minor, "minor number", field::MINOR)?;
    DeviceNumber::new(major, minor).ok_or(Fault::Device)
}
