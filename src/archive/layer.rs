//! The tree of an archive, with what it says is gone of the layers below.

use std::collections::BTreeMap;

use crate::build::info;
use crate::build::whiteout::{AufsName, aufs_name, make_opaque, make_whiteout};
use crate::manifest::{Kind, Manifest, Metadata, Resource};
use crate::mode::FileMode;
use crate::path::{ManifestPath, PathError};
use crate::tar::{Entry, Fault, TarError, Tree};

/// What a path of an archive says in the form of aufs, which container images
/// have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// This path is gone.
    Gone(ManifestPath),
    /// This directory hides the content of those below.
    Opaque(ManifestPath),
    /// Nothing that concerns a tree: it is in what aufs keeps for itself.
    Private,
}

impl Mark {
    /// `None` when the path is what it is.
    pub fn of(path: &ManifestPath) -> Result<Option<Self>, PathError> {
        let is_private = |name| aufs_name(name) == AufsName::Private;
        Ok(match aufs_name(path.name()) {
            AufsName::Opaque => Some(Self::Opaque(path.parent())),
            AufsName::Whiteout(gone) => Some(Self::Gone(path.parent().join(gone)?)),
            _ if path.as_bytes().split(|byte| *byte == b'/').any(is_private) => Some(Self::Private),
            _ => None,
        })
    }
}

/// What an archive comes to.
#[derive(Debug, Default)]
pub(super) struct Layer {
    pub tree: Tree<(Metadata, Kind)>,
    /// What is gone of the layers below, and where the archive says so.
    gone: BTreeMap<ManifestPath, (u64, Metadata)>,
    /// Directories that hide the content of those below, likewise.
    opaque: BTreeMap<ManifestPath, u64>,
}

impl Layer {
    /// The path that a member's name stands for.
    pub fn path(entry: &Entry) -> Result<ManifestPath, TarError> {
        Tree::<(Metadata, Kind)>::path(entry)
    }

    /// Keeps a mark. It concerns the layers below alone, and so it is set when
    /// all of this one is known, wherever it stands.
    pub fn mark(&mut self, mark: Mark, entry: &Entry, metadata: Metadata) {
        match mark {
            Mark::Gone(path) => {
                self.gone.insert(path, (entry.at, metadata));
            }
            Mark::Opaque(path) => {
                self.opaque.insert(path, entry.at);
            }
            Mark::Private => {}
        }
    }

    /// The manifest of all that came.
    pub fn finish(mut self) -> Result<Manifest, TarError> {
        for (path, at) in std::mem::take(&mut self.opaque) {
            let set = self.set_opaque(&path).or_else(hidden);
            set.map_err(|fault| TarError::of(at, path.as_bytes(), fault))?;
        }
        for (path, (at, metadata)) in std::mem::take(&mut self.gone) {
            let set = self.set_gone(&path, metadata).or_else(hidden);
            set.map_err(|fault| TarError::of(at, path.as_bytes(), fault))?;
        }
        let (root, files) = self.tree.finish();
        let resources = files.into_iter().map(|(paths, (metadata, kind))| Resource {
            paths,
            metadata,
            kind,
            carried: None,
        });
        Ok(Manifest {
            root: root.map(|(metadata, _)| metadata),
            info: info(),
            resources: resources.collect(),
            ..Manifest::default()
        })
    }

    fn set_gone(&mut self, path: &ManifestPath, mut metadata: Metadata) -> Result<(), Fault> {
        let has_children = self.tree.has_children(path);
        match self.tree.get_mut(path) {
            // Gone below and here anew: nothing of it shows through.
            Some((_, true)) => self.set_opaque(path),
            None if has_children => self.set_opaque(path),
            // What is here hides it already.
            Some((_, false)) => Ok(()),
            None => {
                let mut kind = Kind::Fifo;
                make_whiteout(&mut metadata, &mut kind);
                self.tree.put_other(path.clone(), (metadata, kind))
            }
        }
    }

    fn set_opaque(&mut self, path: &ManifestPath) -> Result<(), Fault> {
        match self.tree.get_mut(path) {
            Some(((metadata, _), true)) => make_opaque(metadata),
            Some((_, false)) => return Err(Fault::Parent(Box::from(path.as_bytes()))),
            None => {
                // The archive has no member for it.
                let mut metadata = Metadata::new(FileMode::DEFAULT_DIRECTORY);
                make_opaque(&mut metadata);
                let directory = (metadata, Kind::Directory);
                self.tree.put_directory(path.clone(), directory)?;
            }
        }
        Ok(())
    }
}

/// Below a file that took the place of a directory, nothing shows through, and
/// there is nothing to mark. umoci does it all the same.
fn hidden(fault: Fault) -> Result<(), Fault> {
    match fault {
        Fault::Parent(_) => Ok(()),
        other => Err(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_is_gone() {
        let path = |text: &str| ManifestPath::parse(text.as_bytes()).unwrap();
        for (name, mark) in [
            ("/a", None),
            ("/.wh.", None),
            ("/d.wh.x", None),
            ("/.wh.a", Some(Mark::Gone(path("/a")))),
            ("/d/.wh..a", Some(Mark::Gone(path("/d/.a")))),
            ("/.wh..wh..opq", Some(Mark::Opaque(path("/")))),
            ("/d/.wh..wh..opq", Some(Mark::Opaque(path("/d")))),
            ("/.wh..wh.aufs", Some(Mark::Private)),
            ("/.wh..wh.plnk/1.2", Some(Mark::Private)),
        ] {
            assert_eq!(Mark::of(&path(name)), Ok(mark), "{name}");
        }
        // Not the directory itself, and not the one above (CVE-2021-29136).
        assert_eq!(Mark::of(&path("/d/.wh..")), Err(PathError::Dots));
        assert_eq!(Mark::of(&path("/.wh...")), Err(PathError::Dots));
    }
}
