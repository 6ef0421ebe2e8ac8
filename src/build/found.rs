//! A file between being found and being declared.

use crate::manifest::{EncodeError, Encoded, Form, Kind, Resource};
use crate::path::ManifestPath;
use crate::sys::Stat;
use crate::tree::Node;

use super::options::Options;

/// A file of which all is known.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    /// By which the manifest is sorted.
    pub path: ManifestPath,
    /// What stands in the manifest.
    pub encoded: Encoded,
    /// Bytes of content, of a regular file.
    pub content: Option<u64>,
}

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

    /// Whether there may be another name, or a digest is missing.
    pub fn is_waiting(&self, options: &Options) -> bool {
        self.can_be_linked() || self.has_no_digest() && options.content
    }

    /// Whether it is a regular file that was not hashed yet.
    pub const fn has_no_digest(&self) -> bool {
        matches!(&self.resource.kind, Kind::Regular(content) if content.digests.is_empty())
    }

    /// What stands in the manifest.
    ///
    /// # Errors
    /// Only in the compatible form.
    pub fn encode(self, form: Form) -> Result<Ready, EncodeError> {
        Ok(Ready {
            encoded: self.resource.encode(form)?,
            content: match &self.resource.kind {
                Kind::Regular(content) => Some(content.size),
                _ => None,
            },
            path: self
                .resource
                .paths
                .into_iter()
                .next()
                .unwrap_or_else(ManifestPath::root),
        })
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
