//! A file between being found and being declared.

use crate::manifest::{Kind, Resource};
use crate::path::ManifestPath;
use crate::sys::Stat;
use crate::tree::Node;

/// A file with all its names in the tree, as far as they are known.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    /// What stat(2) said when it was found.
    pub stat: Stat,
    /// What the manifest will say.
    pub resource: Resource,
}

impl Found {
    /// A file with one name.
    pub fn new(path: ManifestPath, node: Node) -> Self {
        Self {
            stat: node.stat,
            resource: Resource {
                paths: vec![path],
                metadata: node.metadata,
                kind: node.kind,
                carried: None,
            },
        }
    }

    /// Whether looking at another of its names saw the same.
    pub fn is_same(&self, other: &Self) -> bool {
        self.stat.is_unchanged(&other.stat)
            && self.resource.metadata == other.resource.metadata
            && self.resource.kind == other.resource.kind
    }

    /// Whether it may have more names than this one. Two names of one symlink
    /// are two symlinks, as for the Go tool.
    pub fn can_be_linked(&self) -> bool {
        self.stat.links > 1 && !matches!(self.resource.kind, Kind::Directory | Kind::Symlink(_))
    }
}
