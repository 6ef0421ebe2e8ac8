//! The operations on content.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::inode::{Ino, InodeKind};
use crate::sys::SealedFile;
use crate::verify::{CopyError, Declared, Reason, VerifyError};

use super::errno::FsError;
use super::filesystem::Filesystem;

/// Up to this size of a file, in bytes, what was hashed of it is given out whole.
const WHOLE_CHUNKS_MAX: u64 = 4 << 30;

impl Filesystem {
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

    /// The same, from the source and from nowhere else, for who wants to know how
    /// that is now. A chunk of which the first part was read in this way is at hand
    /// for its other parts.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_anew(&self, ino: Ino, offset: u64, size: u32) -> Result<Bytes, FsError> {
        self.with_declared(ino, |declared| {
            self.verifier.forget(declared, offset, size);
            Ok(())
        })?;
        self.read(ino, offset, size)
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

    /// Ends what may take long: nobody reads here any more.
    pub fn stop(&self) {
        self.verifier.stop();
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

    fn with_declared<T>(
        &self,
        ino: Ino,
        work: impl FnOnce(&Declared<'_>) -> Result<T, FsError>,
    ) -> Result<T, FsError> {
        let inode = self.inode(ino)?;
        let done = match (inode.declared(&inode), inode.kind()) {
            (Some(declared), _) => work(&declared),
            (None, InodeKind::Directory(_)) => Err(FsError::IsDirectory),
            (None, _) => Err(FsError::WrongKind),
        }?;
        // The view may have ended meanwhile.
        self.is_open().map(|()| done)
    }

    fn refuse(&self, error: VerifyError) -> FsError {
        match error.refused().reason {
            // Whoever owned the reply has taken notice by then; or nobody does.
            Reason::Stalled(_) | Reason::Stopped => {}
            _ => {
                self.refusals.note(&error);
                if self.shutdown.note(&error) {
                    self.stop();
                }
            }
        }
        FsError::Refused(error)
    }
}
