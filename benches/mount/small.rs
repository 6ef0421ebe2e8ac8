//! Work on many small files, from one thread.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use crate::common::timed;
use crate::tree::{SMALL_SIZE, Tree, drain};

/// As find(1).
pub fn list_all(tree: &Tree, root: &Path) -> Duration {
    let mut count = 0;
    let (time, ()) = timed(|| walk(&root.join("small"), &mut |_| count += 1));
    assert!(count >= tree.small.len());
    time
}

/// As find(1) with a test of the size.
pub fn stat_all(tree: &Tree, root: &Path) -> Duration {
    let mut size = 0;
    let (time, ()) = timed(|| {
        walk(&root.join("small"), &mut |entry| {
            size += fs::symlink_metadata(entry.path()).unwrap().len();
        });
    });
    assert!(size >= tree.small.len() as u64 * SMALL_SIZE);
    time
}

pub fn open_all(tree: &Tree, root: &Path) -> Duration {
    timed(|| {
        for path in &tree.small {
            drop(File::open(root.join(path)).unwrap());
        }
    })
    .0
}

/// As grep(1) with `-r`: each file as soon as it is found.
pub fn read_found(tree: &Tree, root: &Path) -> Duration {
    let mut buffer = vec![0; 64 * 1024];
    let mut size = 0;
    let (time, ()) = timed(|| {
        walk(&root.join("small"), &mut |entry| {
            if entry.file_type().unwrap().is_file() {
                size += drain(&entry.path(), &mut buffer);
            }
        });
    });
    assert_eq!(size, tree.small.len() as u64 * SMALL_SIZE);
    time
}

/// As a program that knows what it wants; no directory is read.
pub fn read_listed(tree: &Tree, root: &Path) -> Duration {
    let mut buffer = vec![0; 64 * 1024];
    timed(|| {
        for path in &tree.small {
            assert_eq!(drain(&root.join(path), &mut buffer), SMALL_SIZE);
        }
    })
    .0
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
