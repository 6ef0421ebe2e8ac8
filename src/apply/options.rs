//! How to apply a manifest.

use std::sync::Arc;

use crate::attributes::AttributeSet;
use crate::manifest::Limits;
use crate::progress::Progress;

use super::record::Record;

/// How to apply a manifest.
#[derive(Clone, Debug)]
pub struct Options {
    /// How content gets from the source into the tree.
    pub mode: Mode,
    /// Whether what the manifest does not list is removed, and directories that
    /// are not empty make way for other files.
    pub delete: bool,
    /// Whether it is only told what would be done.
    pub dry_run: bool,
    /// Which attributes are brought to what is declared. What files are and
    /// hold always is.
    pub attributes: AttributeSet,
    /// What becomes of devices.
    pub devices: Devices,
    /// Whether sockets are made.
    pub sockets: bool,
    /// What becomes of whiteouts and opaque directories.
    pub whiteouts: Whiteouts,
    /// What tells that content of the source is right.
    pub evidence: Evidence,
    /// Whether the content of files that are there is read. If not, a file of the
    /// declared size, and where there is a source of the declared time, is taken to
    /// be right; and no digest is compared.
    pub digests: bool,
    /// Whether content and names are on the disk before it is said that they
    /// are there.
    pub fsync: bool,
    /// Whether other filesystems that are mounted in the tree belong to it.
    pub cross_mounts: bool,
    /// How many threads work; 0 for as many as there are processors.
    pub jobs: usize,
    /// Bounds on what the manifest may hold.
    pub limits: Limits,
    /// Where to count what is done.
    pub progress: Arc<Progress>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: Mode::Auto,
            delete: false,
            dry_run: false,
            attributes: AttributeSet::all(),
            devices: Devices::Create,
            sockets: false,
            whiteouts: Whiteouts::Overlay,
            evidence: Evidence::Digests,
            digests: true,
            fsync: false,
            cross_mounts: false,
            jobs: 0,
            limits: Limits::default(),
            progress: Arc::default(),
        }
    }
}

/// What tells that content is right.
#[derive(Clone, Debug)]
pub enum Evidence {
    /// The digests that the manifest declares.
    Digests,
    /// The source, of which the manifest was just made: each of its files vouches
    /// for itself, before it is read and after
    /// ([`SourceFile::vouch`](crate::source::SourceFile::vouch)). The digests of what
    /// is in place then are recorded, where somebody wants them.
    Source(Option<Arc<Record>>),
}

/// How content gets from the source into the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By a reflink where the filesystem can, else by a copy.
    Auto,
    /// By a reflink or not at all.
    Reflink,
    /// By a copy that shares nothing.
    Copy,
    /// By a hard link of the source's file, which must have the declared
    /// attributes: changing them would change the source.
    Hardlink,
    /// By a hard link of the source's file, or a copy where that is on another
    /// filesystem; then the source's name is removed.
    Move,
}

/// What becomes of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Devices {
    /// They are made.
    Create,
    /// They are left out.
    Skip,
    /// They must be there.
    Check,
}

/// What becomes of whiteouts and opaque directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whiteouts {
    /// They are made as overlayfs wants them: a character device 0:0, and the
    /// attribute `trusted.overlay.opaque`.
    Overlay,
    /// They are left out.
    None,
}
