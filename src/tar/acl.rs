//! POSIX ACLs as text in an archive.
//!
//! The text is that of acl_to_text(3), entries apart by commas or lines; star
//! and libarchive add the number of a named user or group as a fourth part.

use std::collections::BTreeMap;

use crate::acl::{self, Entry, GROUP, GROUP_OBJ, MASK, NO_ID, OTHER, USER, USER_OBJ};

/// Numbers of users and groups, for ACLs that have only their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    users: BTreeMap<Box<[u8]>, u32>,
    groups: BTreeMap<Box<[u8]>, u32>,
}

impl Owners {
    /// Takes what a system has in `/etc/passwd` and `/etc/group` (passwd(5),
    /// group(5)); lines of another form are left out.
    #[must_use]
    pub fn parse(passwd: &[u8], group: &[u8]) -> Self {
        let parse = |lines: &[u8]| {
            let lines = lines.split(|byte| *byte == b'\n').filter_map(|line| {
                let mut fields = line.split(|byte| *byte == b':');
                let name = Box::from(fields.next()?);
                Some((name, parse_id(fields.nth(1)?)?))
            });
            lines.collect()
        };
        Self {
            users: parse(passwd),
            groups: parse(group),
        }
    }
}

/// Why text is no ACL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AclError {
    /// It breaks the form.
    Malformed,
    /// A user or group that has a name and no number.
    Unnumbered(Box<[u8]>),
}

/// The attribute's value; empty text is none.
pub(super) fn from_text(text: &[u8], owners: &Owners) -> Result<Option<Vec<u8>>, AclError> {
    let mut entries = Vec::new();
    for line in text.split(|byte| matches!(byte, b',' | b'\n')) {
        // What follows is a comment: the rights that the mask leaves.
        let line = line.split(|byte| *byte == b'#').next().unwrap_or_default();
        let line = line.trim_ascii();
        if !line.is_empty() {
            entries.push(parse_entry(line, owners)?);
        }
    }
    if entries.is_empty() {
        return Ok(None);
    }
    // As the kernel has them.
    entries.sort_unstable_by_key(|entry| (entry.tag, entry.id));
    Ok(Some(acl::write(&entries)))
}

fn parse_entry(line: &[u8], owners: &Owners) -> Result<Entry, AclError> {
    let mut parts = line.split(|byte| *byte == b':').map(<[u8]>::trim_ascii);
    let kind = parts.next().unwrap_or_default();
    let mut name = parts.next().ok_or(AclError::Malformed)?;
    let mut rights = parts.next();
    if rights.is_none() && !matches!(kind, b"user" | b"u" | b"group" | b"g") {
        // `mask:rwx` and `other:rwx` need no name.
        rights = Some(std::mem::take(&mut name));
    }
    let rights = parse_rights(rights.ok_or(AclError::Malformed)?)?;
    let number = parts.next();
    if parts.next().is_some() {
        return Err(AclError::Malformed);
    }
    let tag = match (kind, name) {
        (b"user" | b"u", b"") => USER_OBJ,
        (b"user" | b"u", _) => USER,
        (b"group" | b"g", b"") => GROUP_OBJ,
        (b"group" | b"g", _) => GROUP,
        (b"mask" | b"m", b"") => MASK,
        (b"other" | b"o", b"") => OTHER,
        _ => return Err(AclError::Malformed),
    };
    let id = match tag {
        USER | GROUP => parse_id(number.unwrap_or(name))
            .or_else(|| {
                let known = if tag == USER {
                    &owners.users
                } else {
                    &owners.groups
                };
                known.get(name).copied()
            })
            .ok_or_else(|| AclError::Unnumbered(Box::from(name)))?,
        _ => NO_ID,
    };
    Ok(Entry { tag, rights, id })
}

fn parse_id(digits: &[u8]) -> Option<u32> {
    let id = super::pax::decimal(digits)?;
    u32::try_from(id).ok().filter(|id| *id != NO_ID)
}

fn parse_rights(rights: &[u8]) -> Result<u16, AclError> {
    rights.iter().try_fold(0, |permissions, letter| {
        Ok(permissions
            | match letter {
                b'r' => 4,
                b'w' => 2,
                b'x' => 1,
                b'-' => 0,
                _ => return Err(AclError::Malformed),
            })
    })
}

/// The text of an attribute's value, with numbers alone; `None` when it is not
/// exactly what [`from_text`] makes of that text.
pub(super) fn to_text(value: &[u8]) -> Option<Vec<u8>> {
    let mut lines = Vec::new();
    for Entry { tag, rights, id } in acl::read(value)? {
        let rights: String = "rwx"
            .chars()
            .zip([4, 2, 1])
            .map(|(letter, bit)| if rights & bit == 0 { '-' } else { letter })
            .collect();
        lines.push(match tag {
            USER_OBJ => format!("user::{rights}"),
            USER => format!("user:{id}:{rights}:{id}"),
            GROUP_OBJ => format!("group::{rights}"),
            GROUP => format!("group:{id}:{rights}:{id}"),
            MASK => format!("mask::{rights}"),
            OTHER => format!("other::{rights}"),
            _ => return None,
        });
    }
    let text = lines.join(",").into_bytes();
    (from_text(&text, &Owners::default()) == Ok(Some(value.to_vec()))).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::sample;

    fn read(text: &[u8]) -> Result<Option<Vec<u8>>, AclError> {
        super::from_text(
            text,
            &Owners::parse(b"lisa:x:1000:5::\n\nx\n", b"root:x:0:\n"),
        )
    }

    fn value<const N: usize>(entries: [(u16, u16, u32); N]) -> Vec<u8> {
        acl::write(&sample(entries))
    }

    #[test]
    fn reads_what_tar_and_bsdtar_write() {
        let wanted = value([
            (USER_OBJ, 6, NO_ID),
            (USER, 4, 7),
            (USER, 7, 1000),
            (GROUP_OBJ, 4, NO_ID),
            (GROUP, 0, 0),
            (MASK, 7, NO_ID),
            (OTHER, 0, NO_ID),
        ]);
        for text in [
            "user::rw-,user:7:r--,user:1000:rwx,group::r--,group:root:---,mask::rwx,other::---",
            "user::rw-,group::r--,other::---,user:lisa:rwx:1000,user:bob:r--:7,group:0:---:0,mask::rwx",
            "u::rw\nu:7:r\nuser:lisa:rwx # effective: r--\n\ng::r\ng:0:\nm:rwx\no:---\n",
        ] {
            assert_eq!(read(text.as_bytes()), Ok(Some(wanted.clone())), "{text}");
        }
        let text = to_text(&wanted).unwrap();
        assert_eq!(read(&text), Ok(Some(wanted)));
        assert_eq!(read(b"\n"), Ok(None));
    }

    #[test]
    fn refuses_what_it_cannot_tell() {
        assert_eq!(
            read(b"user:bob:rwx"),
            Err(AclError::Unnumbered(Box::from(*b"bob")))
        );
        for bad in [
            &b"user"[..],
            b"user:",
            b"user::rwz",
            b"mask:7:rwx",
            b"other:x:rwx",
            b"nobody::rwx",
            b"user:7:rwx:7:7",
        ] {
            assert_eq!(read(bad), Err(AclError::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn writes_only_what_comes_back() {
        assert_eq!(to_text(b""), None);
        assert_eq!(to_text(&value([])), None);
        assert_eq!(to_text(&value([(3, 7, NO_ID)])), None);
        assert_eq!(to_text(&value([(USER_OBJ, 8, NO_ID)])), None);
        assert_eq!(to_text(&value([(USER_OBJ, 7, 5)])), None);
        let unsorted = value([(OTHER, 7, NO_ID), (USER_OBJ, 7, NO_ID)]);
        assert_eq!(to_text(&unsorted), None);
        let mut cut = value([(USER_OBJ, 7, NO_ID)]);
        cut.pop();
        assert_eq!(to_text(&cut), None);
    }
}
