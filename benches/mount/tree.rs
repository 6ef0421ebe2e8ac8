//! The tree that is mounted, and three manifests of it.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{build_manifest, noise};

pub const SMALL_SIZE: u64 = 4096;
const FILES_PER_DIRECTORY: u64 = 1000;
const STRIDE: usize = 1 << 20;
/// How many files there are in `many`.
pub const MANY: u64 = 64;

/// What vouches for the content of large files.
#[derive(Clone, Copy, PartialEq)]
pub enum Vouches {
    /// A chunk table, as `continuity build` makes it.
    Chunks,
    /// A chunk table of SHA-256.
    Sha256Chunks,
    /// One digest of the whole.
    OneDigest,
}

/// Where the files of a work are, below the root.
#[derive(Clone, Copy)]
pub enum Part {
    /// Small files, 1000 in a directory.
    Small,
    /// One large file.
    Large,
    /// Two files of half its size.
    Halves,
    /// [`MANY`] files which together have its size.
    Many,
}

impl Part {
    pub fn names(self) -> Vec<String> {
        match self {
            Self::Small => Vec::new(),
            Self::Large => vec!["large".to_owned()],
            Self::Halves => (0..2).map(|number| format!("halves/{number}")).collect(),
            Self::Many => (0..MANY).map(|number| format!("many/{number}")).collect(),
        }
    }
}

pub struct Tree {
    pub root: PathBuf,
    manifests: PathBuf,
    /// The small files, below the root.
    pub small: Vec<PathBuf>,
    /// In bytes.
    pub large_size: u64,
}

impl Tree {
    pub fn make(scratch: &Path, files: u64, large_size: u64) -> Self {
        let root = scratch.join("tree");
        let mut small = Vec::new();
        for number in 0..files {
            let directory = root.join(format!("small/d{:04}", number / FILES_PER_DIRECTORY));
            if number % FILES_PER_DIRECTORY == 0 {
                fs::create_dir_all(&directory).unwrap();
            }
            let path = directory.join(format!("file-{number:07}.txt"));
            let content: Vec<u8> = noise(number).take(SMALL_SIZE as usize).collect();
            fs::write(&path, content).unwrap();
            small.push(path.strip_prefix(&root).unwrap().to_owned());
        }
        for directory in ["halves", "many"] {
            fs::create_dir(root.join(directory)).unwrap();
        }
        let mut seed = 0;
        for part in [Part::Large, Part::Halves, Part::Many] {
            let names = part.names();
            for name in &names {
                seed += 1;
                large(&root.join(name), seed, large_size / names.len() as u64);
            }
        }
        // Nothing should be written while we measure.
        assert!(Command::new("sync").status().unwrap().success());
        let tree = Self {
            root,
            manifests: scratch.to_owned(),
            small,
            large_size,
        };
        for (vouches, arguments) in [
            (Vouches::Chunks, &["--chunk-threshold=1048576"][..]),
            (
                Vouches::Sha256Chunks,
                &["--chunk-threshold=1048576", "--chunk-digest=sha256"],
            ),
            (Vouches::OneDigest, &["--compat"]),
        ] {
            build_manifest(&tree.root, &tree.manifest(vouches), arguments);
        }
        tree
    }

    pub fn manifest(&self, vouches: Vouches) -> PathBuf {
        self.manifests.join(match vouches {
            Vouches::Chunks => "chunks",
            Vouches::Sha256Chunks => "sha256-chunks",
            Vouches::OneDigest => "one-digest",
        })
    }

    /// Reads what a work needs, for the system may have dropped it since: what
    /// lies idle in the page cache can be gone within a minute.
    pub fn warm(&self, part: Part) {
        let mut buffer = vec![0; STRIDE];
        if let Part::Small = part {
            for path in &self.small {
                drain(&self.root.join(path), &mut buffer);
            }
        }
        for name in part.names() {
            drain(&self.root.join(name), &mut buffer);
        }
    }
}

/// A block of noise with a number in front of each repetition: fast to make,
/// and no two are the same.
fn large(path: &Path, seed: u64, size: u64) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    let block: Vec<u8> = noise(seed << 40).take(STRIDE - 8).collect();
    for number in 0..size / STRIDE as u64 {
        file.write_all(&number.to_le_bytes()).unwrap();
        file.write_all(&block).unwrap();
    }
    file.flush().unwrap();
}

/// Reads a file to its end, as cat(1) does.
pub fn drain(path: &Path, buffer: &mut [u8]) -> u64 {
    let mut file = File::open(path).unwrap();
    let mut size = 0;
    loop {
        match file.read(buffer).unwrap() {
            0 => return size,
            count => size += count as u64,
        }
    }
}
