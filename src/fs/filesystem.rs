//! The operations.

use std::borrow::Cow;
use std::io;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::digest::Digest;
use crate::inode::{Ino, Inode, InodeKind, InodeTable, Statistics};
use crate::path::NAME_MAX;
use crate::sys::SealedFile;
use crate::trust::Voucher;
use crate::verify::{CopyError, Declared, Reason, Verifier, VerifyError};

use super::ahead::Ahead;
use super::attributes::{Attributes, Statfs};
use super::cache::CopyCache;
use super::counters::Counters;
use super::errno::FsError;
use super::introspect::About;
use super::options::Presentation;
use super::refusals::Refusals;
use super::symlink;

/// Up to this size of a file, in bytes, what was hashed of it is given out whole.
const WHOLE_CHUNKS_MAX: u64 = 4 << 30;

/// A mounted manifest. It has no state but caches and counters: every operation
/// names its inode, and there are no handles.
#[derive(Debug)]
pub struct Filesystem {
    table: InodeTable,
    verifier: Verifier,
    options: Presentation,
    manifest: Option<Digest>,
    voucher: Voucher,
    refusals: Refusals,
    stalls: AtomicU64,
    ahead: Ahead,
    cache: Option<CopyCache>,
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

    /// Whether reading this file needs no work but on the bytes that are asked
    /// for.
    #[must_use]
    pub fn is_prepared(&self, ino: Ino) -> bool {
        self.with_declared(ino, |declared| Ok(self.verifier.is_prepared(declared)))
            .unwrap_or(true)
    }

    /// Does what must be done once before any byte of this file can be read,
    /// which may take as long as hashing all of it. `read` counts the bytes that
    /// came so far.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn prepare(&self, ino: Ino, read: &AtomicU64) -> Result<(), FsError> {
        self.with_declared(ino, |declared| {
            self.verifier
                .prepare(declared, read)
                .map_err(|error| self.refuse(error))
        })
    }

    /// The bytes of a regular file from `offset` on: `size` of them, or as many
    /// as there are before its end.
    ///
    /// # Errors
    /// [`FsError::Refused`] when any of the bytes is not as the manifest
    /// declares it. That is logged.
    pub fn read(&self, ino: Ino, offset: u64, size: u32) -> Result<Bytes, FsError> {
        self.with_declared(ino, |declared| {
            self.verifier
                .read(declared, offset, size)
                .map_err(|error| self.refuse(error))
        })
    }

    /// Whether any file has such a size, in bytes.
    #[must_use]
    pub fn has_file_of(&self, sizes: RangeInclusive<u64>) -> bool {
        (Ino::ROOT.0..=self.statistics().inodes).any(|ino| {
            let kind = self.table.get(Ino(ino)).map(|inode| inode.kind());
            matches!(kind, Some(InodeKind::Regular(size)) if sizes.contains(&size))
        })
    }

    /// A private copy of a file, all of which was checked. That it is refused is
    /// not logged: who reads the file will hear of it. `read` counts the bytes that
    /// came so far.
    ///
    /// # Errors
    /// As [`Self::read`], and [`FsError::Copy`].
    pub fn copy(&self, ino: Ino, read: &AtomicU64) -> Result<SealedFile, FsError> {
        let cache = self.cache.as_ref();
        let cache = cache.ok_or_else(|| FsError::Copy(io::ErrorKind::Unsupported.into()))?;
        self.with_declared(ino, |declared| {
            let file = cache.directory.create().map_err(FsError::Copy)?;
            self.verifier
                .copy(declared, file, read)
                .map_err(|error| match error {
                    CopyError::Refused(error) => FsError::Refused(error),
                    CopyError::Store(error) => FsError::Copy(error),
                })
        })
    }

    /// What [`Self::read`] would give, if nothing has to be read for it.
    #[must_use]
    pub fn at_hand(&self, ino: Ino, offset: u64, size: u32) -> Option<Bytes> {
        self.with_declared(ino, |declared| {
            Ok(self.verifier.at_hand(declared, offset, size))
        })
        .ok()
        .flatten()
    }

    /// The directory that an inode is in, or one of them; the root, if it is in none.
    #[must_use]
    pub fn parent(&self, ino: Ino) -> Ino {
        let inode = self.table.get(ino);
        inode.map_or(Ino::ROOT, |inode| inode.parent().ino())
    }

    /// How long a reader waits for the source; for ever, if it is not said.
    #[must_use]
    pub const fn patience(&self) -> Option<Duration> {
        self.verifier.patience()
    }

    /// Takes notice that a reader has waited in vain, and logs it.
    pub fn note_stalled(&self, ino: Ino, offset: u64, size: u32) {
        self.stalls.fetch_add(1, Ordering::Relaxed);
        // It was being read, so it is a file.
        let _ = self.with_declared(ino, |declared| {
            let length = u64::from(size).min(declared.size.saturating_sub(offset));
            self.refusals
                .note(&self.verifier.stalled(declared, offset, length));
            Ok(())
        });
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

    /// Whether there are files of the source to be closed.
    #[must_use]
    pub fn has_unused(&self) -> bool {
        self.verifier.has_unused()
    }

    /// Closes them. That may take as long as reading them.
    pub fn close_unused(&self) {
        self.verifier.close_unused();
    }

    /// The whole chunk, and where it begins, of which a part was read just now:
    /// it was hashed for that, and once is enough. Of very large files nothing,
    /// since who reads here and there in them seldom comes back.
    #[must_use]
    pub fn chunk_at_hand(&self, ino: Ino, offset: u64) -> Option<(u64, Bytes)> {
        self.with_declared(ino, |declared| {
            let is_of_use = declared.size <= WHOLE_CHUNKS_MAX;
            let chunk = is_of_use.then(|| self.verifier.chunk_at_hand(declared, offset));
            Ok(chunk.flatten())
        })
        .ok()
        .flatten()
    }

    /// Takes notice that a file is being read from its beginning, and tells
    /// which small files will be read next, by the look of it.
    #[must_use]
    pub fn expect_after(&self, ino: Ino) -> Vec<Ino> {
        self.ahead
            .on_read(ino, |ino| match self.table.get(ino)?.kind() {
                InodeKind::Regular(size) => Some(size),
                _ => None,
            })
    }

    /// All of a small file that nobody has asked for yet. That it is refused is
    /// not logged: who asks for it will hear of it.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_ahead(&self, ino: Ino) -> Result<Bytes, FsError> {
        self.with_declared(ino, |declared| {
            let size = u32::try_from(declared.size).map_err(|_| FsError::WrongKind)?;
            Ok(self.verifier.read(declared, 0, size)?)
        })
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
        let inode = self.inode(ino)?;
        if self.options.introspect {
            let about = About {
                manifest: self.manifest.as_ref(),
                voucher: &self.voucher,
                refusals: self.refusals.count(),
                counters: &|| self.counters(),
                stalls: self.stalls(),
                copies: self.cache.as_ref().map(|cache| &cache.counters),
            };
            if let Some(value) = about.value(name, inode) {
                return Ok(Cow::Owned(value));
            }
        } else if !self.statistics().has_xattrs {
            return Err(FsError::NoXattrsAtAll);
        }
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
    #[must_use]
    pub fn statfs(&self) -> Statfs {
        let statistics = self.statistics();
        Statfs {
            blocks: statistics.bytes.div_ceil(u64::from(Attributes::BLOCK_SIZE)),
            files: statistics.inodes,
        }
    }

    fn with_declared<T>(
        &self,
        ino: Ino,
        work: impl FnOnce(&Declared<'_>) -> Result<T, FsError>,
    ) -> Result<T, FsError> {
        let inode = self.inode(ino)?;
        match (inode.declared(&inode), inode.kind()) {
            (Some(declared), _) => work(&declared),
            (None, InodeKind::Directory(_)) => Err(FsError::IsDirectory),
            (None, _) => Err(FsError::WrongKind),
        }
    }

    fn refuse(&self, error: VerifyError) -> FsError {
        // Whoever owned the reply has taken notice by then.
        if !matches!(error.refused().reason, Reason::Stalled(_)) {
            self.refusals.note(&error);
        }
        FsError::Refused(error)
    }

    fn inode(&self, ino: Ino) -> Result<Inode<'_>, FsError> {
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
