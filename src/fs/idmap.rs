//! Owners of the manifest made into owners of the mount.

use std::str::FromStr;

use thiserror::Error;

/// No id. The kernel shows it as the overflow id (65534) and grants nothing by
/// it, while somebody may really be 65534.
const NOBODY: u32 = u32::MAX;

/// A mapping of ids: one for all, or range by range, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum IdMap {
    /// As the manifest has them.
    #[default]
    Identity,
    /// This one, whatever the manifest has.
    Squash(u32),
    /// Range by range; what lies in none belongs to nobody.
    Ranges(Vec<IdRange>),
}

/// Consecutive ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// The first one in the manifest.
    pub container: u32,
    /// What it becomes.
    pub host: u32,
    /// How many follow each other.
    pub count: u32,
}

/// Why text is no mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a mapping is container:host:count, three numbers; the ranges must fit 32 bits")]
pub struct IdMapError;

impl IdMap {
    /// The id that the mount shows.
    #[must_use]
    pub fn map(&self, id: u32) -> u32 {
        match self {
            Self::Identity => id,
            Self::Squash(to) => *to,
            Self::Ranges(ranges) => ranges
                .iter()
                .find_map(|range| {
                    let distance = id.checked_sub(range.container)?;
                    (distance < range.count).then(|| range.host.saturating_add(distance))
                })
                .unwrap_or(NOBODY),
        }
    }

    /// Adds a range, as `container:host:count` has it.
    ///
    /// # Errors
    /// When the text is no mapping.
    pub fn add(&mut self, text: &str) -> Result<(), IdMapError> {
        let range: IdRange = text.parse()?;
        match self {
            Self::Ranges(ranges) => ranges.push(range),
            _ => *self = Self::Ranges(vec![range]),
        }
        Ok(())
    }
}

impl FromStr for IdRange {
    type Err = IdMapError;

    fn from_str(text: &str) -> Result<Self, IdMapError> {
        let mut numbers = text.split(':').map(|number| number.parse::<u32>());
        let mut next = || numbers.next().and_then(Result::ok).ok_or(IdMapError);
        let range = Self {
            container: next()?,
            host: next()?,
            count: next()?,
        };
        let fits = |first: u32| first.checked_add(range.count).is_some();
        if numbers.next().is_some() || !fits(range.container) || !fits(range.host) {
            return Err(IdMapError);
        }
        Ok(range)
    }
}

/// A POSIX ACL with its ids mapped, in the form in which the kernel stores it
/// (`include/uapi/linux/posix_acl_xattr.h`); anything else as it is.
#[must_use]
pub(super) fn map_acl(acl: &[u8], users: &IdMap, groups: &IdMap) -> Vec<u8> {
    const VERSION: [u8; 4] = 2_u32.to_le_bytes();
    const USER: [u8; 2] = 0x02_u16.to_le_bytes();
    const GROUP: [u8; 2] = 0x08_u16.to_le_bytes();
    let Some(entries) = acl.strip_prefix(&VERSION) else {
        return acl.to_vec();
    };
    let mut mapped = VERSION.to_vec();
    for entry in entries.chunks(8) {
        match entry {
            &[t0, t1, p0, p1, i0, i1, i2, i3] => {
                let id = u32::from_le_bytes([i0, i1, i2, i3]);
                let id = match [t0, t1] {
                    USER => users.map(id),
                    GROUP => groups.map(id),
                    _ => id,
                };
                // The kernel takes no ACL with an entry for nobody.
                if id == NOBODY && matches!([t0, t1], USER | GROUP) {
                    continue;
                }
                mapped.extend_from_slice(&[t0, t1, p0, p1]);
                mapped.extend_from_slice(&id.to_le_bytes());
            }
            rest => mapped.extend_from_slice(rest),
        }
    }
    mapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_range_by_range() {
        let mut map = IdMap::default();
        assert_eq!(map.map(7), 7);
        map.add("0:100000:1000").unwrap();
        map.add("5000:200000:1").unwrap();
        for (id, shown) in [
            (0, 100_000),
            (999, 100_999),
            (1000, NOBODY),
            (5000, 200_000),
            (5001, NOBODY),
        ] {
            assert_eq!(map.map(id), shown);
        }
        assert_eq!(IdMap::Squash(3).map(0), 3);
        for bad in [
            "",
            "1",
            "1:2",
            "1:2:3:4",
            "a:b:c",
            "0:0:-1",
            "4294967295:0:2",
        ] {
            assert_eq!(IdMap::default().add(bad), Err(IdMapError), "{bad}");
        }
    }

    #[test]
    fn maps_the_ids_of_an_acl() {
        let acl = |id: u32| {
            let mut acl = vec![2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0];
            acl.extend(id.to_le_bytes());
            acl
        };
        let mut users = IdMap::default();
        users.add("0:1000:10").unwrap();
        assert_eq!(map_acl(&acl(5), &users, &IdMap::Identity), acl(1005));
        assert_eq!(map_acl(&acl(50), &users, &IdMap::Identity), acl(50)[..12]);
        assert_eq!(map_acl(b"\x01\0\0\0??", &users, &users), b"\x01\0\0\0??");
    }
}
