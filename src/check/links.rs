//! Which names are hard links of each other, on either side.

use std::collections::HashMap;
use std::hash::Hash;

use crate::path::ManifestPath;

use super::finding::Sides;

/// Follows the files that have several names on either side, while the paths
/// that are on both sides go by in order. What has one name takes no memory.
#[derive(Debug)]
pub(super) struct Links<W, F> {
    /// With which file on the other side each was first met, and where.
    wanted: HashMap<W, (F, ManifestPath)>,
    found: HashMap<F, (W, ManifestPath)>,
}

/// A file, and whether it has more than one name.
#[derive(Clone, Copy, Debug)]
pub(super) struct File<T> {
    pub identity: T,
    pub has_links: bool,
}

/// What is known of two files that have a name in common.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Meeting {
    /// Whether these two were met before, and so compared.
    pub again: bool,
    /// The first name of each, where that is not this one and the other side
    /// has another.
    pub different: Option<Sides<Option<ManifestPath>>>,
}

impl<W: Copy + Eq + Hash, F: Copy + Eq + Hash> Links<W, F> {
    pub fn new() -> Self {
        Self {
            wanted: HashMap::new(),
            found: HashMap::new(),
        }
    }

    /// The next path that is on both sides.
    pub fn meet(&mut self, path: &ManifestPath, wanted: File<W>, found: File<F>) -> Meeting {
        let first = look(&mut self.wanted, path, wanted, found.identity);
        let other = look(&mut self.found, path, found, wanted.identity);
        let is_same = |seen: &Seen| matches!(seen, Seen::Same);
        let again = is_same(&first) || is_same(&other);
        let different = match (first, other) {
            (Seen::Other(wanted), Seen::Other(found)) => Some((Some(wanted), Some(found))),
            (Seen::Other(wanted), _) => Some((Some(wanted), None)),
            (_, Seen::Other(found)) => Some((None, Some(found))),
            _ => None,
        };
        Meeting {
            again,
            different: different.map(|(wanted, found)| Sides { wanted, found }),
        }
    }

    /// Where a wanted file was first met.
    pub fn first(&self, wanted: W) -> Option<&ManifestPath> {
        self.wanted.get(&wanted).map(|(_, path)| path)
    }
}

enum Seen {
    Never,
    /// With the same file on the other side.
    Same,
    /// With another one, under this name.
    Other(ManifestPath),
}

fn look<T: Copy + Eq + Hash, U: Copy + Eq>(
    met: &mut HashMap<T, (U, ManifestPath)>,
    path: &ManifestPath,
    file: File<T>,
    other: U,
) -> Seen {
    if !file.has_links {
        return Seen::Never;
    }
    match met.get(&file.identity) {
        Some((before, _)) if *before == other => Seen::Same,
        Some((_, name)) => Seen::Other(name.clone()),
        None => {
            met.insert(file.identity, (other, path.clone()));
            Seen::Never
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> ManifestPath {
        ManifestPath::parse(name.as_bytes()).unwrap()
    }

    /// Whether the two were met before, and their first names where they differ.
    type Said = (bool, Option<Names>);
    type Names = (Option<String>, Option<String>);

    /// Lets paths go by, each with its file on either side; a file with a
    /// capital letter has several names. Returns what is said of the last.
    fn last(paths: &[(&str, char, char)]) -> Said {
        let mut links = Links::new();
        let file = |identity: char| File {
            identity,
            has_links: identity.is_uppercase(),
        };
        let meetings = paths
            .iter()
            .map(|(name, wanted, found)| links.meet(&path(name), file(*wanted), file(*found)));
        let last = meetings.last().unwrap();
        let names = last.different.map(|sides| {
            let name = |path: Option<ManifestPath>| path.map(|path| path.to_string());
            (name(sides.wanted), name(sides.found))
        });
        (last.again, names)
    }

    fn different(wanted: &str, found: &str) -> Option<Names> {
        let name = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        Some((name(wanted), name(found)))
    }

    #[test]
    fn groups_are_compared_by_the_names_that_are_there() {
        assert_eq!(last(&[("/a", 'A', 'X'), ("/b", 'A', 'X')]), (true, None));
        assert_eq!(
            last(&[("/a", 'A', 'x'), ("/b", 'A', 'y')]),
            (false, different("/a", ""))
        );
        assert_eq!(
            last(&[("/a", 'a', 'X'), ("/b", 'b', 'X')]),
            (false, different("", "/a"))
        );
        // Its first name is missing on one side; the rest are still the same.
        assert_eq!(last(&[("/b", 'A', 'X'), ("/c", 'A', 'X')]), (true, None));
        assert_eq!(
            last(&[("/a", 'A', 'X'), ("/b", 'B', 'Y'), ("/c", 'A', 'Y')]),
            (false, different("/a", "/b"))
        );
    }
}
