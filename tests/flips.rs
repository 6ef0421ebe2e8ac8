//! Bits of the backing are flipped: all of them, one after the other; at random, on a
//! real mount; and while others read. Nobody ever gets a wrong byte, and every flip is
//! an I/O error of whoever reads it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod figures;
mod mounted;
mod tree;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use continuity::digest::Algorithm;
use continuity::fs::{Filesystem, Presentation};
use continuity::inode::{Ino, InodeTable, RootOwner};
use continuity::manifest::{
    ChunkTable, Chunks, Content, Form, Kind, Limits, Manifest, Metadata, Resource,
};
use continuity::mode::FileMode;
use continuity::path::ManifestPath;
use continuity::source::{ContentRef, Source, SourceError, SourceFile};
use continuity::verify::{Options, Verifier};
use tempfile::TempDir;

use figures::{Dice, Run, amount, grouped};
use mounted::Mount;
use tree::{build, scratch};

const PAGE: usize = 4096;
const CHUNK: usize = 65536;
const EIO: i32 = 5;

/// A file in memory, whose bits can be flipped.
#[derive(Clone, Debug)]
struct Flipped(Arc<Mutex<Vec<u8>>>);

impl Flipped {
    fn flip(&self, bit: usize) {
        self.0.lock().unwrap()[bit / 8] ^= 1 << (bit % 8);
    }
}

impl Source for Flipped {
    fn open(&self, _: &ContentRef<'_>) -> Result<Box<dyn SourceFile>, SourceError> {
        Ok(Box::new(self.clone()))
    }
}

impl SourceFile for Flipped {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.0.lock().unwrap();
        let rest = &bytes[bytes.len().min(offset as usize)..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

/// How a file is declared.
#[derive(Clone, Copy, Debug)]
enum Declared {
    /// By one digest, and checked as a whole.
    Whole,
    /// By a table of chunks of a page.
    Chunks,
    /// By one digest, and checked by a private table.
    Table,
}

fn filesystem(content: &[u8], declared: Declared, source: Flipped) -> (Filesystem, Ino) {
    let chunks = ChunkTable {
        algorithm: Algorithm::Blake3,
        chunks: Chunks::Fixed(PAGE as u64),
        digests: content
            .chunks(PAGE)
            .flat_map(|chunk| Algorithm::Blake3.hash(chunk).as_raw().to_vec())
            .collect(),
    };
    let is_chunked = matches!(declared, Declared::Chunks);
    let manifest = Manifest {
        resources: vec![Resource {
            paths: vec![ManifestPath::parse(b"/file").unwrap()],
            metadata: Metadata::new(FileMode::from_stat(0o100_644).unwrap()),
            kind: Kind::Regular(Content {
                size: content.len() as u64,
                digests: vec![Algorithm::Sha256.hash(content)],
                chunks: is_chunked.then_some(chunks),
                ..Content::default()
            }),
            carried: None,
        }],
        ..Manifest::default()
    };
    let bytes = manifest.encode(Form::Full).unwrap();
    let table = InodeTable::build(&bytes, &Limits::default(), RootOwner::default()).unwrap();
    let options = Options {
        small_file_max: match declared {
            Declared::Whole => 1 << 20,
            Declared::Chunks | Declared::Table => 0,
        },
        block_cache: 0,
        ..Options::default()
    };
    let verifier = Verifier::new(Box::new(source), options).unwrap();
    let filesystem = Filesystem::new(table, verifier, Presentation::default(), None);
    let ino = filesystem.lookup(Ino::ROOT, b"file").unwrap().ino;
    (filesystem, ino)
}

/// Flips one bit in so many of a file, one after the other, and gives how many.
fn flip_all(content: &[u8], declared: Declared, step: usize) -> u64 {
    let source = Flipped(Arc::new(Mutex::new(content.to_vec())));
    let (filesystem, ino) = filesystem(content, declared, source.clone());
    let read = |page: usize| filesystem.read(ino, (page * PAGE) as u64, PAGE as u32);
    let mut flips = 0;
    for page in 0..content.len() / PAGE {
        let declared = &content[page * PAGE..][..PAGE];
        assert_eq!(read(page).unwrap(), declared);
        for bit in (page * PAGE * 8..(page + 1) * PAGE * 8).step_by(step) {
            source.flip(bit);
            let error = read(page).unwrap_err();
            assert_eq!(error.errno().raw_os_error(), EIO);
            source.flip(bit);
            flips += 1;
        }
        assert_eq!(read(page).unwrap(), declared);
    }
    assert_eq!(filesystem.counters().refused.len(), 1);
    flips
}

/// A MiB: most of it in chunks of a page, and some in files of other kinds, for each
/// flip costs what such a file costs.
#[test]
fn every_bit_of_a_mebibyte() {
    let run = Run::begin("single-bit flips of a 1 MiB backing, in process");
    // A prime, so that all bits of a byte have their turn.
    let step = if figures::is_long() {
        (1 << 23) / amount(1 << 23, 1) as usize
    } else {
        997
    };
    let content = Dice(1).bytes(1 << 20);
    let (chunked, rest) = content.split_at((1 << 20) - 4 * 16384);
    let (whole, table) = rest.split_at(2 * 16384);
    let work: Vec<(&[u8], Declared)> = chunked
        .chunks(16 * PAGE)
        .map(|part| (part, Declared::Chunks))
        .chain(whole.chunks(PAGE).map(|part| (part, Declared::Whole)))
        .chain(table.chunks(16384).map(|part| (part, Declared::Table)))
        .collect();
    let next = AtomicU64::new(0);
    let flips = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((part, declared)) =
                    work.get(next.fetch_add(1, Ordering::Relaxed) as usize)
                {
                    let done = flip_all(part, *declared, step);
                    flips.fetch_add(done, Ordering::Relaxed);
                }
            });
        }
    });
    let flips = flips.load(Ordering::Relaxed);
    assert!(flips >= (1 << 23) / step as u64);
    run.tell(format!("{} flips, all refused with EIO", grouped(flips)));
}

/// A tree of which each file is declared in another way, and its mount.
struct Scene {
    scratch: TempDir,
    files: Vec<(String, Vec<u8>)>,
    mount: Mount,
}

impl Scene {
    fn new(options: &str) -> Self {
        let scratch = scratch();
        let tree = scratch.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let mut dice = Dice(2);
        let mut files = vec![("chunked".to_owned(), dice.bytes(40 * CHUNK))];
        files.extend((0..20).map(|number| (format!("small{number}"), dice.bytes(2 * PAGE))));
        for (name, content) in &files {
            fs::write(tree.join(name), content).unwrap();
        }
        let manifest = build(
            &scratch,
            &tree,
            &["--chunk-threshold=1000000", "--chunk-size=65536"],
        );
        let mount = Mount::with(&manifest, &tree, &["-o", options]);
        Self {
            scratch,
            files,
            mount,
        }
    }

    fn backing(&self, name: &str) -> PathBuf {
        self.scratch.path().join("tree").join(name)
    }

    /// Open for changes in the backing, and for reading past the page cache.
    fn open(&self, name: &str) -> (File, File) {
        let mut options = File::options();
        let backing = options.read(true).write(true).open(self.backing(name));
        let flags = rustix::fs::OFlags::DIRECT.bits().cast_signed();
        let mut options = File::options();
        let ours = options.read(true).custom_flags(flags);
        (backing.unwrap(), ours.open(self.mount.join(name)).unwrap())
    }
}

fn flip(backing: &File, bit: u64) {
    let mut byte = [0];
    backing.read_exact_at(&mut byte, bit / 8).unwrap();
    byte[0] ^= 1 << (bit % 8);
    backing.write_all_at(&byte, bit / 8).unwrap();
}

/// A page of a file, past what the kernel and the worker have at hand.
fn read_page(file: &File, page: u64) -> io::Result<[u8; PAGE]> {
    let mut bytes = [0; PAGE];
    file.read_exact_at(&mut bytes, page * PAGE as u64)?;
    Ok(bytes)
}

#[test]
fn random_bits_through_the_mount() {
    let run = Run::begin("random flips through the mount");
    let flips = amount(1_000_000, 2000);
    let scene = Scene::new("block_cache=0");
    let open: Vec<_> = (scene.files.iter())
        .map(|(name, content)| (scene.open(name), content))
        .collect();
    let mut dice = Dice(3);
    for number in 0..flips {
        let ((backing, ours), content) = &open[dice.below(open.len() as u64) as usize];
        let bit = dice.below(content.len() as u64 * 8);
        let page = bit / 8 / PAGE as u64;
        flip(backing, bit);
        let error = read_page(ours, page).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(EIO), "bit {bit}");
        flip(backing, bit);
        if number % 8 == 0 {
            let read = read_page(ours, page).unwrap();
            assert_eq!(read, content[page as usize * PAGE..][..PAGE]);
        }
    }
    drop(open);
    assert!(scene.mount.unmount().success());
    run.tell(format!("{} flips, all refused with EIO", grouped(flips)));
}

#[test]
fn bits_that_are_flipped_while_others_read() {
    const READERS: u64 = 4;
    let run = Run::begin("reads of what is being flipped");
    let reads = amount(2_000_000, 4000);
    let scene = Scene::new("block_cache=0");
    let done = AtomicBool::new(false);
    let (left, refused, given) = (AtomicU64::new(reads), AtomicU64::new(0), AtomicU64::new(0));
    let flips = thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|reader| {
                let (scene, left, refused, given) = (&scene, &left, &refused, &given);
                scope.spawn(move || {
                    let open: Vec<_> = (scene.files.iter())
                        .map(|(name, content)| (scene.open(name).1, content))
                        .collect();
                    let mut dice = Dice(reader);
                    let take = |left: u64| left.checked_sub(1);
                    let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
                    while left.fetch_update(set, get, take).is_ok() {
                        let (file, content) = &open[dice.below(open.len() as u64) as usize];
                        let page = dice.below((content.len() / PAGE) as u64);
                        match read_page(file, page) {
                            Ok(read) => {
                                let declared = &content[page as usize * PAGE..][..PAGE];
                                assert!(read == declared, "wrong bytes");
                                given.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(error) => {
                                assert_eq!(error.raw_os_error(), Some(EIO));
                                refused.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                })
            })
            .collect();
        let flipping = scope.spawn(|| {
            let open: Vec<_> = (scene.files.iter())
                .map(|(name, content)| (scene.open(name).0, content.len() as u64))
                .collect();
            let mut dice = Dice(99);
            let mut flips = 0_u64;
            while !done.load(Ordering::Relaxed) {
                // A few at once, so that there is always something wrong somewhere.
                let bits: Vec<_> = (0..8)
                    .map(|_| {
                        let file = dice.below(open.len() as u64) as usize;
                        (file, dice.below(open[file].1 * 8))
                    })
                    .collect();
                for _ in 0..2 {
                    for (file, bit) in &bits {
                        flip(&open[*file].0, *bit);
                        flips += 1;
                    }
                    thread::yield_now();
                }
            }
            flips
        });
        for reader in readers {
            let read = reader.join();
            done.fetch_or(read.is_err(), Ordering::Relaxed);
            read.unwrap();
        }
        done.store(true, Ordering::Relaxed);
        flipping.join().unwrap()
    });
    let (refused, given) = (refused.into_inner(), given.into_inner());
    assert!(refused > 0 && given > 0, "{refused} refused, {given} given");
    assert_eq!(refused + given, reads);
    assert!(scene.mount.unmount().success());
    run.tell(format!(
        "{} reads, {} flips: {} right, {} EIO, none wrong",
        grouped(reads),
        grouped(flips),
        grouped(given),
        grouped(refused)
    ));
}
