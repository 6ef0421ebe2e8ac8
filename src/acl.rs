//! POSIX ACLs as the bytes of an extended attribute, in the kernel's form
//! (`include/uapi/linux/posix_acl_xattr.h`).

/// The attribute of the ACL that is checked on access.
pub(crate) const ACCESS: &[u8] = b"system.posix_acl_access";
/// The attribute of the ACL that new files in a directory get.
pub(crate) const DEFAULT: &[u8] = b"system.posix_acl_default";

/// The id of an entry that names nobody.
pub(crate) const NO_ID: u32 = u32::MAX;

/// What an entry is for: the owner, a user, the owning group, a group, the mask, others.
pub(crate) const USER_OBJ: u16 = 0x01;
pub(crate) const USER: u16 = 0x02;
pub(crate) const GROUP_OBJ: u16 = 0x04;
pub(crate) const GROUP: u16 = 0x08;
pub(crate) const MASK: u16 = 0x10;
pub(crate) const OTHER: u16 = 0x20;

const VERSION: [u8; 4] = 2_u32.to_le_bytes();
/// Bytes of an entry.
const ENTRY: usize = 8;

/// One line of an ACL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub tag: u16,
    pub rights: u16,
    pub id: u32,
}

/// The entries of an attribute's value; `None` if it has another form. What they say is
/// not looked at.
pub(crate) fn read(value: &[u8]) -> Option<Vec<Entry>> {
    let entries = value.strip_prefix(&VERSION)?.chunks(ENTRY);
    let entry = |bytes: &[u8]| {
        let [t0, t1, r0, r1, i0, i1, i2, i3] = *bytes.as_array()?;
        Some(Entry {
            tag: u16::from_le_bytes([t0, t1]),
            rights: u16::from_le_bytes([r0, r1]),
            id: u32::from_le_bytes([i0, i1, i2, i3]),
        })
    };
    entries.map(entry).collect()
}

/// The attribute's value.
pub(crate) fn write(entries: &[Entry]) -> Vec<u8> {
    let mut value = VERSION.to_vec();
    for Entry { tag, rights, id } in entries {
        value.extend_from_slice(&tag.to_le_bytes());
        value.extend_from_slice(&rights.to_le_bytes());
        value.extend_from_slice(&id.to_le_bytes());
    }
    value
}

/// Whether an ACL for access says what the permissions say, and no more. GNU tar
/// writes it all the same, where a file has none.
pub(crate) fn is_trivial(value: &[u8]) -> bool {
    value.len() == VERSION.len() + 3 * ENTRY
}

/// Entries for tests: tag, rights, id.
#[cfg(test)]
pub(crate) fn sample<const N: usize>(entries: [(u16, u16, u32); N]) -> Vec<Entry> {
    let entries = entries.into_iter();
    entries
        .map(|(tag, rights, id)| Entry { tag, rights, id })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_the_kernels() {
        let entries = sample([(USER_OBJ, 6, NO_ID), (USER, 4, 0x0102_0304)]);
        let value = b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x04\0\x04\x03\x02\x01";
        assert_eq!(write(&entries), value);
        assert_eq!(read(value), Some(entries));
        for odd in [&b""[..], b"\x01\0\0\0", value.split_last().unwrap().1] {
            assert_eq!(read(odd), None);
        }
        assert_eq!(read(&VERSION), Some(Vec::new()));
    }
}
