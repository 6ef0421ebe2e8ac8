//! Capabilities of files, with the root to whom they belong mapped.
//!
//! The form is that of `include/uapi/linux/capability.h`. Revision 3 names the root of
//! the user namespace in which they count, the others mean root itself
//! (capabilities(7), "File capability extended attribute versioning").

use std::borrow::Cow;

use super::idmap::IdMap;

/// The attribute.
pub(super) const NAME: &[u8] = b"security.capability";

const REVISION_1: u8 = 1;
const REVISION_2: u8 = 2;
const REVISION_3: u8 = 3;

/// The capabilities that a file has in the mount; none if their root is nobody there.
/// The kernel does the same for an idmapped mount (security/commoncap.c:
/// `get_vfs_caps_from_disk`).
///
/// What is no such attribute is left as it is; the kernel refuses it.
pub(super) fn map<'a>(value: &'a [u8], users: &IdMap) -> Option<Cow<'a, [u8]>> {
    let same = Some(Cow::Borrowed(value));
    let &[flags, f1, f2, revision, ref rest @ ..] = value else {
        return same;
    };
    let (sets, root) = match (revision, rest.len()) {
        (REVISION_1, 8) | (REVISION_2, 16) => (rest, 0),
        (REVISION_3, 20) => match rest.split_last_chunk() {
            Some((sets, root)) => (sets, u32::from_le_bytes(*root)),
            None => return same,
        },
        _ => return same,
    };
    let shown = match users {
        // What is root's becomes the owner's, and there is no other root.
        IdMap::Squash(_) if root == 0 => users.map(root),
        _ => users.find(root)?,
    };
    if shown == root {
        return same;
    }
    let mut mapped = vec![flags, f1, f2, REVISION_3];
    mapped.extend_from_slice(sets);
    // The first revision has no capabilities above the 32nd.
    mapped.resize(20, 0);
    mapped.extend_from_slice(&shown.to_le_bytes());
    Some(Cow::Owned(mapped))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SETS: [u8; 16] = *b"\x00\x04\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00";

    fn third(sets: &[u8], root: u32) -> Vec<u8> {
        [
            &b"\x01\0\0\x03"[..],
            sets,
            &[0; 16][sets.len()..],
            &root.to_le_bytes(),
        ]
        .concat()
    }

    fn shifted() -> IdMap {
        let mut map = IdMap::default();
        map.add("0:100000:1000").unwrap();
        map.add("5000:0:1").unwrap();
        map
    }

    #[test]
    fn they_belong_to_the_root_of_the_mount() {
        let first = [&b"\x01\0\0\x01"[..], &SETS[..8]].concat();
        let second = [&b"\x01\0\0\x02"[..], &SETS[..]].concat();
        let root = Some(third(&SETS, 100_000));
        for (value, map, wanted) in [
            (&second, IdMap::Identity, Some(second.clone())),
            (&second, IdMap::Squash(0), Some(second.clone())),
            (&second, IdMap::Squash(7), Some(third(&SETS, 7))),
            (&second, shifted(), root.clone()),
            (&first, shifted(), Some(third(&SETS[..8], 100_000))),
            (&third(&SETS, 0), shifted(), root),
            (&third(&SETS, 7), shifted(), Some(third(&SETS, 100_007))),
            (&third(&SETS, 7), IdMap::Identity, Some(third(&SETS, 7))),
            (&third(&SETS, 7), IdMap::Squash(0), None),
            (&third(&SETS, 2000), shifted(), None),
            (&third(&SETS, 5000), shifted(), Some(third(&SETS, 0))),
        ] {
            let shown = super::map(value, &map).map(Cow::into_owned);
            assert_eq!(shown, wanted, "{value:?} {map:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_but_the_root_changes(
            revision in 0..5_u8,
            bytes in proptest::collection::vec(any::<u8>(), 0..24),
        ) {
            let value = [&b"\x01\0\0"[..], &[revision], &bytes].concat();
            let known = [(1, 8), (2, 16), (3, 20)].contains(&(revision, bytes.len()));
            let shown = super::map(&value, &shifted()).map(Cow::into_owned);
            match shown {
                Some(shown) if known => {
                    prop_assert_eq!(shown.len(), 24);
                    prop_assert_eq!(&shown[..3], &value[..3]);
                    let sets = bytes.len().min(16);
                    prop_assert_eq!(&shown[4..4 + sets], &bytes[..sets]);
                }
                Some(shown) => prop_assert_eq!(shown, value),
                None => prop_assert!(known && revision == 3),
            }
        }
    }
}
