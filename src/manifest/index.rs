//! Where each path of a manifest stands.

use crate::path::ManifestPath;

use super::decode::{field_at, read_at};
use super::error::ManifestError;
use super::header::read_header;
use super::limits::Limits;
use super::model::{Kind, Metadata, Resource};
use super::record::{Records, Section};

/// The paths of a manifest in byte order, with `/` where it is declared; the
/// resources are read from the bytes when they are asked for.
///
/// It takes 24 bytes a path, whatever the resources hold and in whatever order
/// they stand.
#[derive(Clone, Debug)]
pub struct PathIndex<'a> {
    manifest: &'a [u8],
    limits: Limits,
    root: Option<Metadata>,
    resources: u64,
    entries: Vec<Indexed<'a>>,
}

/// One path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Indexed<'a> {
    path: &'a [u8],
    /// Where its resource begins, times two, and one more if it has other paths.
    place: u64,
}

impl<'a> Indexed<'a> {
    /// Of the root where the header declares it. No resource begins there.
    const HEADER: u64 = u64::MAX - 1;

    /// The path, which obeys the rules of [`ManifestPath`] where the manifest
    /// does.
    #[must_use]
    pub const fn path(self) -> &'a [u8] {
        self.path
    }

    /// The same for all paths of a resource, and for no other.
    #[must_use]
    pub const fn identity(self) -> u64 {
        self.place >> 1
    }

    /// Whether its resource has other paths.
    #[must_use]
    pub const fn has_links(self) -> bool {
        self.place & 1 == 1
    }
}

impl<'a> PathIndex<'a> {
    /// Finds all paths.
    ///
    /// # Errors
    /// When the bytes do not parse, or the header breaks a rule. The resources
    /// are not looked into.
    pub fn new(manifest: &'a [u8], limits: &Limits) -> Result<Self, ManifestError> {
        let root = read_header(manifest, limits)?.root;
        let mut entries = Vec::new();
        let mut resources = u64::from(root.is_some());
        if root.is_some() {
            let (path, place) = (&b"/"[..], Indexed::HEADER);
            entries.push(Indexed { path, place });
        }
        for record in Records::new(manifest) {
            let (section, record) = record?;
            if section == Section::Root {
                continue;
            }
            resources += 1;
            let before = entries.len();
            let place = (record.offset as u64) << 1;
            let plain = record.paths().map(str::as_bytes);
            let paths = plain.chain(record.raw_paths());
            entries.extend(paths.map(|path| Indexed { path, place }));
            if let [_, _, ..] = entries.get(before..).unwrap_or_default() {
                let linked = entries.iter_mut().skip(before);
                linked.for_each(|entry| entry.place |= 1);
            }
        }
        entries.shrink_to_fit();
        if !entries.is_sorted() {
            entries.sort_unstable();
        }
        Ok(Self {
            manifest,
            limits: *limits,
            root,
            resources,
            entries,
        })
    }

    /// How many resources there are, the root among them where it is declared.
    #[must_use]
    pub const fn resources(&self) -> u64 {
        self.resources
    }

    /// All of them.
    #[must_use]
    pub fn entries(&self) -> &[Indexed<'a>] {
        &self.entries
    }

    /// The path, and the resource that it names.
    ///
    /// # Errors
    /// When it breaks a rule.
    pub fn read(&self, entry: Indexed<'_>) -> Result<(ManifestPath, Resource), ManifestError> {
        let resource = match &self.root {
            Some(metadata) if entry.place == Indexed::HEADER => Resource {
                paths: vec![ManifestPath::root()],
                metadata: metadata.clone(),
                kind: Kind::Directory,
                carried: None,
            },
            _ => read_at(self.manifest, offset(entry), &self.limits)?,
        };
        let mut paths = resource.paths.iter();
        let path = paths.find(|path| path.as_bytes() == entry.path);
        Ok((path.unwrap_or(resource.path()).clone(), resource))
    }

    /// Whether two paths have their resources to themselves, which are the same
    /// byte for byte.
    #[must_use]
    pub fn is_identical(&self, entry: Indexed<'_>, other: &Self, there: Indexed<'_>) -> bool {
        if entry.has_links() || there.has_links() {
            return false;
        }
        let bytes = |index: &Self, entry| field_at(index.manifest, offset(entry));
        match (bytes(self, entry), bytes(other, there)) {
            (Ok(one), Ok(other)) => one.raw == other.raw,
            _ => false,
        }
    }

    /// Whether a path is listed.
    #[must_use]
    pub fn contains(&self, path: &ManifestPath) -> bool {
        self.entries
            .binary_search_by_key(&path.as_bytes(), |entry| entry.path)
            .is_ok()
    }

    /// Whether a path leads to another that is listed, and so must be a
    /// directory.
    #[must_use]
    pub fn leads_on(&self, path: &ManifestPath) -> bool {
        if path.is_root() {
            return true;
        }
        let prefix = [path.as_bytes(), b"/"].concat();
        let next = self.entries.partition_point(|entry| *entry.path < *prefix);
        let next = self.entries.get(next);
        next.is_some_and(|entry| entry.path.starts_with(&prefix))
    }
}

/// Where a resource begins; behind the end for the root of the header.
fn offset(entry: Indexed<'_>) -> usize {
    usize::try_from(entry.identity()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::{Content, Form, Manifest};
    use super::*;
    use crate::mode::FileMode;

    fn path(path: &str) -> ManifestPath {
        ManifestPath::parse(path.as_bytes()).unwrap()
    }

    fn file(paths: &[&str], size: u64) -> Resource {
        Resource {
            paths: paths.iter().map(|one| path(one)).collect(),
            metadata: Metadata::new(FileMode::from_go(0o644).unwrap()),
            kind: Kind::Regular(Content {
                size,
                ..Content::default()
            }),
            carried: None,
        }
    }

    #[test]
    fn every_name_leads_to_its_resource() {
        let manifest = Manifest {
            root: Some(Metadata::new(FileMode::DEFAULT_DIRECTORY)),
            resources: vec![file(&["/b", "/d/e"], 1), file(&["/d-"], 2)],
            ..Manifest::default()
        };
        let bytes = manifest.encode(Form::Full).unwrap();
        let index = PathIndex::new(&bytes, &Limits::default()).unwrap();
        let found = index.entries().iter().map(|entry| {
            let (path, resource) = index.read(*entry).unwrap();
            let size = match resource.kind {
                Kind::Regular(content) => content.size,
                _ => 0,
            };
            (path, size)
        });
        let wanted = [("/", 0), ("/b", 1), ("/d-", 2), ("/d/e", 1)];
        let wanted = wanted.map(|(name, size)| (path(name), size));
        assert_eq!(found.collect::<Vec<_>>(), wanted);
        assert!(index.contains(&path("/d-")) && !index.contains(&path("/d")));
        assert!(index.leads_on(&path("/d")) && !index.leads_on(&path("/d-")));
        assert!(index.leads_on(&path("/")) && !index.leads_on(&path("/z")));
    }
}
