//! How often the hot path allocates: not at all for what is at hand, and a
//! known number of times for what has to be read.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;

use allocation_counter::measure;
use continuity::digest::Algorithm;
use continuity::fs::{Filesystem, Presentation};
use continuity::inode::{Ino, InodeTable, RootOwner};
use continuity::manifest::{
    ChunkTable, Chunks, Content, Form, Kind, Limits, Manifest, Metadata, Resource, Xattr,
};
use continuity::mode::FileMode;
use continuity::path::ManifestPath;
use continuity::source::DirectorySource;
use continuity::sys::RootDir;
use continuity::verify::{Options, Verifier};

const CHUNK: usize = 128 << 10;
const LARGE: usize = 4 << 20;
/// Half of the chunks of the large file: what is read in turn is never there.
const BLOCK_CACHE: usize = LARGE / 2;

struct Scene {
    filesystem: Filesystem,
    directory: Ino,
    small: Ino,
    /// BLAKE3 chunks, and SHA-256 ones.
    large: [Ino; 2],
    /// Checked as a whole first.
    whole: Ino,
    _tree: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let tree = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..LARGE).map(|at| (at % 251) as u8).collect();
        let small = &bytes[..4096];
        let chunked = |algorithm| {
            let digests = bytes
                .chunks(CHUNK)
                .flat_map(|chunk| Algorithm::hash(algorithm, chunk).as_raw().to_vec());
            Some(ChunkTable {
                algorithm,
                chunks: Chunks::Fixed(CHUNK as u64),
                digests: digests.collect(),
            })
        };
        let mut resources = Vec::new();
        for (name, content, chunks) in [
            ("/directory/small", small, None),
            ("/large-0", &bytes, chunked(Algorithm::Blake3)),
            ("/large-1", &bytes, chunked(Algorithm::Sha256)),
            ("/whole", &bytes, None),
        ] {
            let path = ManifestPath::parse(name.as_bytes()).unwrap();
            let file = tree.path().join(path.relative());
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
            let mut metadata = Metadata::new(FileMode::from_stat(0o100_644).unwrap());
            metadata.xattrs.push(Xattr {
                name: Box::from(&b"user.comment"[..]),
                value: Box::from(&b"value"[..]),
            });
            resources.push(Resource {
                paths: vec![path],
                metadata,
                kind: Kind::Regular(Content {
                    size: content.len() as u64,
                    digests: vec![Algorithm::Sha256.hash(content)],
                    chunks,
                    ..Content::default()
                }),
                carried: None,
            });
        }
        let manifest = Manifest {
            resources,
            ..Manifest::default()
        };
        let manifest = manifest.encode(Form::Full).unwrap();
        let table = InodeTable::build(&manifest, &Limits::default(), RootOwner::default()).unwrap();
        let source = DirectorySource::new(RootDir::open(tree.path()).unwrap());
        let options = Options {
            block_cache: BLOCK_CACHE,
            ..Options::default()
        };
        let verifier = Verifier::new(Box::new(source), options).unwrap();
        let filesystem = Filesystem::new(table, verifier, Presentation::default(), None);
        let find = |parent, name: &str| filesystem.lookup(parent, name.as_bytes()).unwrap().ino;
        let directory = find(Ino::ROOT, "directory");
        Self {
            directory,
            small: find(directory, "small"),
            large: ["large-0", "large-1"].map(|name| find(Ino::ROOT, name)),
            whole: find(Ino::ROOT, "whole"),
            filesystem,
            _tree: tree,
        }
    }

    /// Page number `page`, counted from the second of each chunk.
    fn read_in_chunk(&self, ino: Ino, chunk: usize) {
        let offset = (chunk * CHUNK % LARGE + 4096) as u64;
        let read = self.filesystem.read(ino, offset, 4096).unwrap();
        assert_eq!(read.len(), 4096);
    }
}

/// How often `work` allocates, once it has been done for a while: maps and
/// buffers have grown by then. `work` is told how often it was done before.
fn allocations(work: impl Fn(usize)) -> u64 {
    let warm = 2 * LARGE / CHUNK;
    (0..warm).for_each(&work);
    let times = 50;
    let counted = measure(|| (warm..warm + times).for_each(&work)).count_total;
    // A queue between threads grows now and then.
    assert!(
        counted % times as u64 <= 2,
        "not the same each time: {counted}"
    );
    counted / times as u64
}

#[test]
fn what_is_at_hand_allocates_nothing() {
    let scene = Scene::new();
    let filesystem = &scene.filesystem;
    let (small, large) = (scene.small, scene.large[0]);
    scene.read_in_chunk(large, 3);
    let hit = allocations(|_| scene.read_in_chunk(large, 3));
    let getattr = allocations(|_| assert_eq!(filesystem.getattr(small).unwrap().ino, small));
    let lookup = allocations(|_| {
        let found = filesystem.lookup(scene.directory, b"small").unwrap();
        assert_eq!(found.ino, small);
    });
    let nothing = allocations(|_| assert!(filesystem.lookup(scene.directory, b"x").is_err()));
    let getxattr = allocations(|_| {
        assert_eq!(
            &*filesystem.getxattr(small, b"user.comment").unwrap(),
            b"value"
        )
    });
    let readdir = allocations(|_| {
        let entries = filesystem.readdir(scene.directory, 0).unwrap();
        assert_eq!(entries.count(), 3);
    });
    assert_eq!((hit, getattr, lookup), (0, 0, 0));
    assert_eq!((nothing, getxattr, readdir), (0, 0, 0));
}

#[test]
fn what_has_to_be_read_allocates_little() {
    let scene = Scene::new();
    let filesystem = &scene.filesystem;
    let [blake3, sha256] = scene
        .large
        .map(|ino| allocations(|number| scene.read_in_chunk(ino, number)));
    let small = allocations(|_| drop(filesystem.read(scene.small, 0, 4096).unwrap()));
    let block = allocations(|number| scene.read_in_chunk(scene.whole, number));
    let run = allocations(|_| drop(filesystem.read(scene.whole, 0, 1 << 20).unwrap()));
    // The flight that others can join, the owner of the buffer's bytes, and the
    // block's place in the cache; the buffer itself was there.
    assert_eq!((blake3, sha256, block), (3, 3, 3));
    // The owner of the buffer's bytes: what is read past blocks is not kept.
    assert_eq!(run, 1);
    // The flight, a buffer and its owner; and to open a file, three times for its
    // path, its digests, and what is open.
    assert_eq!(small, 8);
}
