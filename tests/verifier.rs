//! The promise, held against a source that lies at any moment: a read gives the
//! declared bytes or an error, never anything else.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::io::Read;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use continuity::digest::{Algorithm, Digest};
use continuity::path::ManifestPath;
use continuity::source::MemorySource;
use continuity::sys::PrivateDirectory;
use continuity::verify::{ChunksRef, Declared, FileId, Options, Reason, Verifier, Whole};
use proptest::prelude::*;

/// A file that is declared in every way that there is.
struct File {
    path: ManifestPath,
    content: Vec<u8>,
    digests: Vec<Digest>,
    chunk_digests: Vec<u8>,
    ends: Vec<u64>,
    largest: u64,
    has_chunks: bool,
}

/// How the content of a file is declared.
#[derive(Clone, Copy, Debug)]
enum Way {
    Whole,
    WholeTwice,
    Fixed(usize),
    Lengths(usize),
}

impl File {
    fn new(content: Vec<u8>, way: Way) -> Self {
        let mut ends = Vec::new();
        let mut chunk_digests = Vec::new();
        let mut largest = 0;
        let chunk_size = match way {
            Way::Fixed(size) | Way::Lengths(size) => size,
            Way::Whole | Way::WholeTwice => 1,
        };
        let has_chunks = matches!(way, Way::Fixed(_) | Way::Lengths(_));
        if has_chunks {
            let mut begin = 0;
            while begin < content.len() {
                // Lengths: each chunk a byte longer than the one before.
                let longer = if matches!(way, Way::Lengths(_)) {
                    ends.len()
                } else {
                    0
                };
                let end = (begin + chunk_size + longer).min(content.len());
                largest = largest.max((end - begin) as u64);
                chunk_digests.extend(Algorithm::Sha256.hash(&content[begin..end]).as_raw());
                ends.push(end as u64);
                begin = end;
            }
        }
        if let Way::Fixed(size) = way {
            ends.clear();
            largest = size as u64;
        }
        let digests = match way {
            Way::Whole => vec![Algorithm::Sha256.hash(&content)],
            Way::WholeTwice => vec![
                Algorithm::Sha512.hash(&content),
                Algorithm::Blake3.hash(&content),
            ],
            Way::Fixed(_) | Way::Lengths(_) => vec![],
        };
        Self {
            path: ManifestPath::parse(b"/file").unwrap(),
            content,
            digests,
            chunk_digests,
            ends,
            largest,
            has_chunks,
        }
    }

    fn declared(&self) -> Declared<'_> {
        Declared {
            id: FileId(7),
            path: &self.path,
            size: self.content.len() as u64,
            whole: Whole::Many(&self.digests),
            chunks: self.has_chunks.then_some(ChunksRef {
                algorithm: Algorithm::Sha256,
                digests: &self.chunk_digests,
                largest: self.largest,
                ends: &self.ends,
            }),
        }
    }

    fn wanted(&self, offset: u64, size: u32) -> &[u8] {
        let length = self.content.len();
        let begin = (offset as usize).min(length);
        &self.content[begin..(begin + size as usize).min(length)]
    }
}

/// Sizes that make every file large and every cache too small, and the usual.
fn all_options() -> [Options; 3] {
    let usual = Options::default();
    let tiny = Options {
        small_file_max: 0,
        block_cache: 0,
        table_cache: 0,
        open_files: 1,
        ..usual
    };
    let evicting = Options {
        block_cache: 300 * 1024,
        ..Options {
            table_cache: usual.table_cache,
            ..tiny
        }
    };
    [usual, tiny, evicting]
}

fn ways() -> impl Strategy<Value = Way> {
    prop_oneof![
        Just(Way::Whole),
        Just(Way::WholeTwice),
        (1..70_000_usize).prop_map(Way::Fixed),
        (1..70_000_usize).prop_map(Way::Lengths),
    ]
}

/// What a backing can do to a file.
#[derive(Clone, Debug)]
enum Tamper {
    Flip(usize, u8),
    Truncate(usize),
    Grow(Vec<u8>),
    Swap(usize, usize),
    Remove,
    Repair,
}

fn tampers() -> impl Strategy<Value = Tamper> {
    prop_oneof![
        (any::<usize>(), 0..8_u8).prop_map(|(at, bit)| Tamper::Flip(at, bit)),
        any::<usize>().prop_map(Tamper::Truncate),
        prop::collection::vec(any::<u8>(), 1..9).prop_map(Tamper::Grow),
        (any::<usize>(), any::<usize>()).prop_map(|(one, two)| Tamper::Swap(one, two)),
        Just(Tamper::Remove),
        Just(Tamper::Repair),
    ]
}

fn tamper(content: &[u8], tamper: &Tamper) -> Option<Vec<u8>> {
    let mut content = content.to_vec();
    let length = content.len().max(1);
    match tamper {
        Tamper::Flip(at, bit) => content.get_mut(at % length).map(|byte| *byte ^= 1 << bit)?,
        Tamper::Truncate(at) => content.truncate(at % length),
        Tamper::Grow(more) => content.extend(more),
        Tamper::Swap(one, two) if !content.is_empty() => content.swap(one % length, two % length),
        Tamper::Swap(..) | Tamper::Repair => {}
        Tamper::Remove => return None,
    }
    Some(content)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// With files of several pieces, of which the last may be a short one.
    #[test]
    fn a_copy_is_the_declared_bytes_or_none(
        seed in any::<u8>(),
        size in prop_oneof![0..9000_usize, Just(1 << 20), 1_000_000..3_300_000_usize],
        way in ways(),
        change in tampers(),
    ) {
        let content: Vec<u8> = (0..size).map(|i| (i / 251) as u8 ^ (i as u8) ^ seed).collect();
        let file = File::new(content, way);
        for options in all_options() {
            let source = MemorySource::default();
            if let Some(content) = tamper(&file.content, &change) {
                source.write(file.path.clone(), content);
            }
            let verifier = Verifier::new(Box::new(source), options).unwrap();
            let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            let directory = PrivateDirectory::open(scratch.path()).unwrap();
            let read = AtomicU64::new(0);
            match verifier.copy(&file.declared(), directory.create().unwrap(), &read) {
                Ok(copy) => {
                    let mut copy = std::fs::File::from(copy.as_fd().try_clone_to_owned().unwrap());
                    let mut found = Vec::new();
                    copy.read_to_end(&mut found).unwrap();
                    prop_assert!(found == file.content);
                }
                Err(error) => prop_assert!(
                    !matches!(change, Tamper::Repair),
                    "a good file is refused: {error}"
                ),
            }
        }
    }

    #[test]
    fn a_read_gives_the_declared_bytes_or_an_error(
        seed in any::<u8>(),
        size in 0..400_000_usize,
        way in ways(),
        steps in prop::collection::vec((tampers(), any::<u32>(), 0..200_000_u32), 1..12),
    ) {
        let content: Vec<u8> = (0..size).map(|i| (i / 251) as u8 ^ (i as u8) ^ seed).collect();
        let file = File::new(content, way);
        for options in all_options() {
            let source = MemorySource::default();
            source.write(file.path.clone(), file.content.clone());
            let verifier = Verifier::new(Box::new(source.clone()), options).unwrap();
            for (change, offset, length) in &steps {
                match tamper(&file.content, change) {
                    Some(content) => source.write(file.path.clone(), content),
                    None => source.remove(&file.path),
                }
                let offset = u64::from(*offset) % (size as u64 + 10);
                match verifier.read(&file.declared(), offset, *length) {
                    Ok(bytes) => prop_assert!(bytes == file.wanted(offset, *length)),
                    Err(error) => prop_assert!(
                        !matches!(change, Tamper::Repair),
                        "a repaired file is refused: {error}"
                    ),
                }
            }
        }
    }
}

/// Readers of all kinds of blocks while another thread changes the file without
/// a pause: wrong bytes are never seen, and both outcomes happen.
#[test]
fn no_wrong_byte_under_live_flipping() {
    for way in [Way::Whole, Way::Fixed(65_536), Way::Lengths(1000)] {
        for options in all_options() {
            let content: Vec<u8> = (0..700_001_u32).map(|i| (i % 253) as u8).collect();
            let file = File::new(content, way);
            let source = MemorySource::default();
            source.write(file.path.clone(), file.content.clone());
            let verifier = Verifier::new(Box::new(source.clone()), options).unwrap();
            let done = AtomicBool::new(false);
            let (right, refused) = (AtomicU64::new(0), AtomicU64::new(0));
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let mut at = 0;
                    while !done.load(Ordering::Relaxed) {
                        let mut content = file.content.clone();
                        at = (at + 7919) % content.len();
                        content[at] ^= 0x10;
                        source.write(file.path.clone(), content);
                        std::thread::yield_now();
                        source.write(file.path.clone(), file.content.clone());
                        std::thread::yield_now();
                    }
                });
                let readers: Vec<_> = (0..4_u64)
                    .map(|reader| {
                        let (file, verifier) = (&file, &verifier);
                        let (right, refused) = (&right, &refused);
                        scope.spawn(move || {
                            for step in 0..60_u64 {
                                let offset = (step * 104_729 + reader * 31) % 700_001;
                                match verifier.read(&file.declared(), offset, 50_000) {
                                    Ok(bytes) => {
                                        assert!(bytes == file.wanted(offset, 50_000));
                                        right.fetch_add(1, Ordering::Relaxed);
                                    }
                                    Err(_) => {
                                        refused.fetch_add(1, Ordering::Relaxed);
                                    }
                                }
                            }
                        })
                    })
                    .collect();
                for reader in readers {
                    reader.join().unwrap();
                }
                done.store(true, Ordering::Relaxed);
            });
            assert_eq!(right.into_inner() + refused.into_inner(), 240);
        }
    }
}

#[test]
fn says_why_it_refuses() {
    let content = vec![1; 300_000];
    let options = all_options()[1];
    let read = |file: &File, backing: Option<Vec<u8>>| {
        let source = MemorySource::default();
        if let Some(backing) = backing {
            source.write(file.path.clone(), backing);
        }
        let verifier = Verifier::new(Box::new(source), options).unwrap();
        verifier.read(&file.declared(), 200_000, 10).unwrap_err()
    };
    let whole = File::new(content.clone(), Way::Whole);
    let mut changed = content.clone();
    changed[5] = 2;
    let error = read(&whole, Some(changed.clone()));
    assert!(
        matches!(error.refused().reason, Reason::Digest(_)),
        "{error}"
    );
    let (wanted, found) = (
        Algorithm::Sha256.hash(&content),
        Algorithm::Sha256.hash(&changed),
    );
    assert_eq!(
        error.to_string(),
        format!(
            "event=refused reason=digest_mismatch path=\"/file\" ino=7 off=0 len=300000 want={wanted} got={found}"
        )
    );
    let error = read(&whole, Some(content[1..].to_vec()));
    assert!(matches!(
        error.refused().reason,
        Reason::Short {
            wanted: 300_000,
            found: 299_999
        }
    ));
    let error = read(&whole, Some([&content[..], &[1]].concat()));
    assert!(matches!(
        error.refused().reason,
        Reason::Long { wanted: 300_000 }
    ));
    assert_eq!(
        read(&whole, None).refused().reason.word().as_str(),
        "backing_missing"
    );

    // Of a file with a chunk table only what is read has to be right.
    let chunked = File::new(content.clone(), Way::Fixed(1000));
    let source = MemorySource::default();
    source.write(chunked.path.clone(), changed);
    let verifier = Verifier::new(Box::new(source), options).unwrap();
    assert!(verifier.read(&chunked.declared(), 1000, 5).is_ok());
    assert!(verifier.read(&chunked.declared(), 0, 1).is_err());
    assert!(verifier.read(&chunked.declared(), 999, 2).is_err());

    let mut naked = File::new(content.clone(), Way::Whole);
    naked.digests.clear();
    let error = read(&naked, Some(content));
    assert_eq!(error.refused().reason.word().as_str(), "digest_unsupported");
}

/// After the pass that checked the whole of a large file, a block that is
/// exchanged for another block of the same file is still noticed.
#[test]
fn a_private_table_knows_which_block_is_which() {
    let block = 128 * 1024;
    let content: Vec<u8> = (0..3 * block).map(|i| (i / block) as u8).collect();
    let file = File::new(content.clone(), Way::Whole);
    let source = MemorySource::default();
    source.write(file.path.clone(), content.clone());
    let options = Options {
        small_file_max: 0,
        block_cache: 0,
        ..Options::default()
    };
    let verifier = Verifier::new(Box::new(source.clone()), options).unwrap();
    assert!(verifier.read(&file.declared(), 0, 10).is_ok());
    let swapped = [
        &content[block..2 * block],
        &content[..block],
        &content[2 * block..],
    ]
    .concat();
    source.write(file.path.clone(), swapped);
    let error = verifier.read(&file.declared(), 0, 10).unwrap_err();
    assert_eq!(error.refused().reason.word().as_str(), "content_changed");
    assert!(
        verifier
            .read(&file.declared(), 2 * block as u64, 10)
            .is_ok()
    );
    source.write(file.path.clone(), content);
    assert!(verifier.read(&file.declared(), 0, 10).is_ok());
}
