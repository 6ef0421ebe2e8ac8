//! Hashes of a file, of the kinds that something is to be compared with.

use std::fs::File;

use crate::digest::Algorithm;
use crate::manifest::{ChunkTable, Content};
use crate::path::ManifestPath;
use crate::progress::Progress;
use crate::sys::{RootDir, Stat};
use crate::tree::{Hashes, ReadError, Wanted, hash, read_open};

/// A file of a directory, of which stat(2) said this.
#[derive(Clone, Copy, Debug)]
pub(super) struct RealFile<'a> {
    pub root: &'a RootDir,
    pub path: &'a ManifestPath,
    pub stat: &'a Stat,
    /// The file itself, where it is open for reading already.
    pub open: Option<&'a File>,
}

/// The content of a file by the algorithms, and by the chunks, of another
/// content; `None` where that has nothing to compare with.
pub(super) fn like(
    wanted: &Content,
    file: RealFile<'_>,
    progress: &Progress,
) -> Result<Option<Content>, ReadError> {
    if wanted.digests.is_empty() && wanted.chunks.is_none() {
        return Ok(None);
    }
    let mut algorithms: Vec<Algorithm> = wanted.digests.iter().map(|d| d.algorithm()).collect();
    algorithms.sort_unstable();
    algorithms.dedup();
    let request = Wanted {
        algorithms: &algorithms,
        chunks: wanted
            .chunks
            .as_ref()
            .map(|table| (table.algorithm, &table.chunks)),
    };
    let is_wanted = |hashes: &Hashes| {
        let chunks = wanted.chunks.as_ref().map(|table| &*table.digests);
        let is_digest = |digest| wanted.digests.contains(digest);
        hashes.digests.iter().all(is_digest) && hashes.chunks == chunks.unwrap_or_default()
    };
    let hashes = read(file, &request, is_wanted, progress)?;
    Ok(Some(Content {
        size: file.stat.size,
        digests: hashes.digests,
        unknown_digests: Vec::new(),
        chunks: wanted.chunks.as_ref().map(|table| ChunkTable {
            digests: hashes.chunks,
            algorithm: table.algorithm,
            chunks: table.chunks.clone(),
        }),
    }))
}

/// The content of a file by the fastest algorithm, which only we need to know.
pub(super) fn fast(file: RealFile<'_>, progress: &Progress) -> Result<Content, ReadError> {
    let request = Wanted {
        algorithms: &[Algorithm::Blake3],
        chunks: None,
    };
    Ok(Content {
        size: file.stat.size,
        digests: read(file, &request, |_| false, progress)?.digests,
        ..Content::default()
    })
}

/// Reads once more what changed meanwhile, but not for ever.
///
/// What was read of one open file and matches what it should be was in it;
/// only where it does not can a change be to blame.
fn read(
    file: RealFile<'_>,
    wanted: &Wanted<'_>,
    is_wanted: impl Fn(&Hashes) -> bool,
    progress: &Progress,
) -> Result<Hashes, ReadError> {
    let RealFile {
        root,
        path,
        stat,
        open,
    } = file;
    let first = match open {
        None => hash(root, path, stat, wanted, progress),
        Some(open) => read_open(open, stat.size, wanted, progress).and_then(|hashes| {
            if is_wanted(&hashes) || Stat::of(open)?.is_unchanged(stat) {
                return Ok(hashes);
            }
            progress.take_back_bytes(stat.size);
            Err(ReadError::Changed)
        }),
    };
    match first {
        Err(ReadError::Changed) => {
            let now = root.stat(path.relative())?;
            if !now.is_same_file(stat) || now.size != stat.size {
                return Err(ReadError::Changed);
            }
            hash(root, path, &now, wanted, progress)
        }
        hashes => hashes,
    }
}
