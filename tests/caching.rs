//! What the kernel has been told once, it never asks again; and what is read in
//! order, it hardly asks at all.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use continuity::build::{Options, build};
use continuity::fs::{Filesystem, Presentation};
use continuity::fuse::{Requests, Session};
use continuity::inode::{InodeTable, RootOwner};
use continuity::manifest::Limits;
use continuity::source::DirectorySource;
use continuity::sys::RootDir;
use continuity::sys::mount::{FuseMountOptions, mount_fuse, open_fuse_device, open_place};
use continuity::verify::{self, Verifier};
use tempfile::TempDir;

/// A mount in this process, whose requests can be counted.
struct Counted {
    path: PathBuf,
    requests: Arc<Requests>,
    server: Option<std::thread::JoinHandle<std::io::Result<()>>>,
    _scratch: TempDir,
}

impl Counted {
    fn new(tree: &Path) -> Self {
        let manifest = build(tree, &Options::default()).unwrap().encode();
        let table = InodeTable::build(&manifest, &Limits::default(), RootOwner::default()).unwrap();
        let source = DirectorySource::new(RootDir::open(tree).unwrap());
        let verifier = Verifier::new(Box::new(source), verify::Options::default()).unwrap();
        let filesystem = Filesystem::new(table, verifier, Presentation::default(), None);

        let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = scratch.path().join("mount");
        fs::create_dir(&path).unwrap();
        let device = open_fuse_device().unwrap();
        let options = FuseMountOptions {
            source: "counted".as_ref(),
            subtype: "continuity",
            allow_other: false,
            suid: false,
            dev: false,
            exec: true,
        };
        let mount = mount_fuse(&device, &options).unwrap();
        let session = Session::start(device, Arc::new(filesystem)).unwrap();
        let requests = session.requests();
        let server = std::thread::spawn(|| session.serve());
        mount.attach(open_place(&path).unwrap().as_fd()).unwrap();
        Self {
            path,
            requests,
            server: Some(server),
            _scratch: scratch,
        }
    }

    /// How many requests something makes.
    fn count(&self, work: impl FnOnce(&Path)) -> u64 {
        let before = self.requests.count();
        work(&self.path);
        self.requests.count() - before
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.path)
            .status();
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

/// Looks at everything, in the order in which it is listed, and reads it.
fn read_all(directory: &Path) {
    let mut entries: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            read_all(&path);
        } else if metadata.is_symlink() {
            fs::read_link(&path).unwrap();
        } else {
            assert_eq!(fs::read(&path).unwrap().len() as u64, metadata.size());
        }
    }
    assert!(!directory.join("not there").exists());
}

fn tree(files: usize) -> TempDir {
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for directory in 0..4 {
        let path = scratch.path().join(directory.to_string());
        fs::create_dir(&path).unwrap();
        for file in 0..files {
            fs::write(path.join(format!("{file:05}")), [file as u8; 3000]).unwrap();
        }
        symlink("00000", path.join("link")).unwrap();
    }
    fs::write(scratch.path().join("large"), vec![7; 9 << 20]).unwrap();
    scratch
}

#[test]
fn warm_work_makes_no_request() {
    let tree = tree(300);
    let mount = Counted::new(tree.path());
    assert!(mount.count(read_all) > 0);
    // A kernel that is short of memory forgets, and asks again.
    let warm = (0..5).map(|_| mount.count(read_all)).min();
    assert_eq!(warm, Some(0));
}

/// 1,200 small files, and far fewer reads than that. On a machine that has no
/// time for it the reader may be faster, so the best of some tries counts.
#[test]
fn files_that_are_read_in_order_are_there_before_they_are_asked_for() {
    let tree = tree(300);
    let requests = (0..5)
        .map(|_| Counted::new(tree.path()).count(read_all))
        .min()
        .unwrap();
    assert!(requests < 400, "{requests}");
}
