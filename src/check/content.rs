//! Compares the content of a regular file with all that is declared of it.

use crate::attributes::{Attribute, AttributeSet};
use crate::digest::Algorithm;
use crate::manifest::{ChunkTable, Chunks, Content};
use crate::path::ManifestPath;
use crate::progress::Progress;
use crate::sys::{RootDir, Stat};
use crate::tree::{Hashes, ReadError, Wanted, hash};

use super::finding::Difference;

/// Reads the file once, and not at all when its size tells enough.
pub(super) fn compare(
    root: &RootDir,
    path: &ManifestPath,
    stat: &Stat,
    wanted: &Content,
    attributes: &AttributeSet,
    progress: &Progress,
) -> Result<Vec<Difference>, ReadError> {
    if stat.size != wanted.size && attributes.has(Attribute::Size) {
        return Ok(vec![Difference::Size {
            path: path.clone(),
            found: stat.size,
            wanted: wanted.size,
        }]);
    }
    if !attributes.has(Attribute::Content) {
        return Ok(Vec::new());
    }
    if wanted.digests.is_empty() && wanted.chunks.is_none() {
        return Ok(vec![Difference::NoDigest(path.clone())]);
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
    let hashes = read(root, path, stat, &request, progress)?;
    Ok(judge(path, hashes, wanted))
}

/// Reads once more what changed meanwhile, but not for ever.
fn read(
    root: &RootDir,
    path: &ManifestPath,
    stat: &Stat,
    wanted: &Wanted<'_>,
    progress: &Progress,
) -> Result<Hashes, ReadError> {
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

fn judge(path: &ManifestPath, hashes: Hashes, wanted: &Content) -> Vec<Difference> {
    let mut differences = Vec::new();
    let bad_chunks = wanted
        .chunks
        .as_ref()
        .and_then(|table| compare_chunks(path, &hashes.chunks, table));
    // Every one must match, and so two of one algorithm never do.
    if !wanted
        .digests
        .iter()
        .all(|one| hashes.digests.contains(one))
    {
        differences.push(Difference::Digest {
            path: path.clone(),
            found: hashes.digests,
            wanted: wanted.digests.clone(),
        });
    }
    differences.extend(bad_chunks);
    differences
}

fn compare_chunks(path: &ManifestPath, found: &[u8], table: &ChunkTable) -> Option<Difference> {
    let size = table.algorithm.size();
    let wanted = table.digests.chunks_exact(size);
    let count = wanted.len() as u64;
    let mut bad = wanted
        .zip(found.chunks_exact(size))
        .enumerate()
        .filter(|(_, (wanted, found))| wanted != found)
        .map(|(index, _)| index);
    let first = bad.next()?;
    Some(Difference::Chunks {
        path: path.clone(),
        bad: 1 + bad.count() as u64,
        count,
        offset: offset_of(first, &table.chunks),
    })
}

/// Where a chunk begins.
fn offset_of(index: usize, chunks: &Chunks) -> u64 {
    match chunks {
        Chunks::Fixed(size) => size.saturating_mul(index as u64),
        Chunks::Lengths(lengths) => lengths.iter().take(index).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn table(chunks: Chunks, parts: &[&[u8]]) -> ChunkTable {
        ChunkTable {
            algorithm: Algorithm::Sha256,
            chunks,
            digests: parts
                .iter()
                .flat_map(|part| Algorithm::Sha256.hash(part).as_raw().to_vec())
                .collect(),
        }
    }

    /// Of a file that holds `12345`.
    fn differences(wanted: &Content) -> Vec<String> {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("f"), "12345").unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        let path = ManifestPath::parse(b"/f").unwrap();
        let stat = root.stat(path.relative()).unwrap();
        let differences = compare(
            &root,
            &path,
            &stat,
            wanted,
            &AttributeSet::all(),
            &Progress::default(),
        )
        .unwrap();
        differences.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_digest_must_match() {
        let [good, other] = [b"12345", b"54321"].map(|data| Algorithm::Sha256.hash(data));
        let sha512 = Algorithm::Sha512.hash(b"12345");
        for (digests, same) in [
            (vec![good], true),
            (vec![sha512], true),
            (vec![good, good], true),
            (vec![sha512, good], true),
            (vec![good, other], false),
            (vec![sha512, other], false),
        ] {
            let content = Content {
                size: 5,
                digests,
                ..Content::default()
            };
            assert_eq!(differences(&content).is_empty(), same, "{content:?}");
        }
    }

    #[test]
    fn nothing_known_is_no_match() {
        let content = Content {
            size: 5,
            unknown_digests: vec!["md5:827ccb0eea8a706c4c34a16891f84e7b".into()],
            ..Content::default()
        };
        assert_eq!(
            differences(&content),
            [r#"resource "/f" has no digest that can be checked"#]
        );
    }

    #[test]
    fn the_chunk_table_must_match_too() {
        let good = Content {
            size: 5,
            digests: vec![Algorithm::Sha256.hash(b"12345")],
            chunks: Some(table(Chunks::Fixed(2), &[b"12", b"34", b"5"])),
            ..Content::default()
        };
        assert_eq!(differences(&good), [""; 0]);
        for (bad, shown) in [
            (
                table(Chunks::Fixed(2), &[b"12", b"43", b""]),
                r#"chunks of resource "/f" do not match: 2 of 3, the first at byte 2"#,
            ),
            (
                table(Chunks::Lengths(vec![1, 3, 1]), &[b"1", b"234", b"6"]),
                r#"chunks of resource "/f" do not match: 1 of 3, the first at byte 4"#,
            ),
        ] {
            let chunks = Some(bad);
            let content = Content {
                chunks,
                ..good.clone()
            };
            assert_eq!(differences(&content), [shown]);
        }
    }

    #[test]
    fn chunks_alone_can_vouch() {
        let chunks = |parts: &[&[u8]]| Content {
            size: 5,
            chunks: Some(table(Chunks::Fixed(3), parts)),
            ..Content::default()
        };
        assert_eq!(differences(&chunks(&[b"123", b"45"])), [""; 0]);
        assert_eq!(differences(&chunks(&[b"123", b"46"])).len(), 1);
    }
}
