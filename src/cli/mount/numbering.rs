//! The numbers of the inodes, as the supervisor wants them.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use thiserror::Error;

use crate::cli::Failure;
use crate::inode::{Change, InodeTable, NumbersError, RootOwner};
use crate::manifest::Limits;
use crate::supervisor::{Before, Numbers};

/// Why another manifest cannot take the place of the one that is served.
#[derive(Debug, Error)]
enum FollowError {
    #[error(
        "the manifest that is served was changed in its place, so that what is different cannot be told; replace it by rename(2), or mount anew"
    )]
    Changed,
    #[error(
        "no file of the manifest that is served has extended attributes, and the kernel does not ask for them any more; this one has some: mount it anew (with \"-o introspect\" the kernel asks in any case)"
    )]
    Attributes,
    #[error("the numbers of the inodes cannot be kept")]
    Kept(#[source] io::Error),
    #[error(transparent)]
    Numbers(#[from] NumbersError),
}

/// The descriptors that are needed for that.
pub(super) fn descriptors(numbers: &Numbers) -> Vec<BorrowedFd<'_>> {
    match numbers {
        Numbers::Natural => Vec::new(),
        Numbers::Kept(kept) => vec![kept.as_fd()],
        Numbers::Following(before) => std::iter::once(&before.manifest)
            .chain(&before.numbers)
            .map(AsFd::as_fd)
            .collect(),
    }
}

/// Numbers the inodes of a table, and tells what is different from the one before, if
/// there was one; then `tell` gets the numbers. `can_be_asked` tells whether the kernel
/// asks for extended attributes in any case.
pub(super) fn apply(
    table: InodeTable,
    numbers: Numbers,
    can_be_asked: bool,
    tell: impl FnOnce(&[u8]) -> io::Result<()>,
) -> Result<(InodeTable, Option<Vec<Change>>), Failure> {
    let before = match numbers {
        Numbers::Natural => return Ok((table, None)),
        Numbers::Kept(kept) => {
            let kept = read(&File::from(kept))?;
            return Ok((table.with_numbers(&kept)?, None));
        }
        Numbers::Following(before) => build(before)?,
    };
    if !before.statistics().has_xattrs && table.statistics().has_xattrs && !can_be_asked {
        return Err(FollowError::Attributes.into());
    }
    let (table, changes) = table.follow(&before)?;
    let numbers = table.numbers().unwrap_or_default();
    tell(&numbers).map_err(FollowError::Kept)?;
    Ok((table, Some(changes)))
}

/// The table as it was. Who vouches for it was asked when it began to be served.
fn build(before: Before) -> Result<InodeTable, Failure> {
    let bytes = read(&File::from(before.manifest))?;
    if before.pin.algorithm().hash(&bytes) != before.pin {
        return Err(FollowError::Changed.into());
    }
    // Who owns the root is of no interest: its attributes are told anew.
    let table = InodeTable::build(&bytes, &Limits::default(), RootOwner::default())?;
    drop(bytes);
    Ok(match before.numbers {
        None => table,
        Some(kept) => table.with_numbers(&read(&File::from(kept))?)?,
    })
}

/// All of it, wherever others have read on.
fn read(file: &File) -> Result<Vec<u8>, FollowError> {
    let read = || {
        let size = file.metadata()?.len();
        let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    };
    read().map_err(FollowError::Kept)
}
