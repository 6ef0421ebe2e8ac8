//! A private copy of a whole file, every byte of which was hashed and matched.
//!
//! Nobody else can write to the copy, before or after. So it is the same whether
//! the bytes are hashed in the buffer from which they are written, or read back
//! from a copy that shares its blocks with the source: what will be read from
//! the copy is what was hashed. The source is never looked at again.

use std::io;
use std::sync::atomic::AtomicU64;

use thiserror::Error;

use crate::source::SourceFile;
use crate::sys::{self, PrivateFile, SealedFile};

use super::declared::Declared;
use super::error::{Reason, VerifyError};
use super::pass::Pass;
use super::verifier::Verifier;

/// Why there is no copy.
#[derive(Debug, Error)]
pub enum CopyError {
    /// The content is not what is declared.
    #[error("{0}")]
    Refused(#[from] VerifyError),
    /// The copy cannot be made, whatever the content is.
    #[error("cannot write a private copy: {0}")]
    Store(#[source] io::Error),
}

impl Verifier {
    /// Fills `to` with the content of a file, all of it checked, and seals it.
    /// `read` counts the bytes that came so far.
    ///
    /// # Errors
    /// See [`CopyError`].
    pub fn copy(
        &self,
        declared: &Declared<'_>,
        to: PrivateFile,
        read: &AtomicU64,
    ) -> Result<SealedFile, CopyError> {
        self.plan(declared)
            .and_then(|plan| {
                let pass = self.pass(declared, plan, read);
                self.files
                    .with(declared, |file| copy_checked(&pass, file, &to))
            })
            .map_err(|reason| VerifyError::new(declared, None, 0..declared.size, reason))?
            .and_then(|()| to.seal())
            .map_err(CopyError::Store)
    }
}

/// Why a pass that copies has failed.
enum Failed {
    Refused(Reason),
    Store(io::Error),
}

impl From<Reason> for Failed {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason)
    }
}

/// The inner error is one of the copy, and no reason to try the source again.
fn copy_checked(
    pass: &Pass<'_>,
    file: &dyn SourceFile,
    to: &PrivateFile,
) -> Result<io::Result<()>, Reason> {
    let declared = pass.declared;
    let cloned = (file.as_fd()).is_some_and(|file| sys::copy::reflink(file, to).is_ok());
    let ready = if cloned {
        match to.size() {
            Ok(found) if found < declared.size => return Err(declared.short(found)),
            Ok(found) if found > declared.size => return Err(declared.long()),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    } else {
        to.reserve(declared.size)
    };
    if ready.is_err() {
        return Ok(ready);
    }
    let copied = if cloned {
        pass.run(|room, offset| to.read_at(room, offset), |_, _| Ok(()))
    } else {
        pass.run(
            |room, offset| file.read_at(room, offset),
            |range, piece| to.write_at(piece, range.start).map_err(Failed::Store),
        )
    };
    match copied {
        Ok(()) => Ok(Ok(())),
        Err(Failed::Store(error)) => Ok(Err(error)),
        Err(Failed::Refused(reason)) => Err(reason),
    }
}
