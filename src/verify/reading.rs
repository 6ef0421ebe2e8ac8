//! Reading from the source, into buffers of ours.

use std::io;

use crate::source::SourceFile;

use super::buffers::{Buffer, Buffers};
use super::declared::Declared;
use super::error::Reason;

/// Up to `length` bytes, in a buffer that nobody else can reach.
pub(super) fn read_block(
    buffers: &Buffers,
    file: &dyn SourceFile,
    offset: u64,
    length: u64,
) -> Result<Buffer, Reason> {
    let length = usize::try_from(length).map_err(|error| Reason::Io(io::Error::other(error)))?;
    let mut block = buffers.take(length);
    let read = file.read_at(block.as_mut_slice(), offset);
    block.truncate(read.map_err(Reason::Io)?);
    Ok(block)
}

/// Exactly these bytes of a file.
pub(super) fn read_exact(
    buffers: &Buffers,
    declared: &Declared<'_>,
    file: &dyn SourceFile,
    offset: u64,
    length: u64,
) -> Result<Buffer, Reason> {
    let block = read_block(buffers, file, offset, length)?;
    if (block.len() as u64) < length {
        return Err(declared.short(offset.saturating_add(block.len() as u64)));
    }
    Ok(block)
}
