//! Hashes of a file, of the kinds that something is to be compared with.

use crate::digest::Algorithm;
use crate::manifest::{ChunkTable, Content};
use crate::path::ManifestPath;
use crate::progress::Progress;
use crate::sys::{RootDir, Stat};
use crate::tree::{Hashes, ReadError, Wanted, hash};

/// A file of a directory, of which stat(2) said this.
#[derive(Clone, Copy, Debug)]
pub(super) struct RealFile<'a> {
    pub root: &'a RootDir,
    pub path: &'a ManifestPath,
    pub stat: &'a Stat,
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
    let hashes = read(file, &request, progress)?;
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
        digests: read(file, &request, progress)?.digests,
        ..Content::default()
    })
}

/// Reads once more what changed meanwhile, but not for ever.
fn read(file: RealFile<'_>, wanted: &Wanted<'_>, progress: &Progress) -> Result<Hashes, ReadError> {
    let RealFile { root, path, stat } = file;
    match hash(root, path, stat, wanted, progress) {
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
