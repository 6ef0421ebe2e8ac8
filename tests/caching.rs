//! What the kernel has been told once, it never asks again; and what is read in
//! order, it hardly asks at all.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use continuity::build::{Options, build};
use continuity::fs::{Filesystem, Presentation};
use continuity::fuse::{Requests, Session};
use continuity::inode::{InodeTable, RootOwner};
use continuity::manifest::Limits;
use continuity::source::DirectorySource;
use continuity::sys::RootDir;
use continuity::sys::mount::{
    FuseMountOptions, MountAttributes, mount_fuse, open_fuse_device, open_place,
};
use continuity::verify::{self, Verifier};
use rustix::fs::{Advice, OFlags, fadvise};
use rustix::io::Errno;
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
            attributes: MountAttributes::default(),
            max_read: None,
            labels: &[],
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

/// Nobody keeps what is read by `O_DIRECT`, and it is checked like everything.
#[test]
fn what_is_read_past_the_page_cache_is_checked_and_not_stored() {
    let tree = tree(1);
    let source = tree.path().join("large");
    let content: Vec<u8> = (0..9_usize << 20).map(|at| (at % 251) as u8).collect();
    fs::write(&source, &content).unwrap();
    let mount = Counted::new(tree.path());
    let path = mount.path.join("large");
    let flags = OFlags::DIRECT.bits().cast_signed();
    let direct = File::options()
        .read(true)
        .custom_flags(flags)
        .open(&path)
        .unwrap();
    let buffered = File::open(&path).unwrap();
    fadvise(&buffered, 0, None, Advice::Random).unwrap();

    // A page of each chunk, but not all of them.
    let page = |chunk: usize| (chunk << 20) + 8192;
    let mut bytes = vec![0; 4096];
    for chunk in 0..4 {
        for at in [page(chunk), page(chunk) + 4096, page(chunk)] {
            let read = |_: &Path| direct.read_exact_at(&mut bytes, at as u64).unwrap();
            assert!(mount.count(read) > 0);
            assert!(bytes == content[at..at + 4096]);
        }
    }
    let at = page(0);
    let read = |_: &Path| buffered.read_exact_at(&mut bytes, at as u64).unwrap();
    assert!(mount.count(read) > 0, "it was stored");
    assert!(bytes == content[at..at + 4096]);

    let backing = File::options().write(true).open(&source).unwrap();
    let at = page(6);
    backing.write_all_at(&[!content[at]], at as u64).unwrap();
    for (file, offset) in [(&direct, at + 4096), (&direct, at), (&buffered, at)] {
        let refused = file.read_at(&mut bytes, offset as u64).unwrap_err();
        assert_eq!(Errno::from_io_error(&refused), Some(Errno::IO));
    }
    direct.read_exact_at(&mut bytes, page(7) as u64).unwrap();
    assert!(bytes == content[page(7)..page(7) + 4096]);
    backing.write_all_at(&[content[at]], at as u64).unwrap();
    direct.read_exact_at(&mut bytes, at as u64).unwrap();
    assert!(bytes == content[at..at + 4096]);
}
