//! Which members an archive of a manifest has, in which order.

use std::cmp::Ordering;

use crate::build::Convention;
use crate::build::whiteout::{OPAQUE_FILE, OPAQUE_NAMES, PREFIX, make_opaque};
use crate::manifest::{Kind, Metadata, Resource, Xattr};
use crate::mode::{FileMode, FileType};
use crate::path::ManifestPath;

use super::error::WriteError;

/// One member, of which the names are not yet those of an archive.
#[derive(Debug)]
pub(super) struct Planned<'a> {
    pub path: ManifestPath,
    pub what: What<'a>,
}

/// What a member stands for.
#[derive(Clone, Copy, Debug)]
pub(super) enum What<'a> {
    /// The root.
    Root(&'a Metadata),
    /// The first name of a resource.
    Resource(&'a Resource),
    /// One more name of a resource, and the first.
    Link(&'a Resource, &'a ManifestPath),
    /// An empty file that is a mark in the form of aufs.
    Mark(&'a Metadata),
}

/// The members in their order, and the resources that no archive
/// has a place for.
#[derive(Debug, Default)]
pub(super) struct Plan<'a> {
    pub members: Vec<Planned<'a>>,
    /// Sockets.
    pub sockets: Vec<&'a Resource>,
    /// How many whiteouts are left out because they are not wanted.
    pub whiteouts_left_out: u64,
}

impl<'a> Plan<'a> {
    pub fn of(
        root: Option<&'a Metadata>,
        resources: &'a [Resource],
        whiteouts: Option<Convention>,
    ) -> Result<Self, WriteError> {
        let mut plan = Self::default();
        if let Some(root) = root {
            plan.push(ManifestPath::root(), What::Root(root));
            plan.mark_opaque(&ManifestPath::root(), root, whiteouts)?;
        }
        for resource in resources {
            plan.add(resource, whiteouts)?;
        }
        plan.members
            .sort_by(|one, two| in_order(&one.path, &two.path));
        Ok(plan)
    }

    fn push(&mut self, path: ManifestPath, what: What<'a>) {
        self.members.push(Planned { path, what });
    }

    fn add(
        &mut self,
        resource: &'a Resource,
        whiteouts: Option<Convention>,
    ) -> Result<(), WriteError> {
        let aufs = whiteouts == Some(Convention::Aufs);
        match (&resource.kind, is_whiteout(resource), whiteouts) {
            (_, true, None) => self.whiteouts_left_out += 1,
            (_, true, Some(Convention::Aufs)) => {
                for path in &resource.paths {
                    let name = [PREFIX, path.name()].concat();
                    let marked = join(path, &path.parent(), &name)?;
                    self.push(marked, What::Mark(&resource.metadata));
                }
            }
            (Kind::Socket, _, _) => self.sockets.push(resource),
            _ => {
                let mut names = resource.paths.iter();
                if let Some(misread) = names.find(|path| aufs && path.name().starts_with(PREFIX)) {
                    return Err(WriteError::MeansWhiteout(misread.clone()));
                }
                self.add_names(resource);
                if let (Kind::Directory, [path, ..]) = (&resource.kind, &*resource.paths) {
                    self.mark_opaque(path, &resource.metadata, whiteouts)?;
                }
            }
        }
        Ok(())
    }

    /// The name that comes first has the content, and the others are links to it.
    fn add_names(&mut self, resource: &'a Resource) {
        let mut names: Vec<&ManifestPath> = resource.paths.iter().collect();
        names.sort_by(|one, two| in_order(one, two));
        let mut names = names.into_iter();
        let Some(first) = names.next() else { return };
        self.push(first.clone(), What::Resource(resource));
        for name in names {
            let what = match resource.kind {
                // Two names of one symlink are two symlinks.
                Kind::Symlink(_) => What::Resource(resource),
                _ => What::Link(resource, first),
            };
            self.push(name.clone(), what);
        }
    }

    fn mark_opaque(
        &mut self,
        path: &ManifestPath,
        metadata: &'a Metadata,
        whiteouts: Option<Convention>,
    ) -> Result<(), WriteError> {
        if whiteouts == Some(Convention::Aufs) && is_opaque(metadata) {
            self.push(join(path, path, OPAQUE_FILE)?, What::Mark(metadata));
        }
        Ok(())
    }
}

/// What is in a directory comes right behind it: tools that unpack it set a
/// directory's time when they leave it.
fn in_order(one: &ManifestPath, two: &ManifestPath) -> Ordering {
    fn components(path: &ManifestPath) -> impl Iterator<Item = &[u8]> {
        path.as_bytes().split(|byte| *byte == b'/')
    }
    components(one).cmp(components(two))
}

fn join(
    marked: &ManifestPath,
    directory: &ManifestPath,
    name: &[u8],
) -> Result<ManifestPath, WriteError> {
    directory.join(name).map_err(|error| WriteError::Mark {
        path: marked.clone(),
        error,
    })
}

/// In words, or in overlayfs's form.
fn is_whiteout(resource: &Resource) -> bool {
    let is_native = matches!(&resource.kind, Kind::CharDevice(number) if number.encode() == 0);
    resource.metadata.whiteout || is_native
}

fn is_opaque(metadata: &Metadata) -> bool {
    metadata.opaque || metadata.xattrs.iter().any(is_opaque_xattr)
}

fn is_opaque_xattr(xattr: &Xattr) -> bool {
    OPAQUE_NAMES.contains(&&*xattr.name) && *xattr.value == *b"y"
}

/// A whiteout in overlayfs's form has the mode of one.
pub(super) fn as_written(resource: &Resource) -> Metadata {
    let mut metadata = resource.metadata.clone();
    if metadata.whiteout {
        let permissions = metadata.mode.permissions();
        metadata.mode = FileMode::new(FileType::CharDevice, permissions);
    }
    metadata
}

/// The attributes of a member: those that make a directory opaque are there if
/// that is how the archive says it.
pub(super) fn xattrs(metadata: &Metadata, whiteouts: Option<Convention>) -> Vec<Xattr> {
    let mut metadata = metadata.clone();
    if metadata.mode.file_type() == FileType::Directory {
        match whiteouts {
            Some(Convention::Overlay) if metadata.opaque => make_opaque(&mut metadata),
            Some(Convention::Overlay) => {}
            _ => metadata.xattrs.retain(|xattr| !is_opaque_xattr(xattr)),
        }
    }
    metadata.xattrs
}
