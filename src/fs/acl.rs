//! POSIX ACLs with the users and groups in them mapped.
//!
//! What they mean is in `posix_acl_permission` (fs/posix_acl.c).

use std::borrow::Cow;

use crate::acl::{self, Entry, GROUP, USER};

use super::idmap::IdMap;

/// The attributes that are ACLs.
pub(super) const NAMES: [&[u8]; 2] = [acl::ACCESS, acl::DEFAULT];

/// The ACL of the mount. An entry for somebody who is nobody there is left out: the
/// kernel does not take such an ACL, and no process is that user or in that group. The
/// mask stays, for it stands in the mode of the file too.
///
/// What is no ACL is left as it is; the kernel refuses it.
pub(super) fn map<'a>(value: &'a [u8], users: &IdMap, groups: &IdMap) -> Cow<'a, [u8]> {
    if [users, groups].iter().all(|map| **map == IdMap::Identity) {
        return Cow::Borrowed(value);
    }
    let Some(mut entries) = acl::read(value) else {
        return Cow::Borrowed(value);
    };
    entries.retain_mut(|entry| match shown(*entry, users, groups) {
        Some(id) => {
            entry.id = id;
            true
        }
        None => false,
    });
    Cow::Owned(acl::write(&entries))
}

/// Whom an entry names in the mount.
fn shown(entry: Entry, users: &IdMap, groups: &IdMap) -> Option<u32> {
    match entry.tag {
        USER => users.find(entry.id),
        GROUP => groups.find(entry.id),
        _ => Some(entry.id),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::acl::{GROUP_OBJ, MASK, NO_ID, OTHER, USER_OBJ, sample, write};

    fn decode(acl: &[u8]) -> Vec<Entry> {
        acl::read(acl).unwrap()
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
        let acl = write(&sample([
            (USER_OBJ, 6, NO_ID),
            (USER, 4, 5),
            (USER, 0, 50),
            (GROUP_OBJ, 4, NO_ID),
            (GROUP, 7, 5),
            (MASK, 7, NO_ID),
            (OTHER, 0, NO_ID),
        ]));
        let shifted = mapping(&["0:1000:10"]);
        let mut wanted = decode(&acl);
        wanted[1].id = 1005;
        wanted.remove(2);
        assert_eq!(decode(&map(&acl, &shifted, &IdMap::Identity)), wanted);
        wanted[3].id = 1005;
        assert_eq!(decode(&map(&acl, &shifted, &shifted)), wanted);
        let squash = IdMap::Squash(7);
        wanted.retain(|entry| ![USER, GROUP].contains(&entry.tag));
        assert_eq!(decode(&map(&acl, &squash, &squash)), wanted);
    }

    #[test]
    fn what_is_no_acl_stays() {
        let shifted = mapping(&["0:1000:10"]);
        let cut = &write(&sample([(USER_OBJ, 6, NO_ID), (USER, 4, 5)]))[..19];
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
                named
                    .into_iter()
                    .map(move |(id, rights)| Entry { tag, rights, id })
            };
            let mut acl = sample([(USER_OBJ, owner, NO_ID)]);
            acl.extend(entries(USER, users));
            acl.extend(sample([(GROUP_OBJ, group, NO_ID)]));
            acl.extend(entries(GROUP, groups));
            acl.extend(sample([(MASK, mask, NO_ID), (OTHER, other, NO_ID)]));
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
        let mask = acl.iter().find(|entry| entry.tag == MASK).unwrap().rights;
        let mut rights = None;
        for entry in acl {
            let masked = entry.rights & mask;
            match entry.tag {
                USER_OBJ if user == owner => return entry.rights,
                USER if user == entry.id => return masked,
                GROUP_OBJ if groups.contains(&group) => *rights.get_or_insert(0) |= masked,
                GROUP if groups.contains(&entry.id) => *rights.get_or_insert(0) |= masked,
                OTHER => return rights.unwrap_or(entry.rights),
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
            let shown = decode(&map(&write(&acl), &users, &groups));
            prop_assert!(shown.iter().all(|entry| ![USER, GROUP].contains(&entry.tag) || entry.id >= 100));
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
