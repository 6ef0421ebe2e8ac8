//! Writes the content of one file, as far as it is what the manifest declares.

use std::io::{self, Write};

use thiserror::Error;

use crate::escape::Escaped;
use crate::inode::{InodeTable, ResolveError};
use crate::mode::FileType;
use crate::path::ManifestPath;
use crate::verify::{Reason, Verifier, VerifyError};

/// How much is read at once, in bytes; as large as a chunk that `build` makes.
const STEP: u32 = 1 << 20;

/// Why a file was not written, or only its beginning.
#[derive(Debug, Error)]
pub enum CatError {
    /// The path leads nowhere.
    #[error("{:?}: {error}", Escaped(.path))]
    Resolve {
        /// The path, as it was given.
        path: Box<[u8]>,
        /// Why.
        #[source]
        error: ResolveError,
    },
    /// The path leads to something that has no content.
    #[error("{0:?} is a {1}, not a regular file")]
    NotRegular(ManifestPath, FileType),
    /// What follows is not what the manifest declares, or cannot be read.
    #[error("{path:?} is refused{}: {reason}", After(*.offset), path = .refused.refused().path, reason = .refused.refused().reason)]
    Refused {
        /// How many bytes were written before.
        offset: u64,
        /// Which block, and why.
        refused: VerifyError,
    },
    /// The output does not take it.
    #[error("cannot write")]
    Output(#[source] io::Error),
}

impl CatError {
    /// Why the content was refused, if that is what happened.
    #[must_use]
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Refused { refused, .. } => Some(&refused.refused().reason),
            _ => None,
        }
    }
}

/// Where it went wrong, unless that was at the beginning.
struct After(u64);

impl std::fmt::Display for After {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            0 => Ok(()),
            offset => write!(f, " from byte {offset} on"),
        }
    }
}

/// Writes the file that `path` leads to, and tells how many bytes it has.
/// Nothing is written that was not hashed, and found to match, in the buffer
/// that it is written from. Symlinks are followed as in [`InodeTable::resolve`].
///
/// # Errors
/// See [`CatError`]. What was written before it matched too.
pub fn cat(
    table: &InodeTable,
    verifier: &Verifier,
    path: &[u8],
    out: &mut impl Write,
) -> Result<u64, CatError> {
    let inode = table.resolve(path).map_err(|error| CatError::Resolve {
        path: Box::from(path),
        error,
    })?;
    let path = inode.path();
    let Some(declared) = inode.declared(&path) else {
        return Err(CatError::NotRegular(path, inode.mode().file_type()));
    };
    let mut offset = 0;
    while offset < declared.size {
        let bytes = verifier
            .read(&declared, offset, STEP)
            .map_err(|refused| CatError::Refused { offset, refused })?;
        out.write_all(&bytes).map_err(CatError::Output)?;
        offset += bytes.len() as u64;
    }
    Ok(offset)
}
