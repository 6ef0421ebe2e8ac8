//! What is declared of a regular file's content: its size, digests and chunks.

use crate::digest::{Algorithm, Digest, DigestError};

use super::error::Rule;
use super::extension::{Extension, RecordedChunks};
use super::limits::Limits;
use super::model::{ChunkTable, Chunks, Content};
use super::record::Record;

pub(super) fn read_content(
    record: &Record<'_>,
    extension: &Extension<'_>,
    limits: &Limits,
) -> Result<Content, Rule> {
    if i64::try_from(record.size).is_err() {
        return Err(Rule::Size(record.size));
    }
    let mut content = Content {
        size: record.size,
        ..Content::default()
    };
    for (index, text) in record.digests().enumerate() {
        if index == limits.digests {
            return Err(Rule::Digests(limits.digests));
        }
        match Digest::parse(text) {
            Ok(digest) => {
                // Most have one, and it is large.
                content.digests.reserve_exact(1);
                content.digests.push(digest);
            }
            Err(DigestError::UnknownAlgorithm(_)) => content.unknown_digests.push(text.to_owned()),
            Err(error) => return Err(Rule::Digest(error)),
        }
    }
    content.chunks = read_chunks(record, extension, record.size)?;
    Ok(content)
}

/// The table of a file of `size` bytes; `None` when there is none, or none
/// that we can use.
fn read_chunks(
    record: &Record<'_>,
    extension: &Extension<'_>,
    size: u64,
) -> Result<Option<ChunkTable>, Rule> {
    let Some(table) = extension.chunks else {
        return Ok(None);
    };
    let Some(algorithm) = Algorithm::from_name(table.algorithm) else {
        return Ok(None);
    };
    let count = table.digest.len() / algorithm.size();
    if count * algorithm.size() != table.digest.len() {
        return Err(Rule::Chunks(
            "its digests do not have the algorithm's length",
        ));
    }
    let mut lengths = record.chunk_lengths().peekable();
    let chunks = match (table.chunk_size, lengths.peek()) {
        (0, None) if size == 0 && count == 0 => Chunks::Lengths(Vec::new()),
        (0, None) => return Err(Rule::Chunks("its chunks have no size")),
        (0, Some(_)) => read_lengths(lengths, size, count)?,
        (_, Some(_)) => return Err(Rule::Chunks("it has a chunk size and lengths")),
        (chunk_size, None) => {
            if usize::try_from(size.div_ceil(chunk_size)) != Ok(count) {
                return Err(Rule::Chunks("it has too few digests, or too many"));
            }
            Chunks::Fixed(chunk_size)
        }
    };
    Ok(Some(ChunkTable {
        algorithm,
        chunks,
        digests: table.digest.to_vec(),
    }))
}

fn read_lengths(
    lengths: impl Iterator<Item = u64>,
    size: u64,
    count: usize,
) -> Result<Chunks, Rule> {
    let mut kept = Vec::new();
    let mut sum = 0_u64;
    for length in lengths {
        if length == 0 || kept.len() == count {
            return Err(Rule::Chunks("it has too many lengths, or one of 0"));
        }
        sum = sum
            .checked_add(length)
            .ok_or(Rule::Chunks("its lengths overflow"))?;
        kept.push(length);
    }
    if sum != size || kept.len() != count {
        return Err(Rule::Chunks("its lengths do not add up to the size"));
    }
    Ok(Chunks::Lengths(kept))
}

/// Whether a chunk table is by an algorithm that we know.
pub(super) fn is_usable(table: &RecordedChunks<'_>) -> bool {
    Algorithm::from_name(table.algorithm).is_some()
}
