//! POSIX ACLs with the users and groups in them mapped.
//!
//! The form is that of `include/uapi/linux/posix_acl_xattr.h`, in which the kernel
//! asks for them, and what they mean is in `posix_acl_permission` (fs/posix_acl.c).

use std::borrow::Cow;

use super::idmap::IdMap;

/// The attributes that are ACLs.
pub(super) const NAMES: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];

const VERSION: [u8; 4] = 2_u32.to_le_bytes();
const USER: [u8; 2] = 0x02_u16.to_le_bytes();
const GROUP: [u8; 2] = 0x08_u16.to_le_bytes();

/// The ACL of the mount. An entry for somebody who is nobody there is left out: the
/// kernel does not take such an ACL, and no process is that user or in that group. The
/// mask stays, for it stands in the mode of the file too.
///
/// What is no ACL is left as it is; the kernel refuses it.
pub(super) fn map<'a>(acl: &'a [u8], users: &IdMap, groups: &IdMap) -> Cow<'a, [u8]> {
    if [users, groups].iter().all(|map| **map == IdMap::Identity) {
        return Cow::Borrowed(acl);
    }
    let Some(entries) = acl.strip_prefix(&VERSION) else {
        return Cow::Borrowed(acl);
    };
    let mut mapped = VERSION.to_vec();
    for entry in entries.chunks(8) {
        let &[t0, t1, p0, p1, i0, i1, i2, i3] = entry else {
            return Cow::Borrowed(acl);
        };
        let id = u32::from_le_bytes([i0, i1, i2, i3]);
        let id = match [t0, t1] {
            USER => users.find(id),
            GROUP => groups.find(id),
            _ => Some(id),
        };
        if let Some(id) = id {
            mapped.extend_from_slice(&[t0, t1, p0, p1]);
            mapped.extend_from_slice(&id.to_le_bytes());
        }
    }
    Cow::Owned(mapped)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    const USER_OBJ: u16 = 0x01;
    const USER: u16 = 0x02;
    const GROUP_OBJ: u16 = 0x04;
    const GROUP: u16 = 0x08;
    const MASK: u16 = 0x10;
    const OTHER: u16 = 0x20;
    const NO_ID: u32 = u32::MAX;

    /// Tag, rights, id.
    type Entry = (u16, u16, u32);

    fn encode(entries: &[Entry]) -> Vec<u8> {
        let mut acl = VERSION.to_vec();
        for (tag, rights, id) in entries {
            acl.extend(tag.to_le_bytes());
            acl.extend(rights.to_le_bytes());
            acl.extend(id.to_le_bytes());
        }
        acl
    }

    fn decode(acl: &[u8]) -> Vec<Entry> {
        acl[4..]
            .chunks(8)
            .map(|entry| {
                let half = |at| u16::from_le_bytes([entry[at], entry[at + 1]]);
                let id = u32::from(half(4)) | u32::from(half(6)) << 16;
                (half(0), half(2), id)
            })
            .collect()
    }

    fn mapping(ranges: &[&str]) -> IdMap {
        let mut map = IdMap::default();
        for range in ranges {
            map.add(range).unwrap();
        }
        map
    }

    #[test]
    fn names_are_mapped_or_left_out() {
        let acl = encode(&[
            (USER_OBJ, 6, NO_ID),
            (USER, 4, 5),
            (USER, 0, 50),
            (GROUP_OBJ, 4, NO_ID),
            (GROUP, 7, 5),
            (MASK, 7, NO_ID),
            (OTHER, 0, NO_ID),
        ]);
        let shifted = mapping(&["0:1000:10"]);
        let mut wanted = decode(&acl);
        wanted[1].2 = 1005;
        wanted.remove(2);
        assert_eq!(decode(&map(&acl, &shifted, &IdMap::Identity)), wanted);
        wanted[3].2 = 1005;
        assert_eq!(decode(&map(&acl, &shifted, &shifted)), wanted);
        let squash = IdMap::Squash(7);
        wanted.retain(|(tag, ..)| ![USER, GROUP].contains(tag));
        assert_eq!(decode(&map(&acl, &squash, &squash)), wanted);
    }

    #[test]
    fn what_is_no_acl_stays() {
        let shifted = mapping(&["0:1000:10"]);
        let cut = &encode(&[(USER_OBJ, 6, NO_ID), (USER, 4, 5)])[..19];
        for odd in [
            &b""[..],
            b"\x02\0\0",
            b"\x01\0\0\0\x02\0\x07\0\x05\0\0\0",
            cut,
        ] {
            assert_eq!(&*map(odd, &shifted, &shifted), odd);
        }
    }

    /// Ids that exist. Those of the mount begin at 100.
    const IDS: u32 = 12;

    fn acls() -> impl Strategy<Value = Vec<Entry>> {
        let named = || proptest::collection::btree_map(0..IDS, 0..8_u16, 0..5);
        let fixed = proptest::array::uniform4(0..8_u16);
        (named(), named(), fixed).prop_map(|(users, groups, [owner, group, mask, other])| {
            let entries = |tag, named: BTreeMap<u32, u16>| {
                named.into_iter().map(move |(id, rights)| (tag, rights, id))
            };
            let mut acl = vec![(USER_OBJ, owner, NO_ID)];
            acl.extend(entries(USER, users));
            acl.push((GROUP_OBJ, group, NO_ID));
            acl.extend(entries(GROUP, groups));
            acl.extend([(MASK, mask, NO_ID), (OTHER, other, NO_ID)]);
            acl
        })
    }

    /// Ranges of one id each, in any order.
    fn maps() -> impl Strategy<Value = IdMap> {
        let ids = Just((0..IDS).collect::<Vec<_>>()).prop_shuffle();
        (ids, 0..=IDS as usize).prop_map(|(ids, count)| {
            let pairs = ids.iter().zip(100..).take(count);
            let ranges: Vec<_> = pairs.map(|(id, to)| format!("{id}:{to}:1")).collect();
            let ranges: Vec<_> = ranges.iter().map(String::as_str).collect();
            // Whom no range names is nobody; none at all would be everybody.
            mapping(if ranges.is_empty() {
                &["99:99:1"]
            } else {
                &ranges
            })
        })
    }

    /// Whether the kernel lets somebody in.
    fn allows(acl: &[Entry], owner: u32, group: u32, user: u32, groups: &BTreeSet<u32>) -> u16 {
        let mask = acl.iter().find(|(tag, ..)| *tag == MASK).unwrap().1;
        let mut rights = None;
        for (tag, right, id) in acl {
            match *tag {
                USER_OBJ if user == owner => return *right,
                USER if user == *id => return right & mask,
                GROUP_OBJ if groups.contains(&group) => *rights.get_or_insert(0) |= right & mask,
                GROUP if groups.contains(id) => *rights.get_or_insert(0) |= right & mask,
                OTHER => return rights.unwrap_or(*right),
                _ => {}
            }
        }
        unreachable!("every ACL ends with the others")
    }

    proptest! {
        /// Who is somebody in the manifest has the same rights in the mount, and who is
        /// nobody there those of a stranger.
        #[test]
        fn everybody_has_the_rights_of_the_manifest(
            acl in acls(),
            (users, groups) in (maps(), maps()),
            (owner, group) in (0..IDS, 0..IDS),
            user in 0..=IDS,
            member in proptest::collection::btree_set(0..=IDS, 0..4),
        ) {
            let shown = decode(&map(&encode(&acl), &users, &groups));
            prop_assert!(shown.iter().all(|(tag, _, id)| ![USER, GROUP].contains(tag) || *id >= 100));
            // Nobody can be who is not mapped; the stranger, in both, is.
            let there = |map: &IdMap, id| if id == IDS { Some(IDS) } else { map.find(id) };
            let member: BTreeSet<_> = member.into_iter().filter(|id| there(&groups, *id).is_some()).collect();
            let (user, there_user) = there(&users, user).map_or((IDS, IDS), |shown| (user, shown));
            let there_member = member.iter().filter_map(|id| there(&groups, *id)).collect();
            prop_assert_eq!(
                allows(&acl, owner, group, user, &member),
                allows(&shown, users.map(owner), groups.map(group), there_user, &there_member)
            );
        }

        #[test]
        fn any_bytes_are_taken(bytes: Vec<u8>, users in maps(), groups in maps()) {
            let once = map(&bytes, &IdMap::Identity, &IdMap::Identity);
            prop_assert_eq!(&*once, &*bytes);
            let shown = map(&bytes, &users, &groups);
            prop_assert!(shown.len() <= bytes.len());
        }
    }
}
