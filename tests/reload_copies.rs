//! A mount with private copies that reads its manifest anew: the copy of what a file
//! was is never read as what it is now.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod mounted;
mod tree;

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

use mounted::{Mount, in_time, wait_until};
use rustix::io::Errno;
use tempfile::TempDir;
use tree::{build, continuity, scratch, set_mode, text};

const SIZE: usize = 3 << 20;

struct Scene(TempDir);

impl Scene {
    fn new() -> Self {
        let scene = Self(scratch());
        for name in ["tree", "cache"] {
            fs::create_dir(scene.0.path().join(name)).unwrap();
            set_mode(&scene.0.path().join(name), 0o755);
        }
        scene
    }

    fn tree(&self) -> PathBuf {
        self.0.path().join("tree")
    }

    /// As a new file, all of one byte.
    fn write(&self, name: &str, byte: u8) {
        let (new, path) = (self.0.path().join("new"), self.tree().join(name));
        fs::write(&new, vec![byte; SIZE]).unwrap();
        fs::rename(new, path).unwrap();
    }

    fn mount(&self) -> Mount {
        let manifest = build(&self.0, &self.tree(), &[]);
        let cache = self.0.path().join("cache");
        let options = format!("introspect,cache_dir={},cache_max=64M", cache.display());
        Mount::with(&manifest, &self.tree(), &["-o", &options])
    }

    fn reload(&self, mount: &Mount) {
        build(&self.0, &self.tree(), &[]);
        let output = in_time("remount", || continuity(["remount".as_ref(), mount.path()]));
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}

/// Opens a file so that the kernel reads a copy of it.
fn open_copy(mount: &Mount, name: &str) -> File {
    let opens = || {
        let mut value = [0; 256];
        let length =
            rustix::fs::getxattr(mount.path(), "user.continuity.copies", &mut value).unwrap();
        let told = std::str::from_utf8(&value[..length]).unwrap();
        let mut counts = told.split(' ');
        let count = counts.find_map(|count| count.strip_prefix("opens="));
        count.unwrap().parse::<u64>().unwrap()
    };
    let mut file = None;
    wait_until(
        || {
            // The first who opens it may be the one for whom it is made.
            let before = opens();
            let mut opened = File::open(mount.join(name)).unwrap();
            opened.read_exact(&mut [0]).unwrap();
            file = Some(opened);
            opens() > before
        },
        || mount.log(),
    );
    file.unwrap()
}

fn has(file: &File, byte: u8) {
    let mut found = vec![0; SIZE];
    file.read_exact_at(&mut found, 0).unwrap();
    assert!(found.iter().all(|found| *found == byte), "not all {byte}");
}

#[test]
fn a_copy_of_what_a_file_was_is_never_what_it_is() {
    let scene = Scene::new();
    scene.write("changes", b'a');
    scene.write("same", b's');
    scene.write("closed", b'c');
    let mount = scene.mount();
    let open = [open_copy(&mount, "changes"), open_copy(&mount, "same")];
    drop(open_copy(&mount, "closed"));
    let inode = |name: &str| fs::metadata(mount.join(name)).unwrap().ino();
    let (changes, same) = (inode("changes"), inode("same"));

    for (round, byte) in [b'b', b'd', b'a'].into_iter().enumerate() {
        scene.write("changes", byte);
        scene.write("closed", byte);
        scene.reload(&mount);
        for name in ["changes", "closed"] {
            let file = File::open(mount.join(name)).unwrap();
            has(&file, byte);
            let read = fs::read(mount.join(name));
            let read = read.unwrap_or_else(|error| panic!("{error}\n{}", mount.log()));
            assert!(read == vec![byte; SIZE]);
        }
        assert_ne!(inode("changes"), changes, "round {round}");
        assert_eq!(inode("same"), same);
        // While somebody reads a copy, the kernel lets nobody open the file otherwise.
        match File::open(mount.join("same")) {
            Ok(file) => has(&file, b's'),
            Err(error) => assert_eq!(Errno::from_io_error(&error), Some(Errno::IO)),
        }
        // Whoever has them open reads the copies of then.
        has(&open[0], b'a');
        has(&open[1], b's');
        // So it is with the next worker.
        if round == 1 {
            mount.signal_worker("KILL");
            has(&File::open(mount.join("changes")).unwrap(), byte);
            has(&open[0], b'a');
        }
    }
    mount.wait_for("event=copies_off");
    drop(open);
    wait_until(|| File::open(mount.join("same")).is_ok(), || mount.log());
    has(&File::open(mount.join("same")).unwrap(), b's');
    assert!(
        fs::read_dir(scene.0.path().join("cache"))
            .unwrap()
            .next()
            .is_none()
    );
    // What is not there any more, beside what is again what it was at first.
    fs::remove_file(scene.tree().join("same")).unwrap();
    scene.reload(&mount);
    assert!(!mount.join("same").exists());
    has(&File::open(mount.join("changes")).unwrap(), b'a');
    assert!(mount.unmount().success());
}

/// The backing holds bytes that no manifest declares, while the kernel reads a copy.
#[test]
fn what_does_not_match_is_refused_after_it_too() {
    let scene = Scene::new();
    scene.write("file", b'a');
    let mount = scene.mount();
    let open = open_copy(&mount, "file");
    scene.write("file", b'b');
    scene.reload(&mount);
    scene.write("file", b'x');
    fs::read(mount.join("file")).unwrap_err();
    has(&open, b'a');
    scene.write("file", b'b');
    assert_eq!(fs::read(mount.join("file")).unwrap(), vec![b'b'; SIZE]);
    drop(open);
    assert!(mount.unmount().success());
}
