//! The operations.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::digest::Digest;
use crate::inode::{Ino, Inode, InodeKind, InodeTable, Statistics};
use crate::path::NAME_MAX;
use crate::trust::Voucher;
use crate::verify::{Verifier, VerifyError};

use super::ahead::Ahead;
use super::attributes::{Attributes, Statfs};
use super::cache::CopyCache;
use super::counters::Counters;
use super::errno::FsError;
use super::options::Presentation;
use super::refusals::Refusals;
use super::shutdown::{OnRefusal, Shutdown};
use super::symlink;

/// A mounted manifest. It has no state but caches and counters: every operation
/// names its inode, and there are no handles.
#[derive(Debug)]
pub struct Filesystem {
    pub(super) table: InodeTable,
    pub(super) verifier: Verifier,
    pub(super) options: Presentation,
    pub(super) manifest: Option<Digest>,
    pub(super) voucher: Voucher,
    pub(super) refusals: Refusals,
    pub(super) stalls: AtomicU64,
    pub(super) shutdown: Shutdown,
    pub(super) ahead: Ahead,
    pub(super) cache: Option<CopyCache>,
}

/// One entry of a directory.
#[derive(Clone, Copy, Debug)]
pub struct DirectoryEntry<'a> {
    /// The name.
    pub name: &'a [u8],
    /// What it names.
    pub attributes: Attributes,
    /// The offset at which reading goes on behind this entry.
    pub next: u64,
}

impl Filesystem {
    /// Serves the inodes of `table`, with content from `verifier`. `manifest`
    /// is the digest of the manifest, for those who ask.
    #[must_use]
    pub fn new(
        table: InodeTable,
        verifier: Verifier,
        options: Presentation,
        manifest: Option<Digest>,
    ) -> Self {
        Self {
            table,
            verifier,
            options,
            manifest,
            voucher: Voucher::default(),
            refusals: Refusals::default(),
            stalls: AtomicU64::new(0),
            shutdown: Shutdown::default(),
            ahead: Ahead::default(),
            cache: None,
        }
    }

    /// Keeps private copies of large files in `cache`.
    #[must_use]
    pub fn with_cache(self, cache: CopyCache) -> Self {
        Self {
            cache: Some(cache),
            ..self
        }
    }

    /// Says who vouches for the manifest, for those who ask.
    #[must_use]
    pub fn with_voucher(self, voucher: Voucher) -> Self {
        Self { voucher, ..self }
    }

    /// Says what follows when content is refused.
    #[must_use]
    pub fn with_errors(self, on_refusal: OnRefusal) -> Self {
        Self {
            shutdown: Shutdown::new(on_refusal),
            ..self
        }
    }

    /// Has `tell` called, once, when the view ends because content was refused.
    pub fn when_shut_down(&self, tell: impl Fn() + Send + Sync + 'static) {
        self.shutdown.when(Box::new(tell));
    }

    /// What follows when content is refused.
    #[must_use]
    pub const fn on_refusal(&self) -> OnRefusal {
        self.shutdown.on_refusal
    }

    /// The refusal that has ended the view, if one has.
    #[must_use]
    pub fn shut_down_by(&self) -> Option<&VerifyError> {
        self.shutdown.cause()
    }

    /// Why a file was refused the last time, unless many others were since. All
    /// are once the view has ended.
    #[must_use]
    pub fn last_refusal(&self, ino: Ino) -> Option<String> {
        let last = self.refusals.last(ino);
        let ended = || self.shut_down_by().map(|_| "reason=shutdown".to_owned());
        last.map(|error| error.refused().to_string()).or_else(ended)
    }

    /// The digest of the manifest, if it was told.
    #[must_use]
    pub const fn manifest(&self) -> Option<&Digest> {
        self.manifest.as_ref()
    }

    /// Who vouches for the manifest.
    #[must_use]
    pub const fn voucher(&self) -> &Voucher {
        &self.voucher
    }

    /// Where private copies are kept.
    #[must_use]
    pub const fn cache(&self) -> Option<&CopyCache> {
        self.cache.as_ref()
    }

    /// Says which device number it was mounted under, so that it never takes
    /// content from itself.
    pub fn mounted(&self, device: u64) {
        self.verifier.avoid(device);
    }

    /// Counts over the manifest.
    #[must_use]
    pub const fn statistics(&self) -> &Statistics {
        self.table.statistics()
    }

    /// What a name in a directory stands for.
    ///
    /// # Errors
    /// [`FsError::NoEntry`] for a name that is not there.
    pub fn lookup(&self, parent: Ino, name: &[u8]) -> Result<Attributes, FsError> {
        let directory = self.directory(parent)?;
        if name.len() > NAME_MAX {
            return Err(FsError::NameTooLong);
        }
        self.table
            .lookup(directory, name)
            .map(|inode| self.attributes(inode))
            .ok_or(FsError::NoEntry)
    }

    /// What stat(2) says of an inode.
    ///
    /// # Errors
    /// [`FsError::NoInode`].
    pub fn getattr(&self, ino: Ino) -> Result<Attributes, FsError> {
        Ok(self.attributes(self.inode(ino)?))
    }

    /// The target of a symlink.
    ///
    /// # Errors
    /// [`FsError::WrongKind`] when it is no symlink.
    pub fn readlink(&self, ino: Ino) -> Result<Cow<'_, [u8]>, FsError> {
        let inode = self.inode(ino)?;
        match inode.kind() {
            InodeKind::Symlink(target) => Ok(self.target(inode, target)),
            _ => Err(FsError::WrongKind),
        }
    }

    /// Whether any file has such a size, in bytes.
    #[must_use]
    pub fn has_file_of(&self, sizes: RangeInclusive<u64>) -> bool {
        self.table
            .inodes()
            .any(|inode| matches!(inode.kind(), InodeKind::Regular(size) if sizes.contains(&size)))
    }

    /// A number that is above those of all inodes.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.table.next_number()
    }

    /// The directory that an inode is in, or one of them; the root, if it is in none.
    #[must_use]
    pub fn parent(&self, ino: Ino) -> Ino {
        let inode = self.table.get(ino);
        inode.map_or(Ino::ROOT, |inode| inode.parent().ino())
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.refusals.counters()
    }

    /// How many readers have waited in vain.
    #[must_use]
    pub fn stalls(&self) -> u64 {
        self.stalls.load(Ordering::Relaxed)
    }

    /// The entries of a directory from an offset on, which is 0 or the `next`
    /// of an entry; `.` and `..` come first.
    ///
    /// # Errors
    /// [`FsError::NotDirectory`].
    pub fn readdir(
        &self,
        ino: Ino,
        offset: u64,
    ) -> Result<impl Iterator<Item = DirectoryEntry<'_>> + use<'_>, FsError> {
        let directory = self.directory(ino)?;
        let dots = [(&b"."[..], directory), (b"..", directory.parent())];
        let from = usize::try_from(offset.saturating_sub(2)).unwrap_or(usize::MAX);
        let entries = self
            .table
            .entries(directory, from)
            .map(|dirent| (dirent.name, dirent.inode));
        let skipped = usize::try_from(offset.min(2)).unwrap_or(2);
        Ok(dots
            .into_iter()
            .skip(skipped)
            .chain(entries)
            .zip(offset.saturating_add(1)..)
            .map(|((name, inode), next)| DirectoryEntry {
                name,
                attributes: self.attributes(inode),
                next,
            }))
    }

    /// The value of an extended attribute.
    ///
    /// # Errors
    /// [`FsError::NoXattr`] when the inode has none of that name, and
    /// [`FsError::NoXattrsAtAll`] when no inode can have any.
    pub fn getxattr(&self, ino: Ino, name: &[u8]) -> Result<Cow<'_, [u8]>, FsError> {
        // What the mount tells about itself it tells to the last.
        let inode = self.table.get(ino).ok_or(FsError::NoInode)?;
        if self.options.introspect {
            if let Some(value) = self.introspected(name, inode) {
                return Ok(Cow::Owned(value));
            }
        } else if !self.statistics().has_xattrs {
            return Err(FsError::NoXattrsAtAll);
        }
        self.is_open()?;
        let value = inode.xattr(name).ok_or(FsError::NoXattr)?;
        self.options.xattr(name, value).ok_or(FsError::NoXattr)
    }

    /// The names of the extended attributes, each ended by a NUL.
    ///
    /// # Errors
    /// [`FsError::NoInode`].
    pub fn listxattr(&self, ino: Ino) -> Result<Vec<u8>, FsError> {
        let mut list = Vec::new();
        for xattr in self.inode(ino)?.xattrs() {
            if self.options.xattr(&xattr.name, &xattr.value).is_some() {
                list.extend_from_slice(&xattr.name);
                list.push(0);
            }
        }
        Ok(list)
    }

    /// What statfs(2) says.
    ///
    /// # Errors
    /// [`FsError::ShutDown`].
    pub fn statfs(&self) -> Result<Statfs, FsError> {
        self.is_open()?;
        let statistics = self.statistics();
        Ok(Statfs {
            blocks: statistics.bytes.div_ceil(u64::from(Attributes::BLOCK_SIZE)),
            files: statistics.inodes,
        })
    }

    /// Whether the view has not ended.
    ///
    /// # Errors
    /// [`FsError::ShutDown`].
    pub(super) fn is_open(&self) -> Result<(), FsError> {
        match self.shut_down_by() {
            None => Ok(()),
            Some(_) => Err(FsError::ShutDown),
        }
    }

    pub(super) fn inode(&self, ino: Ino) -> Result<Inode<'_>, FsError> {
        self.is_open()?;
        self.table.get(ino).ok_or(FsError::NoInode)
    }

    fn directory(&self, ino: Ino) -> Result<Inode<'_>, FsError> {
        let inode = self.inode(ino)?;
        match inode.kind() {
            InodeKind::Directory(_) => Ok(inode),
            _ => Err(FsError::NotDirectory),
        }
    }

    fn attributes(&self, inode: Inode<'_>) -> Attributes {
        let size = match inode.kind() {
            InodeKind::Regular(size) => size,
            // Like tmpfs: so many bytes for each name, "." and ".." included.
            InodeKind::Directory(names) => (names as u64).saturating_add(2).saturating_mul(20),
            InodeKind::Symlink(target) => self.target(inode, target).len() as u64,
            InodeKind::Device(_) | InodeKind::Other => 0,
        };
        let mode = inode.mode();
        Attributes {
            ino: inode.ino(),
            size,
            blocks: match inode.kind() {
                InodeKind::Regular(size) => size.div_ceil(512),
                _ => 0,
            },
            time: inode.mtime().unwrap_or(self.options.default_time),
            file_type: mode.file_type(),
            permissions: (mode.permissions() & 0o7777) as u16,
            links: inode.links(),
            uid: self.options.uid_map.map(inode.uid()),
            gid: self.options.gid_map.map(inode.gid()),
            rdev: match inode.kind() {
                InodeKind::Device(number) => number.encode(),
                _ => 0,
            },
        }
    }

    fn target<'a>(&self, inode: Inode<'_>, target: &'a [u8]) -> Cow<'a, [u8]> {
        if !self.options.transform_symlinks || !target.starts_with(b"/") {
            return Cow::Borrowed(target);
        }
        let depth = std::iter::successors(Some(inode.parent()), |inode| {
            (inode.ino() != Ino::ROOT).then(|| inode.parent())
        })
        .count()
            - 1;
        Cow::Owned(symlink::transform(target, depth))
    }
}
