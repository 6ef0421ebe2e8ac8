//! The mount beside the tree that it serves, in wall time.
//!
//! Only ratios within one run mean something: each round does every work on the
//! tree itself, on a fresh mount (cold), on the tree again, and on the same
//! mount again (warm). What the source has is in the page cache throughout.
//!
//! `cargo bench --bench mount -- --files 100000 --large-mib 2048 --rounds 5`
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark fails by panicking"
)]

mod common;
#[path = "../tests/mounted/mod.rs"]
mod mounted;

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::{build_manifest, median, noise, number, print_machine, timed};
use mounted::Mount;

const SMALL_SIZE: usize = 4096;
const FILES_PER_DIRECTORY: u64 = 1000;
const STRIDE: usize = 1 << 20;
const RANDOM_SIZE: usize = 4096;
const RANDOM_READS: u64 = 2000;

/// A tree, and two manifests of it.
struct Tree {
    root: PathBuf,
    /// Digests of chunks.
    full: PathBuf,
    /// Nothing but the digest of the whole.
    compat: PathBuf,
    small: Vec<PathBuf>,
    large_size: u64,
}

/// One kind of work.
struct Work {
    name: &'static str,
    /// Whether it is done with the manifest that has no digests of chunks.
    compat: bool,
    run: fn(&Tree, &Path),
    bytes: fn(&Tree) -> u64,
}

const WORKS: [Work; 9] = [
    Work {
        name: "stat all",
        compat: false,
        run: stat_all,
        bytes: |_| 0,
    },
    Work {
        name: "list all",
        compat: false,
        run: list_all,
        bytes: |_| 0,
    },
    Work {
        name: "open and close all",
        compat: false,
        run: open_all,
        bytes: |_| 0,
    },
    Work {
        name: "read all, found by walking",
        compat: false,
        run: read_found,
        bytes: |tree| (tree.small.len() * SMALL_SIZE) as u64,
    },
    Work {
        name: "read all, from a list of paths",
        compat: false,
        run: read_listed,
        bytes: |tree| (tree.small.len() * SMALL_SIZE) as u64,
    },
    Work {
        name: "large file, chunks",
        compat: false,
        run: read_large,
        bytes: |tree| tree.large_size,
    },
    Work {
        name: "large file, one digest",
        compat: true,
        run: read_large,
        bytes: |tree| tree.large_size,
    },
    Work {
        name: "2000 × 4 KiB at random, chunks",
        compat: false,
        run: read_random,
        bytes: |_| 0,
    },
    Work {
        name: "2000 × 4 KiB at random, one digest",
        compat: true,
        run: read_random,
        bytes: |_| 0,
    },
];

fn main() {
    let rounds = number("--rounds", 5);
    let scratch = common::scratch();
    let tree = make(
        scratch.path(),
        number("--files", 20_000),
        number("--large-mib", 512) << 20,
    );
    print_machine();
    println!(
        "{} files of {SMALL_SIZE} bytes, one of {} MiB, medians of {rounds} rounds\n",
        tree.small.len(),
        tree.large_size >> 20
    );
    println!("| work | native | mount, cold | × native | mount, warm | × native |");
    println!("|---|---:|---:|---:|---:|---:|");
    let only = std::env::var("BENCH_ONLY").unwrap_or_default();
    for work in WORKS.iter().filter(|work| work.name.contains(&only)) {
        measure(&tree, work, rounds);
    }
}

fn measure(tree: &Tree, work: &Work, rounds: u64) {
    let manifest = if work.compat {
        &tree.compat
    } else {
        &tree.full
    };
    let (mut native, mut cold, mut warm) = (Vec::new(), Vec::new(), Vec::new());
    (work.run)(tree, &tree.root);
    for _ in 0..rounds {
        native.push(timed(|| (work.run)(tree, &tree.root)).0);
        let mount = Mount::new(manifest, &tree.root);
        cold.push(timed(|| (work.run)(tree, mount.path())).0);
        native.push(timed(|| (work.run)(tree, &tree.root)).0);
        warm.push(timed(|| (work.run)(tree, mount.path())).0);
        assert!(mount.unmount().success());
    }
    let native = median(native);
    let bytes = (work.bytes)(tree);
    let [cold, warm] = [cold, warm].map(|times| {
        let time = median(times);
        let ratio = time.as_secs_f64() / native.as_secs_f64();
        format!("{} | {ratio:.2}", show(time, bytes))
    });
    println!(
        "| {} | {} | {cold} | {warm} |",
        work.name,
        show(native, bytes)
    );
}

fn show(time: Duration, bytes: u64) -> String {
    let seconds = time.as_secs_f64();
    match bytes {
        0 => format!("{seconds:.4} s"),
        bytes => format!("{seconds:.4} s, {:.0} MB/s", bytes as f64 / 1e6 / seconds),
    }
}

fn make(scratch: &Path, files: u64, large_size: u64) -> Tree {
    let root = scratch.join("tree");
    let mut small = Vec::new();
    for number in 0..files {
        let directory = root.join(format!("small/d{:04}", number / FILES_PER_DIRECTORY));
        if number % FILES_PER_DIRECTORY == 0 {
            fs::create_dir_all(&directory).unwrap();
        }
        let path = directory.join(format!("file-{number:07}.txt"));
        let content: Vec<u8> = noise(number).take(SMALL_SIZE).collect();
        fs::write(&path, content).unwrap();
        small.push(path.strip_prefix(&root).unwrap().to_owned());
    }
    let mut large = BufWriter::new(File::create(root.join("large")).unwrap());
    // A block of noise with its number in front: fast to make, and no two are
    // the same.
    let block: Vec<u8> = noise(1 << 40).take(STRIDE - 8).collect();
    for number in 0..large_size / STRIDE as u64 {
        large.write_all(&number.to_le_bytes()).unwrap();
        large.write_all(&block).unwrap();
    }
    large.flush().unwrap();
    drop(large);
    // Nothing should be written while we measure.
    assert!(Command::new("sync").status().unwrap().success());
    let tree = Tree {
        full: scratch.join("full"),
        compat: scratch.join("compat"),
        root,
        small,
        large_size,
    };
    build_manifest(&tree.root, &tree.full, &[]);
    build_manifest(&tree.root, &tree.compat, &["--compat"]);
    tree
}

/// As find(1) with a test of the size.
fn stat_all(tree: &Tree, root: &Path) {
    let mut size = 0;
    walk(&root.join("small"), &mut |entry| {
        size += fs::symlink_metadata(entry.path()).unwrap().len();
    });
    assert!(size >= (tree.small.len() * SMALL_SIZE) as u64);
}

/// As find(1).
fn list_all(tree: &Tree, root: &Path) {
    let mut count = 0;
    walk(&root.join("small"), &mut |_| count += 1);
    assert!(count >= tree.small.len());
}

fn walk(directory: &Path, visit: &mut impl FnMut(&fs::DirEntry)) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        visit(&entry);
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), visit);
        }
    }
}

fn open_all(tree: &Tree, root: &Path) {
    for path in &tree.small {
        drop(File::open(root.join(path)).unwrap());
    }
}

/// As grep(1) with `-r`.
fn read_found(tree: &Tree, root: &Path) {
    let mut buffer = vec![0; 64 * 1024];
    let mut size = 0;
    walk(&root.join("small"), &mut |entry| {
        if entry.file_type().unwrap().is_file() {
            size += drain(&mut File::open(entry.path()).unwrap(), &mut buffer);
        }
    });
    assert_eq!(size, (tree.small.len() * SMALL_SIZE) as u64);
}

/// As a program that knows what it wants; no directory is read.
fn read_listed(tree: &Tree, root: &Path) {
    let mut buffer = vec![0; 64 * 1024];
    for path in &tree.small {
        let size = drain(&mut File::open(root.join(path)).unwrap(), &mut buffer);
        assert_eq!(size, SMALL_SIZE as u64);
    }
}

/// As cat(1).
fn read_large(tree: &Tree, root: &Path) {
    let mut buffer = vec![0; STRIDE];
    let size = drain(&mut File::open(root.join("large")).unwrap(), &mut buffer);
    assert_eq!(size, tree.large_size);
}

fn drain(file: &mut File, buffer: &mut [u8]) -> u64 {
    let mut size = 0;
    loop {
        match file.read(buffer).unwrap() {
            0 => return size,
            count => size += count as u64,
        }
    }
}

fn read_random(tree: &Tree, root: &Path) {
    let file = File::open(root.join("large")).unwrap();
    let mut buffer = vec![0; RANDOM_SIZE];
    let pages = (tree.large_size / RANDOM_SIZE as u64).max(1);
    let mut place: u64 = 1;
    for _ in 0..RANDOM_READS {
        // Knuth's MMIX generator; its high bits are the good ones.
        place = place
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let offset = (place >> 24) % pages * RANDOM_SIZE as u64;
        file.read_exact_at(&mut buffer, offset).unwrap();
    }
}
