//! Whether two declarations of content are the same.

use crate::attributes::{Attribute, AttributeSet};
use crate::digest::Digest;
use crate::manifest::{ChunkTable, Chunks, Content};

use super::finding::{BadChunks, Change, Sides};

/// Says in what two contents differ. Where the sizes do, nothing else needs to
/// be told.
///
/// There must be a digest by the same algorithm on both sides, or chunks that
/// were cut and hashed alike; every such pair must match. Two digests of one
/// algorithm on one side never match anything but themselves.
pub(super) fn compare(
    wanted: &Content,
    found: &Content,
    attributes: &AttributeSet,
    changes: &mut Vec<Change>,
) {
    if wanted.size != found.size && attributes.has(Attribute::Size) {
        changes.push(Change::Size(Sides {
            wanted: wanted.size,
            found: found.size,
        }));
        return;
    }
    if !attributes.has(Attribute::Content) || wanted == found {
        return;
    }
    let digests = compare_digests(&wanted.digests, &found.digests);
    let chunks = match (&wanted.chunks, &found.chunks) {
        (Some(one), Some(other)) => compare_chunks(one, other),
        _ => Compared::Nothing,
    };
    match (digests, chunks) {
        (Compared::Nothing, Compared::Nothing) => changes.push(Change::NoDigest),
        (digests, chunks) => {
            changes.extend(digests.different());
            changes.extend(chunks.different());
        }
    }
}

enum Compared {
    /// There is nothing on both sides.
    Nothing,
    Same,
    Different(Change),
}

impl Compared {
    fn different(self) -> Option<Change> {
        match self {
            Self::Different(change) => Some(change),
            Self::Nothing | Self::Same => None,
        }
    }
}

fn compare_digests(wanted: &[Digest], found: &[Digest]) -> Compared {
    let has_pair = |one: &Digest, others: &[Digest]| {
        others
            .iter()
            .any(|other| other.algorithm() == one.algorithm())
    };
    let mut pairs = wanted.iter().filter(|one| has_pair(one, found)).peekable();
    if pairs.peek().is_none() {
        return Compared::Nothing;
    }
    let mut reverse = found.iter().filter(|one| has_pair(one, wanted));
    if pairs.all(|one| found.contains(one)) && reverse.all(|one| wanted.contains(one)) {
        return Compared::Same;
    }
    Compared::Different(Change::Digest(Sides {
        wanted: wanted.to_vec(),
        found: found.to_vec(),
    }))
}

fn compare_chunks(wanted: &ChunkTable, found: &ChunkTable) -> Compared {
    if (wanted.algorithm, &wanted.chunks) != (found.algorithm, &found.chunks) {
        return Compared::Nothing;
    }
    let size = wanted.algorithm.size();
    let one = wanted.digests.chunks_exact(size);
    let other = found.digests.chunks_exact(size);
    let count = one.len().max(other.len()) as u64;
    // What only one side has, differs.
    let unpaired = one.len().abs_diff(other.len()) as u64;
    let paired = one.len().min(other.len());
    let mut bad = one
        .zip(other)
        .enumerate()
        .filter(|(_, (wanted, found))| wanted != found)
        .map(|(index, _)| index);
    let first = bad.next();
    let bad = u64::from(first.is_some()) + bad.count() as u64 + unpaired;
    if bad == 0 {
        return Compared::Same;
    }
    Compared::Different(Change::Chunks(BadChunks {
        bad,
        count,
        offset: offset_of(first.unwrap_or(paired), &wanted.chunks),
    }))
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
    use crate::digest::Algorithm;

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

    fn content(digests: &[Digest], chunks: Option<ChunkTable>) -> Content {
        Content {
            size: 5,
            digests: digests.to_vec(),
            unknown_digests: Vec::new(),
            chunks,
        }
    }

    /// It is the same whichever side is first.
    fn changes(one: &Content, other: &Content) -> Vec<Change> {
        let compare = |one: &Content, other: &Content| {
            let mut changes = Vec::new();
            super::compare(one, other, &AttributeSet::all(), &mut changes);
            changes
        };
        let changes = compare(one, other);
        let reversed = compare(other, one).into_iter().map(Change::reversed);
        assert_eq!(changes, reversed.collect::<Vec<_>>());
        changes
    }

    #[test]
    fn every_digest_that_both_have_must_match() {
        let [good, bad] = [b"12345", b"54321"].map(|data| Algorithm::Sha256.hash(data));
        let [sha512, blake3] = [Algorithm::Sha512, Algorithm::Blake3].map(|a| a.hash(b"12345"));
        let is_same = |one: &[Digest], other: &[Digest]| {
            changes(&content(one, None), &content(other, None)).is_empty()
        };
        assert!(is_same(&[good], &[good]));
        assert!(is_same(&[good, sha512], &[good, blake3]));
        assert!(is_same(&[good, good], &[good]));
        assert!(is_same(&[good, bad], &[good, bad]));
        assert!(is_same(&[], &[]));
        assert!(!is_same(&[good], &[bad]));
        assert!(!is_same(&[good, bad], &[good]));
        assert!(!is_same(&[sha512, good], &[sha512, bad]));
    }

    #[test]
    fn nothing_in_common_is_no_match() {
        let sha256 = Algorithm::Sha256.hash(b"12345");
        let sha512 = Algorithm::Sha512.hash(b"12345");
        let one = content(&[sha256], None);
        for other in [
            content(&[sha512], None),
            content(&[], Some(table(Chunks::Fixed(5), &[b"12345"]))),
            Content {
                unknown_digests: vec!["md5:827ccb0eea8a706c4c34a16891f84e7b".into()],
                ..content(&[], None)
            },
        ] {
            assert_eq!(changes(&one, &other), [Change::NoDigest], "{other:?}");
        }
    }

    #[test]
    fn chunks_that_were_cut_alike_must_match_too() {
        let digest = Algorithm::Sha256.hash(b"12345");
        let with = |chunks, parts: &[&[u8]]| content(&[digest], Some(table(chunks, parts)));
        let good = with(Chunks::Fixed(2), &[b"12", b"34", b"5"]);
        let bad = |bad, count, offset| {
            let chunks = BadChunks { bad, count, offset };
            vec![Change::Chunks(chunks)]
        };
        let other = with(Chunks::Fixed(2), &[b"12", b"43", b""]);
        assert_eq!(changes(&good, &other), bad(2, 3, 2));
        let short = with(Chunks::Fixed(2), &[b"12", b"34"]);
        assert_eq!(changes(&good, &short), bad(1, 3, 4));
        // The digest of the whole is all that they have in common.
        let elsewhere = with(Chunks::Fixed(3), &[b"123", b"45"]);
        assert_eq!(changes(&good, &elsewhere), []);
        let lengths = || Chunks::Lengths(vec![1, 3, 1]);
        assert_eq!(
            changes(
                &with(lengths(), &[b"1", b"234", b"5"]),
                &with(lengths(), &[b"1", b"234", b"6"])
            ),
            bad(1, 3, 4)
        );
        let alone = |last: &[u8]| content(&[], Some(table(Chunks::Fixed(3), &[b"123", last])));
        assert_eq!(changes(&alone(b"45"), &alone(b"45")), []);
        assert_eq!(changes(&alone(b"45"), &alone(b"46")), bad(1, 2, 3));
    }

    #[test]
    fn of_files_of_different_sizes_only_that_is_told() {
        let one = content(&[Algorithm::Sha256.hash(b"12345")], None);
        let other = Content {
            size: 6,
            ..content(&[], None)
        };
        let sizes = Sides {
            wanted: 5,
            found: 6,
        };
        assert_eq!(changes(&one, &other), [Change::Size(sizes)]);
    }
}
