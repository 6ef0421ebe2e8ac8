//! Work on large files.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use continuity::digest::{Algorithm, Hasher};

use crate::common::timed;
use crate::tree::{Part, Tree, drain};

const STRIDE: usize = 1 << 20;
const RANDOM_SIZE: usize = 4096;
const RANDOM_READS: u64 = 2000;

/// As cat(1).
pub fn read(tree: &Tree, root: &Path) -> Duration {
    read_side_by_side(tree, root, Part::Large)
}

pub fn read_halves(tree: &Tree, root: &Path) -> Duration {
    read_side_by_side(tree, root, Part::Halves)
}

pub fn read_many(tree: &Tree, root: &Path) -> Duration {
    read_side_by_side(tree, root, Part::Many)
}

/// A reader for each file.
fn read_side_by_side(tree: &Tree, root: &Path, part: Part) -> Duration {
    let names = part.names();
    let size = tree.large_size / names.len() as u64;
    let read = |name: &str| {
        let mut buffer = vec![0; STRIDE.min(size as usize)];
        assert_eq!(drain(&root.join(name), &mut buffer), size);
    };
    timed(|| match &names[..] {
        [name] => read(name),
        names => thread::scope(|scope| {
            for name in names {
                scope.spawn(|| read(name));
            }
        }),
    })
    .0
}

/// What nobody who checks a digest of the whole can be faster than, with one
/// thread.
pub fn hash(_: &Tree, root: &Path) -> Duration {
    let file = File::open(root.join("large")).unwrap();
    let mut buffer = vec![0; 128 << 10];
    timed(|| {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let mut offset = 0;
        loop {
            match file.read_at(&mut buffer, offset).unwrap() {
                0 => return hasher.finish(),
                count => {
                    hasher.update(&buffer[..count]);
                    offset += count as u64;
                }
            }
        }
    })
    .0
}

pub fn read_random(tree: &Tree, root: &Path) -> Duration {
    let file = File::open(root.join("large")).unwrap();
    let mut buffer = vec![0; RANDOM_SIZE];
    let pages = (tree.large_size / RANDOM_SIZE as u64).max(1);
    let mut place: u64 = 1;
    timed(|| {
        for _ in 0..RANDOM_READS {
            // Knuth's MMIX generator; its high bits are the good ones.
            place = place
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let offset = (place >> 24) % pages * RANDOM_SIZE as u64;
            file.read_exact_at(&mut buffer, offset).unwrap();
        }
    })
    .0
}
