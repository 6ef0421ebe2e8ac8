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
    /// What is there, if it is a regular file.
    pub file: Option<RegularFile>,
}

/// A regular file of which all is known.
#[derive(Clone, Debug)]
pub(super) enum RegularFile {
    /// It was hashed, and has so many bytes.
    Hashed(u64),
    /// It was only looked at.
    Seen(Box<Seen>),
}

/// A file that was looked at and not read.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub stat: Stat,
    /// All but the first.
    pub other_paths: Vec<ManifestPath>,
}

impl Ready {
    /// Bytes of content, of a regular file that was hashed.
    pub const fn content(&self) -> Option<u64> {
        match &self.file {
            Some(RegularFile::Hashed(size)) => Some(*size),
            _ => None,
        }
    }
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
        let encoded = self.resource.encode(form)?;
        let is_seen = self.has_no_digest();
        let mut paths = self.resource.paths.into_iter();
        Ok(Ready {
            encoded,
            path: paths.next().unwrap_or_else(ManifestPath::root),
            file: match &self.resource.kind {
                Kind::Regular(_) if is_seen => Some(RegularFile::Seen(Box::new(Seen {
                    stat: self.stat,
                    other_paths: paths.collect(),
                }))),
                Kind::Regular(content) => Some(RegularFile::Hashed(content.size)),
                _ => None,
            },
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
