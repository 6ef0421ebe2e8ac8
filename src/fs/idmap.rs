//! Owners of the manifest made into owners of the mount.

use std::ops::Range;
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
pub enum IdMapError {
    /// It breaks the form.
    #[error("a mapping is container:host:count, three numbers; the ranges must fit 32 bits")]
    Malformed,
    /// Two ids would be one, or one id two. The kernel refuses that too
    /// (user_namespaces(7)).
    #[error("it overlaps with a range before it")]
    Overlap,
}

impl IdMap {
    /// The id that the mount shows.
    #[must_use]
    pub fn map(&self, id: u32) -> u32 {
        match self {
            Self::Squash(to) => *to,
            _ => self.find(id).unwrap_or(NOBODY),
        }
    }

    /// Whom an id names that is not the owner's. Where all owners are one, there is
    /// nobody else to name.
    pub(super) fn find(&self, id: u32) -> Option<u32> {
        match self {
            Self::Identity => Some(id),
            Self::Squash(_) => None,
            Self::Ranges(ranges) => ranges.iter().find_map(|range| {
                let distance = id.checked_sub(range.container)?;
                (distance < range.count).then(|| range.host.saturating_add(distance))
            }),
        }
    }

    /// The same where only some ids are known, which are those of a user namespace.
    #[must_use]
    pub fn within(&self, known: &[Range<u32>]) -> Self {
        const EVERYBODY: IdRange = IdRange {
            container: 0,
            host: 0,
            count: u32::MAX,
        };
        let ranges = match self {
            // The kernel shows it as nobody if it is not known.
            Self::Squash(_) => return self.clone(),
            Self::Identity => &[EVERYBODY],
            Self::Ranges(ranges) => ranges.as_slice(),
        };
        let pairs = ranges
            .iter()
            .flat_map(|range| known.iter().map(move |known| range.within(known)));
        let ranges: Vec<_> = pairs.flatten().collect();
        match ranges[..] {
            [EVERYBODY] => Self::Identity,
            _ => Self::Ranges(ranges),
        }
    }

    /// Adds a range, as `container:host:count` has it.
    ///
    /// # Errors
    /// When the text is no mapping, or does not go with what was added before.
    pub fn add(&mut self, text: &str) -> Result<(), IdMapError> {
        let range: IdRange = text.parse()?;
        match self {
            Self::Ranges(ranges) if ranges.iter().any(|other| range.overlaps(other)) => {
                return Err(IdMapError::Overlap);
            }
            Self::Ranges(ranges) => ranges.push(range),
            _ => *self = Self::Ranges(vec![range]),
        }
        Ok(())
    }
}

impl IdRange {
    /// The part that becomes ids of `known`.
    fn within(&self, known: &Range<u32>) -> Option<Self> {
        let first = self.host.max(known.start);
        let end = self.host.saturating_add(self.count).min(known.end);
        let count = end.checked_sub(first).filter(|count| *count > 0)?;
        Some(Self {
            container: self.container + (first - self.host),
            host: first,
            count,
        })
    }

    fn overlaps(&self, other: &Self) -> bool {
        let near = |a: u32, b: u32, count: u32| b >= a && b - a < count;
        near(self.container, other.container, self.count)
            || near(other.container, self.container, other.count)
            || near(self.host, other.host, self.count)
            || near(other.host, self.host, other.count)
    }
}

impl FromStr for IdRange {
    type Err = IdMapError;

    fn from_str(text: &str) -> Result<Self, IdMapError> {
        let mut numbers = text.split(':').map(|number| number.parse::<u32>());
        let mut next = || {
            numbers
                .next()
                .and_then(Result::ok)
                .ok_or(IdMapError::Malformed)
        };
        let range = Self {
            container: next()?,
            host: next()?,
            count: next()?,
        };
        let fits = |first: u32| first.checked_add(range.count).is_some();
        let is_range = range.count > 0 && fits(range.container) && fits(range.host);
        if numbers.next().is_some() || !is_range {
            return Err(IdMapError::Malformed);
        }
        Ok(range)
    }
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
            "0:0:0",
            "4294967295:0:2",
        ] {
            assert_eq!(
                IdMap::default().add(bad),
                Err(IdMapError::Malformed),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_namespace_knows_only_some() {
        let everybody = 0..u32::MAX;
        let identity = IdMap::Identity;
        assert_eq!(identity.within(std::slice::from_ref(&everybody)), identity);
        assert_eq!(IdMap::Squash(7).within(&[]), IdMap::Squash(7));
        assert_eq!(identity.within(&[]).map(0), NOBODY);
        let mut map = IdMap::default();
        map.add("0:100:50").unwrap();
        map.add("50:0:10").unwrap();
        assert_eq!(map.within(&[everybody]), map);
        let known = map.within(&[5..7, 110..120, 140..1000]);
        for id in 0..100 {
            let shown = map.map(id);
            let knows = [5..7, 110..120, 140..1000]
                .iter()
                .any(|range| range.contains(&shown));
            assert_eq!(known.map(id), if knows { shown } else { NOBODY }, "{id}");
        }
        let root = identity.within(std::slice::from_ref(&(0..1)));
        assert_eq!((root.map(0), root.map(1)), (0, NOBODY));
    }

    #[test]
    fn no_two_become_one() {
        let mut map = IdMap::default();
        map.add("10:100:10").unwrap();
        for bad in [
            "19:200:1",
            "0:200:11",
            "0:109:1",
            "0:91:10",
            "12:300:2",
            "30:0:4000",
        ] {
            assert_eq!(map.add(bad), Err(IdMapError::Overlap), "{bad}");
        }
        for good in ["20:110:5", "0:90:10", "25:0:1"] {
            map.add(good).unwrap();
        }
    }
}
