//! A whole mount without a kernel, over a source that lies in every way: random trees,
//! declared in random ways, are encoded, decoded, and read at random, while the source
//! changes, shortens, grows and loses files, fails, and claims what it did not do. All
//! of it follows from a seed.
//!
//! What holds for each of them: what is served is what was declared, or an error; a
//! source that was repaired serves everything again; and in the end nothing of it is
//! open.
//!
//! ```text
//! CONTINUITY_SEEDS=N     how many seeds (2000)
//! CONTINUITY_SEED=N      this one alone, and what it does
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use continuity::digest::{Algorithm, Digest};
use continuity::fs::{Filesystem, FsError, Presentation};
use continuity::inode::{Ino, InodeTable, RootOwner};
use continuity::manifest::{
    ChunkTable, Chunks, Content, Form, Kind, Limits, Manifest, Metadata, Resource,
};
use continuity::mode::{FileMode, FileType};
use continuity::path::ManifestPath;
use continuity::source::{ContentRef, Source, SourceError, SourceFile};
use continuity::verify::{Options, Verifier};

/// Numbers that follow from a seed (splitmix64: Steele, Lea and Flood, 2014).
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Less than `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound.max(1)
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// A source that lies as often as it is told to.
#[derive(Clone, Debug)]
struct Liar(Arc<Mutex<Lies>>);

#[derive(Debug)]
struct Lies {
    dice: Dice,
    /// What lies there now.
    files: HashMap<ManifestPath, Vec<u8>>,
    /// One of so many operations goes wrong; none, if 0.
    one_in: u64,
    open: usize,
    trace: bool,
}

impl Lies {
    fn lies(&mut self) -> bool {
        self.one_in > 0 && self.dice.one_in(self.one_in)
    }

    fn say(&self, what: std::fmt::Arguments<'_>) {
        if self.trace {
            println!("{what}");
        }
    }

    /// Changes a file in some way.
    fn change(&mut self, path: &ManifestPath) {
        let Self { dice, files, .. } = self;
        let Some(content) = files.get_mut(path) else {
            return;
        };
        let length = content.len() as u64;
        let what = match dice.below(6) {
            0 if length > 0 => {
                let place = dice.below(length) as usize;
                content[place] ^= 1 << dice.below(8);
                "one bit"
            }
            1 if length > 0 => {
                let place = dice.below(length) as usize;
                content.truncate(place);
                "shorter"
            }
            2 => {
                let more = 1 + dice.below(200_000) as usize;
                content.resize(content.len() + more, dice.roll() as u8);
                "longer"
            }
            3 if length > 1 => {
                let place = dice.below(length) as usize;
                content.rotate_left(place);
                "moved"
            }
            4 => {
                content.clear();
                "empty"
            }
            _ => {
                content.fill(0);
                "zeros"
            }
        };
        self.say(format_args!("source: {path:?}: {what}"));
    }
}

impl Source for Liar {
    fn open(&self, content: &ContentRef<'_>) -> Result<Box<dyn SourceFile>, SourceError> {
        let mut lies = self.0.lock().unwrap();
        if lies.lies() {
            let error = match lies.dice.below(7) {
                0 => SourceError::Missing,
                1 => SourceError::NotRegular(FileType::Fifo),
                2 => SourceError::Escape,
                3 => SourceError::Denied,
                4 => SourceError::Exhausted,
                5 => SourceError::Size {
                    wanted: content.size,
                    found: lies.dice.roll(),
                },
                // Silence comes to an error in the end.
                _ => SourceError::Io(io::ErrorKind::TimedOut.into()),
            };
            lies.say(format_args!("source: open {:?}: {error}", content.path));
            return Err(error);
        }
        if !lies.files.contains_key(content.path) {
            return Err(SourceError::Missing);
        }
        lies.open += 1;
        Ok(Box::new(LiarFile {
            source: self.clone(),
            path: content.path.clone(),
        }))
    }
}

#[derive(Debug)]
struct LiarFile {
    source: Liar,
    path: ManifestPath,
}

impl SourceFile for LiarFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut lies = self.source.0.lock().unwrap();
        let how = if lies.lies() {
            1 + lies.dice.below(5)
        } else {
            0
        };
        lies.say(format_args!(
            "source: read {:?} {offset} {}: {how}",
            self.path,
            buffer.len()
        ));
        if how == 1 {
            return Err(io::ErrorKind::Other.into());
        }
        if how == 2 {
            // Before the first byte, or while it is being read.
            lies.change(&self.path);
        }
        let Some(content) = lies.files.get(&self.path) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let begin = (offset as usize).min(content.len());
        let end = (begin + buffer.len()).min(content.len());
        let count = end - begin;
        buffer[..count].copy_from_slice(&content[begin..end]);
        match how {
            // Only this once.
            3 if count > 0 => {
                let place = lies.dice.below(count as u64) as usize;
                buffer[place] ^= 1 << lies.dice.below(8);
            }
            4 => return Ok(lies.dice.below(count as u64 + 1) as usize),
            // It claims more than it did.
            5 => return Ok(buffer.len()),
            _ => {}
        }
        Ok(count)
    }
}

impl Drop for LiarFile {
    fn drop(&mut self) {
        self.source.0.lock().unwrap().open -= 1;
    }
}

/// A file as it is declared.
struct File {
    path: ManifestPath,
    content: Vec<u8>,
    /// How much has to be read at once to check anything; all of it is known to be
    /// right, if there is a digest of the whole.
    least: u64,
}

const ALGORITHMS: [Algorithm; 3] = [Algorithm::Sha256, Algorithm::Sha512, Algorithm::Blake3];

fn declare(dice: &mut Dice, content: &[u8]) -> Content {
    let length = content.len() as u64;
    let mut digests: Vec<Digest> = Vec::new();
    let first = dice.below(3);
    for number in 0..dice.pick(&[0, 1, 1, 1, 2]) {
        let algorithm = ALGORITHMS[((first + number) % 3) as usize];
        digests.push(algorithm.hash(content));
    }
    let has_chunks = length > 0 && (digests.is_empty() || dice.one_in(2));
    let chunks = has_chunks.then(|| {
        let algorithm = dice.pick(&ALGORITHMS);
        let size = 1 + dice.pick(&[dice.0 % 100, 4095, 4096 + dice.0 % 5000, 65_535, length + 5]);
        // Not too many of them.
        let size = size.max(length / 64 + 1);
        let mut lengths = Vec::new();
        let mut left = length;
        let is_fixed = dice.one_in(2);
        while left > 0 {
            let next = if is_fixed {
                size
            } else {
                1 + dice.below(2 * size)
            };
            lengths.push(next.min(left));
            left -= next.min(left);
        }
        let mut raw = Vec::new();
        let mut begin = 0;
        for length in &lengths {
            let end = begin + *length as usize;
            raw.extend_from_slice(algorithm.hash(&content[begin..end]).as_raw());
            begin = end;
        }
        ChunkTable {
            algorithm,
            chunks: if is_fixed {
                Chunks::Fixed(size)
            } else {
                Chunks::Lengths(lengths)
            },
            digests: raw,
        }
    });
    Content {
        size: length,
        digests,
        chunks,
        ..Content::default()
    }
}

/// The largest chunk of a file that has nothing but chunks.
fn least(declared: &Content) -> u64 {
    match &declared.chunks {
        Some(table) if declared.digests.is_empty() => match &table.chunks {
            Chunks::Fixed(size) => declared.size.min(*size),
            Chunks::Lengths(lengths) => lengths.iter().copied().max().unwrap_or(0),
        },
        _ => 0,
    }
}

fn fill(dice: &mut Dice) -> Vec<u8> {
    let length = match dice.below(20) {
        0 => 0,
        1..8 => dice.below(100),
        8..16 => dice.below(20_000),
        16..19 => dice.below(150_000),
        _ => 131_072 * dice.below(4) + dice.below(3),
    };
    let mut content = Vec::with_capacity(length as usize + 8);
    // Files that are alike are mistaken for each other more easily.
    let mut words = Dice(dice.below(4));
    while content.len() < length as usize {
        content.extend_from_slice(&words.roll().to_le_bytes());
    }
    content.truncate(length as usize);
    content
}

struct Simulation {
    dice: Dice,
    source: Liar,
    files: Vec<(Ino, File)>,
    filesystem: Filesystem,
    open_files: usize,
    block_max: u64,
    trace: bool,
}

impl Simulation {
    fn new(seed: u64, trace: bool) -> Self {
        let mut dice = Dice(seed);
        let mut files = Vec::new();
        let mut resources = Vec::new();
        for number in 0..1 + dice.below(6) {
            let directory = dice.pick(&["", "/a", "/a/b"]);
            let path = format!("{directory}/file{number}");
            let content = fill(&mut dice);
            let declared = declare(&mut dice, &content);
            let file = File {
                path: ManifestPath::parse(path.as_bytes()).unwrap(),
                least: least(&declared),
                content,
            };
            resources.push(Resource {
                paths: vec![file.path.clone()],
                metadata: Metadata::new(FileMode::from_stat(0o100_644).unwrap()),
                kind: Kind::Regular(declared),
                carried: None,
            });
            files.push(file);
        }
        resources.sort_by(|one, other| one.paths.cmp(&other.paths));
        let manifest = Manifest {
            resources,
            ..Manifest::default()
        };
        let bytes = manifest.encode(Form::Full).unwrap();
        let table = InodeTable::build(&bytes, &Limits::default(), RootOwner::default()).unwrap();
        let source = Liar(Arc::new(Mutex::new(Lies {
            dice: Dice(dice.roll()),
            files: files
                .iter()
                .map(|file| (file.path.clone(), file.content.clone()))
                .collect(),
            one_in: dice.pick(&[2, 4, 10, 50]),
            open: 0,
            trace,
        })));
        let options = Options {
            small_file_max: dice.pick(&[0, 1000, 1 << 20]),
            block_max: dice.pick(&[1, 5000, 16 << 20]),
            block_cache: dice.pick(&[0, 10_000, 200_000, 32 << 20]),
            table_cache: dice.pick(&[0, 100, 16 << 20]),
            open_files: dice.pick(&[1, 2, 128]),
            patience: None,
        };
        let verifier = Verifier::new(Box::new(source.clone()), options).unwrap();
        let filesystem = Filesystem::new(table, verifier, Presentation::default(), None);
        let files = files.into_iter().map(|file| {
            let ino = file
                .path
                .as_bytes()
                .split(|byte| *byte == b'/')
                .filter(|name| !name.is_empty())
                .fold(Ino::ROOT, |directory, name| {
                    filesystem.lookup(directory, name).unwrap().ino
                });
            let found = filesystem.getattr(ino).unwrap();
            assert_eq!(found.size, file.content.len() as u64);
            (ino, file)
        });
        Self {
            files: files.collect(),
            dice,
            source,
            filesystem,
            open_files: options.open_files,
            block_max: options.block_max,
            trace,
        }
    }

    fn run(mut self) {
        let mut refused = 0;
        for _ in 0..30 {
            refused += u64::from(!self.step());
        }
        assert!(refused <= 30);
        self.repair();
        let open = self.source.0.lock().unwrap().open;
        self.filesystem.close_unused();
        assert!(!self.filesystem.has_unused());
        let kept = self.source.0.lock().unwrap().open;
        assert!(
            kept <= open && kept <= self.open_files,
            "{kept} files are open"
        );
        drop(self.filesystem);
        assert_eq!(
            self.source.0.lock().unwrap().open,
            0,
            "files are open in the end"
        );
    }

    /// Does something; tells whether it was not refused.
    fn step(&mut self) -> bool {
        let place = self.dice.below(self.files.len() as u64) as usize;
        let (ino, file) = &self.files[place];
        let (ino, length) = (*ino, file.content.len() as u64);
        if self.dice.one_in(10) {
            let mut lies = self.source.0.lock().unwrap();
            match self.dice.below(3) {
                0 => drop(lies.files.remove(&file.path)),
                1 => lies.change(&file.path),
                _ => drop(lies.files.insert(file.path.clone(), file.content.clone())),
            }
        }
        let offset = match self.dice.below(4) {
            0 => 0,
            1 => self.dice.roll() >> self.dice.below(64),
            _ => self.dice.below(length + 2),
        };
        let size = match self.dice.below(3) {
            0 => 4096,
            1 => self.dice.below(length + 10) as u32,
            _ => 1 << self.dice.below(21),
        };
        let begin = usize::try_from(offset).unwrap().min(file.content.len());
        let end = begin.saturating_add(size as usize).min(file.content.len());
        let wanted = &file.content[begin..end];
        let what = self.dice.below(12);
        if self.trace {
            println!("{what}: {:?} {offset} {size}", file.path);
        }
        let result = match what {
            0 => self.filesystem.prepare(ino, &AtomicU64::new(0)),
            1 => {
                if let Some(found) = self.filesystem.at_hand(ino, offset, size) {
                    assert!(found == wanted, "at hand");
                }
                Ok(())
            }
            2 => {
                if let Some((begin, chunk)) = self.filesystem.chunk_at_hand(ino, offset) {
                    let begin = begin as usize;
                    assert!(chunk == file.content[begin..begin + chunk.len()], "chunk");
                }
                Ok(())
            }
            3 => self.filesystem.read_ahead(ino).map(|found| {
                assert!(found == file.content, "read ahead");
            }),
            4 => {
                self.filesystem.close_unused();
                Ok(())
            }
            _ => self
                .filesystem
                .read(ino, offset, size)
                .map(|found| assert!(found == wanted, "read")),
        };
        match result {
            Ok(()) => true,
            Err(FsError::Refused(error)) => {
                if self.trace {
                    println!("{error}");
                }
                false
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// The source is as it should be again: everything can be read, at once.
    fn repair(&self) {
        let mut lies = self.source.0.lock().unwrap();
        lies.one_in = 0;
        for (_, file) in &self.files {
            lies.files.insert(file.path.clone(), file.content.clone());
        }
        drop(lies);
        for (ino, file) in &self.files {
            let found = self.filesystem.read(*ino, 0, u32::MAX);
            if file.least <= self.block_max {
                assert!(found.unwrap() == file.content, "after it was repaired");
            } else {
                assert!(found.is_err(), "nothing can vouch for it");
            }
        }
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn a_source_that_lies_is_found_out() {
    if let Some(seed) = setting("CONTINUITY_SEED") {
        return Simulation::new(seed, true).run();
    }
    let seeds = setting("CONTINUITY_SEEDS").unwrap_or(2000);
    let next = AtomicU64::new(0);
    let failed = AtomicBool::new(false);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds || failed.load(Ordering::Relaxed) {
                        return;
                    }
                    let run = AssertUnwindSafe(|| Simulation::new(seed, false).run());
                    if catch_unwind(run).is_err() {
                        failed.store(true, Ordering::Relaxed);
                        eprintln!("seed {seed} fails; to see it: CONTINUITY_SEED={seed}");
                    }
                }
            });
        }
    });
    assert!(!failed.into_inner());
}
