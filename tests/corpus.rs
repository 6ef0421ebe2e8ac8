//! The targets of `make fuzz` over their corpora, and over thousands of changes
//! of them that are the same in every run. `CONTINUITY_CHANGES` is how many of
//! each file.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../fuzz/targets.rs"]
mod targets;

use std::fs;
use std::path::Path;

/// Numbers that are the same in every run (xorshift64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Changes some bytes: another value, taken out, put in, doubled, or from another
/// file of the corpus.
fn change(bytes: &[u8], others: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(16)).min(bytes.len());
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            2 => drop(bytes.drain(at..end)),
            3 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            4 => {
                let other = &others[random.below(others.len())];
                let from = random.below(other.len() + 1);
                let part = other[from..(from + 24).min(other.len())].to_vec();
                bytes.splice(at..end, part);
            }
            _ => bytes.insert(at, random.next() as u8),
        }
    }
    bytes
}

fn replay(name: &str, changes: usize) {
    let changes =
        std::env::var("CONTINUITY_CHANGES").map_or(changes, |count| count.parse().unwrap());
    let target = targets::ALL
        .iter()
        .find(|target| target.0 == name)
        .unwrap()
        .1;
    let directory = Path::new("fuzz/corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 3, "{} has few files", directory.display());
    let seeds: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for (seed, file) in seeds.iter().zip(&files) {
        run(target, seed, &|| format!("{}", file.display()));
        for number in 0..changes {
            let bytes = change(seed, &seeds, &mut random);
            run(target, &bytes, &|| {
                format!("{} change {number}", file.display())
            });
        }
    }
}

/// Shows the bytes that made it panic, to be put into the corpus.
fn run(target: fn(&[u8]), bytes: &[u8], what: &dyn Fn() -> String) {
    if let Err(panic) = std::panic::catch_unwind(|| target(bytes)) {
        let shown: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        eprintln!("{}: {shown}", what());
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn decode() {
    replay("decode", 300);
}

#[test]
fn differential() {
    replay("differential", 300);
}

#[test]
fn index() {
    replay("index", 300);
}

#[test]
fn digest() {
    replay("digest", 2000);
}

#[test]
fn options() {
    replay("options", 2000);
}

#[test]
fn mount_options() {
    replay("mount_options", 60);
}

#[test]
fn escape() {
    replay("escape", 2000);
}

#[test]
fn tar() {
    replay("tar", 300);
}

#[test]
fn text() {
    replay("text", 300);
}

#[test]
fn requests() {
    // Each of them is a session with its threads.
    replay("requests", 20);
}

#[test]
fn all_have_a_test() {
    let mut names: Vec<&str> = targets::ALL.iter().map(|target| target.0).collect();
    names.sort_unstable();
    let mut directories: Vec<String> = fs::read_dir("fuzz/corpus")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    directories.sort();
    assert_eq!(names, directories);
}
