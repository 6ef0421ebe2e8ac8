//! What the members of an archive come to: the tree that unpacking would leave.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::manifest::Limits;
use crate::path::{ManifestPath, PathError};

use super::entry::{Entry, EntryKind};
use super::error::{Fault, TarError};

/// A tree of which a `T` is kept for each file.
///
/// A later member replaces an earlier one of the same name. Nothing is ever
/// reached through a link: what stands below something that is no directory is
/// refused, and so is whatever replaces a directory that has something in it.
#[derive(Clone, Debug)]
pub struct Tree<T> {
    root: Option<T>,
    /// Which file has this name.
    names: BTreeMap<ManifestPath, usize>,
    /// Some may have no name any more.
    files: Vec<(Shape, T)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Directory,
    Symlink,
    Other,
}

impl Shape {
    const fn of(kind: &EntryKind) -> Self {
        match kind {
            EntryKind::Directory => Self::Directory,
            EntryKind::Symlink(_) => Self::Symlink,
            _ => Self::Other,
        }
    }
}

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Self {
            root: None,
            names: BTreeMap::new(),
            files: Vec::new(),
        }
    }
}

impl<T: Clone> Tree<T> {
    /// The path that a member's name stands for.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn path(entry: &Entry) -> Result<ManifestPath, TarError> {
        path_of(&entry.name).map_err(|fault| TarError::of(entry.at, &entry.name, fault))
    }

    /// That there is a place for a member at its path.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn check(&self, path: &ManifestPath, entry: &Entry) -> Result<(), TarError> {
        let fault = |fault| TarError::of(entry.at, &entry.name, fault);
        if path.is_root() && entry.kind != EntryKind::Directory {
            let found = match entry.kind {
                EntryKind::Link(_) => "hard link",
                EntryKind::Symlink(_) => "symlink",
                _ => "file",
            };
            return Err(fault(Fault::Root(found)));
        }
        self.check_parents(path).map_err(fault)?;
        if entry.kind != EntryKind::Directory && self.has_children(path) {
            return Err(fault(Fault::Replaces));
        }
        Ok(())
    }

    /// Adds a member at its place.
    ///
    /// # Errors
    /// Of a hard link, when nothing that can be linked has the other name. It
    /// needs no value, for it is that file.
    pub fn put(&mut self, path: ManifestPath, entry: &Entry, value: T) -> Result<(), TarError> {
        if path.is_root() {
            self.root = Some(value);
            return Ok(());
        }
        let file = match &entry.kind {
            EntryKind::Link(target) => self
                .linked(target)
                .map_err(|fault| TarError::of(entry.at, &entry.name, fault))?,
            kind => self.add(Shape::of(kind), value),
        };
        self.names.insert(path, file);
        Ok(())
    }

    fn add(&mut self, shape: Shape, value: T) -> usize {
        self.files.push((shape, value));
        self.files.len() - 1
    }

    /// The file that a hard link names. Two names of one symlink are two
    /// symlinks, as in a tree that is built.
    fn linked(&mut self, target: &[u8]) -> Result<usize, Fault> {
        let shown = || Box::from(target.get(..SHOWN).unwrap_or(target));
        let path = path_of(target).map_err(|_| Fault::LinkName(shown()))?;
        let file = match self.names.get(&path) {
            _ if path.is_root() => return Err(Fault::LinkDirectory(shown())),
            None => return Err(Fault::LinkMissing(shown())),
            Some(file) => *file,
        };
        match self.files.get(file) {
            Some((Shape::Directory, _)) => Err(Fault::LinkDirectory(shown())),
            Some((Shape::Symlink, value)) => {
                let value = value.clone();
                Ok(self.add(Shape::Symlink, value))
            }
            _ => Ok(file),
        }
    }

    /// That all that a path leads through are directories.
    fn check_parents(&self, path: &ManifestPath) -> Result<(), Fault> {
        let mut bytes = path.as_bytes();
        let found = bytes.iter().filter(|byte| **byte == b'/').count();
        let limit = Limits::default().depth;
        if found > limit {
            return Err(Fault::Depth { found, limit });
        }
        // Those above the first that there is were checked for it.
        while let Some(slash) = bytes.iter().rposition(|byte| *byte == b'/') {
            bytes = bytes.get(..slash).unwrap_or_default();
            match self.names.get(bytes).and_then(|file| self.files.get(*file)) {
                Some((Shape::Directory, _)) => break,
                Some(_) => return Err(Fault::Parent(Box::from(bytes))),
                None => {}
            }
        }
        Ok(())
    }

    /// Whether anything stands below a path.
    #[must_use]
    pub fn has_children(&self, path: &ManifestPath) -> bool {
        let below = [path.as_bytes(), b"/"].concat();
        let range = (Bound::Excluded(&below[..]), Bound::Unbounded);
        let next = self.names.range::<[u8], _>(range).next();
        next.is_some_and(|(path, _)| path.as_bytes().starts_with(&below))
    }

    /// What is at a path, and whether it is a directory.
    pub fn get_mut(&mut self, path: &ManifestPath) -> Option<(&mut T, bool)> {
        if path.is_root() {
            return self.root.as_mut().map(|root| (root, true));
        }
        let file = *self.names.get(path)?;
        let (shape, value) = self.files.get_mut(file)?;
        Some((value, *shape == Shape::Directory))
    }

    /// Adds a directory that no member stands for.
    ///
    /// # Errors
    /// When it would be below something that is no directory.
    pub fn put_directory(&mut self, path: ManifestPath, value: T) -> Result<(), Fault> {
        if path.is_root() {
            self.root = Some(value);
            return Ok(());
        }
        self.check_parents(&path)?;
        let file = self.add(Shape::Directory, value);
        self.names.insert(path, file);
        Ok(())
    }

    /// Adds something else that no member stands for.
    ///
    /// # Errors
    /// When it would be below something that is no directory.
    pub fn put_other(&mut self, path: ManifestPath, value: T) -> Result<(), Fault> {
        self.check_parents(&path)?;
        let file = self.add(Shape::Other, value);
        self.names.insert(path, file);
        Ok(())
    }

    /// The root, and all files that have a name, each with its sorted names; the
    /// files are sorted by the first.
    #[must_use]
    pub fn finish(self) -> (Option<T>, Vec<(Vec<ManifestPath>, T)>) {
        let mut files: Vec<(Vec<ManifestPath>, T)> = self
            .files
            .into_iter()
            .map(|(_, value)| (Vec::new(), value))
            .collect();
        for (path, file) in self.names {
            if let Some((paths, _)) = files.get_mut(file) {
                paths.push(path);
            }
        }
        files.retain(|(paths, _)| !paths.is_empty());
        files.sort_unstable_by(|(one, _), (two, _)| one.first().cmp(&two.first()));
        (self.root, files)
    }
}

/// How many bytes of a name are shown.
const SHOWN: usize = 4096;

/// The path that a name stands for. `.` and empty components are nothing, as
/// for all who unpack; a name that leads elsewhere is refused.
fn path_of(name: &[u8]) -> Result<ManifestPath, Fault> {
    let mut path = Vec::with_capacity(name.len() + 1);
    for component in name.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return Err(Fault::Dots),
            component => {
                path.push(b'/');
                path.extend_from_slice(component);
            }
        }
    }
    match (name, path.is_empty()) {
        (b"", _) => Err(Fault::NoName),
        (_, true) => Ok(ManifestPath::root()),
        ([b'/', ..], false) => Err(Fault::Absolute),
        _ => ManifestPath::parse(&path).map_err(|error: PathError| Fault::Path(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Metadata;
    use crate::mode::FileMode;
    use crate::tar::Extents;

    fn entry(name: &str, kind: EntryKind) -> Entry {
        Entry {
            at: 0,
            name: Box::from(name.as_bytes()),
            metadata: Metadata::new(FileMode::DEFAULT_DIRECTORY),
            kind,
        }
    }

    fn file() -> EntryKind {
        EntryKind::Regular(Extents::whole(0, 0))
    }

    fn link(to: &str) -> EntryKind {
        EntryKind::Link(Box::from(to.as_bytes()))
    }

    fn symlink() -> EntryKind {
        EntryKind::Symlink(Box::from(*b"/etc"))
    }

    /// Each member has its number as its value.
    fn tree(members: &[(&str, EntryKind)]) -> Result<Vec<(String, usize)>, String> {
        let mut tree = Tree::default();
        for (number, (name, kind)) in members.iter().enumerate() {
            let entry = entry(name, kind.clone());
            Tree::<usize>::path(&entry)
                .and_then(|path| {
                    tree.check(&path, &entry)?;
                    tree.put(path, &entry, number)
                })
                .map_err(|error| error.to_string())?;
        }
        let (root, files) = tree.finish();
        let root = root.into_iter().map(|number| ("/".to_owned(), number));
        let files = files.into_iter().map(|(paths, number)| {
            let paths: Vec<_> = paths.iter().map(ToString::to_string).collect();
            (paths.join(" "), number)
        });
        Ok(root.chain(files).collect())
    }

    #[test]
    fn later_members_replace_earlier_ones() {
        let members = [
            ("./", EntryKind::Directory),
            ("./a", file()),
            ("b", link("./a")),
            ("a", file()),
            ("d", file()),
            ("d", EntryKind::Directory),
            ("d//./x", file()),
            ("d/", EntryKind::Directory),
            ("l", symlink()),
            ("m", link("l")),
            ("./.", EntryKind::Directory),
        ];
        let found = tree(&members).unwrap();
        let found: Vec<_> = found.iter().map(|(path, n)| (path.as_str(), *n)).collect();
        assert_eq!(
            found,
            [
                ("/", 10),
                ("/a", 3),
                ("/b", 1),
                ("/d", 7),
                ("/d/x", 6),
                ("/l", 8),
                ("/m", 8)
            ]
        );
    }

    #[test]
    fn refuses_what_leads_elsewhere() {
        for (members, wanted) in [
            (vec![("", file())], "it has no name"),
            (vec![("/a", file())], "its name is absolute"),
            (vec![("a/../b", file())], "its name has a component \"..\""),
            (
                vec![("..", EntryKind::Directory)],
                "its name has a component \"..\"",
            ),
            (
                vec![(".", symlink())],
                "the root is a symlink, not a directory",
            ),
            (vec![("/", file())], "the root is a file, not a directory"),
            (
                vec![("./.", link("x"))],
                "the root is a hard link, not a directory",
            ),
            (
                vec![("l", symlink()), ("l/x", file())],
                "\"/l\" is no directory, so nothing can be in it",
            ),
            (
                vec![("f", file()), ("f/x/y", file())],
                "\"/f\" is no directory, so nothing can be in it",
            ),
            (
                vec![("d/x", file()), ("d", symlink())],
                "it replaces a directory that has something in it",
            ),
            (
                vec![("a", link("b"))],
                "a hard link to \"b\", which is not there before it",
            ),
            (
                vec![("d/", EntryKind::Directory), ("a", link("d"))],
                "a hard link to \"d\", a directory",
            ),
            (
                vec![("a", link("./"))],
                "a hard link to \"./\", a directory",
            ),
            (
                vec![("a", link("/etc/passwd"))],
                "a hard link to \"/etc/passwd\", which is absolute or leads elsewhere",
            ),
            (
                vec![("a", link("../b"))],
                "a hard link to \"../b\", which is absolute or leads elsewhere",
            ),
        ] {
            let error = tree(&members).unwrap_err();
            assert!(error.ends_with(&format!("at byte 0: {wanted}")), "{error}");
        }
        let deep = "d/".repeat(1025);
        assert!(tree(&[(&deep, EntryKind::Directory)]).is_err());
        let long = "n".repeat(256);
        assert!(tree(&[(&long, file())]).is_err());
    }
}
