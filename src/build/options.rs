//! How to make a manifest.

use std::num::NonZeroU64;
use std::sync::Arc;

use crate::attributes::Pattern;
use crate::digest::Algorithm;
use crate::manifest::{Chunks, Form, Metadata, Timestamp};
use crate::progress::Progress;
use crate::tree::Node;

use super::error::Cause;
use super::ignore::IgnorePatterns;
use super::reuse::Reuse;
use super::whiteout::{self, Convention};

/// How to make a manifest.
#[derive(Clone, Debug)]
pub struct Options {
    /// The form that it will be written in. The compatible one has no chunk
    /// tables, so none are made for it.
    pub form: Form,
    /// Whether content is hashed; else regular files have a size and no digest,
    /// and are not opened.
    pub content: bool,
    /// What is left out.
    pub selection: Selection,
    /// What is said of the times of the last change.
    pub times: Times,
    /// Whether times of the last change of the inode are told: those before this
    /// one, which should be a little before the beginning. A file with a later
    /// one may change once more without changing it.
    pub ctimes_before: Option<Timestamp>,
    /// Where to take the content of files from that did not change since.
    pub reuse: Option<Arc<Reuse>>,
    /// Which extended attributes are taken: those that fit any of these; all
    /// where there is `None`.
    pub xattrs: Option<Vec<Pattern>>,
    /// How the tree says that files of lower layers are gone; if it does.
    pub whiteouts: Option<Convention>,
    /// What files are hashed with as a whole, in one pass. The Go tool knows
    /// SHA-256 alone.
    pub algorithms: Vec<Algorithm>,
    /// Files of at least this many bytes have a chunk table.
    pub chunk_threshold: u64,
    /// Size of a chunk in bytes.
    pub chunk_size: NonZeroU64,
    /// What chunks are hashed with. Only readers of chunk tables need to know
    /// it, so it can be the fastest: BLAKE3 costs a quarter of SHA-256.
    pub chunk_algorithm: Algorithm,
    /// How many threads read files; 0 for as many as there are processors.
    pub jobs: usize,
    /// Where to count the files that were found, and then those whose content
    /// is done.
    pub progress: Arc<Progress>,
}

/// What is left out of a manifest.
#[derive(Clone, Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub struct Selection {
    /// Whether sockets are taken.
    pub sockets: bool,
    /// Whether devices are taken. Whiteouts are none.
    pub devices: bool,
    /// What is left out by its name below the root.
    pub ignore: IgnorePatterns,
    /// Whether files named `.continuityignore` say what is left out below them,
    /// after [`Self::ignore`]. They are taken themselves.
    pub ignore_files: bool,
    /// Whether a directory on another filesystem than the root is taken without
    /// what is in it.
    pub one_filesystem: bool,
    /// Whether a directory with a `CACHEDIR.TAG` is taken with that tag and
    /// nothing else in it (<https://bford.info/cachedir/>).
    pub without_caches: bool,
    /// Whether AppleDouble files (`._*`) and `__MACOSX` are left out. What they
    /// hold is in the attributes `com.apple.*` where a tree has those.
    pub without_appledouble: bool,
}

impl Default for Selection {
    fn default() -> Self {
        Self {
            sockets: false,
            devices: true,
            ignore: IgnorePatterns::default(),
            ignore_files: true,
            one_filesystem: false,
            without_caches: false,
            without_appledouble: false,
        }
    }
}

/// What a manifest says of the times of the last change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Times {
    /// As they are.
    #[default]
    Kept,
    /// As they are, but no later than this.
    Clamped(Timestamp),
    /// Nothing.
    Dropped,
}

impl Options {
    /// A chunk is the least that a reader must fetch to check anything, and
    /// costs 32 bytes in the manifest.
    const CHUNK_SIZE: NonZeroU64 = match NonZeroU64::new(1 << 20) {
        Some(size) => size,
        None => NonZeroU64::MIN,
    };

    /// How a file of this size is cut, if it has a chunk table.
    #[must_use]
    pub fn chunks(&self, size: u64) -> Option<(Algorithm, Chunks)> {
        self.has_table(size)
            .then(|| (self.chunk_algorithm, Chunks::Fixed(self.chunk_size.get())))
    }

    /// Whether extended attributes are worth reading.
    pub(super) fn reads_xattrs(&self) -> bool {
        self.whiteouts == Some(Convention::Overlay)
            || self.xattrs.as_ref().is_none_or(|some| !some.is_empty())
    }

    /// Makes what was found what is declared.
    pub(super) fn read_node(&self, node: &mut Node) -> Result<(), Cause> {
        if self.whiteouts == Some(Convention::Overlay) {
            whiteout::read_overlay(node)?;
        }
        let (seconds, nanoseconds) = node.stat.ctime;
        node.metadata.ctime = Timestamp::new(seconds, nanoseconds)
            .filter(|ctime| self.ctimes_before.is_some_and(|before| *ctime < before));
        self.read_metadata(&mut node.metadata);
        Ok(())
    }

    /// Leaves out what is not declared of a file of any kind.
    pub fn read_metadata(&self, metadata: &mut Metadata) {
        metadata.mtime = self.times.of(metadata.mtime);
        if let Some(some) = &self.xattrs {
            metadata.xattrs.retain(|xattr| {
                some.iter().any(|pattern| pattern.matches(&xattr.name))
                    || self.whiteouts.is_some() && whiteout::is_native_xattr(&xattr.name)
            });
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            form: Form::Full,
            content: true,
            selection: Selection::default(),
            times: Times::default(),
            ctimes_before: None,
            reuse: None,
            xattrs: None,
            whiteouts: None,
            algorithms: vec![Algorithm::Sha256],
            chunk_threshold: 4 << 20,
            chunk_size: Self::CHUNK_SIZE,
            chunk_algorithm: Algorithm::Blake3,
            jobs: 0,
            progress: Arc::default(),
        }
    }
}

impl Times {
    /// What is said of a time.
    pub(super) fn of(self, time: Option<Timestamp>) -> Option<Timestamp> {
        match self {
            Self::Kept => time,
            Self::Clamped(latest) => time.map(|time| time.min(latest)),
            Self::Dropped => None,
        }
    }
}
