//! A mount with private copies whose worker is replaced, by one that reads the same
//! manifest or another one: the copy of what a file was is never read as what it is now,
//! and whoever has it open is in nobody's way.
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
use std::sync::atomic::{AtomicBool, Ordering};

use mounted::{Mount, copies_counted, in_time, wait_until};
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
        self.mount_with_room("64M")
    }

    fn mount_with_room(&self, room: &str) -> Mount {
        let manifest = build(&self.0, &self.tree(), &[]);
        let cache = self.0.path().join("cache");
        let options = format!("introspect,cache_dir={},cache_max={room}", cache.display());
        Mount::with(&manifest, &self.tree(), &["-o", &options])
    }

    fn reload(&self, mount: &Mount) {
        build(&self.0, &self.tree(), &[]);
        let output = in_time("remount", || continuity(["remount".as_ref(), mount.path()]));
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}

fn count(mount: &Mount, what: &str) -> u64 {
    copies_counted(mount.path(), what)
}

/// Opens a file so that the kernel reads a copy of it.
fn open_copy(mount: &Mount, name: &str) -> File {
    let mut file = None;
    wait_until(
        || {
            // The first who opens it may be the one for whom it is made.
            let before = count(mount, "opens");
            let mut opened = File::open(mount.join(name)).unwrap();
            opened.read_exact(&mut [0]).unwrap();
            file = Some(opened);
            count(mount, "opens") > before
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
        has(&File::open(mount.join("same")).unwrap(), b's');
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
    drop(open);
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

/// Copies that are open and copies that nobody has open are still there for the next
/// worker, and nothing is copied again.
#[test]
fn the_next_worker_goes_on_with_the_copies() {
    let scene = Scene::new();
    scene.write("open", b'o');
    scene.write("closed", b'c');
    let mount = scene.mount();
    let open = open_copy(&mount, "open");
    drop(open_copy(&mount, "closed"));
    assert_eq!(count(&mount, "made"), 2);
    for round in 1..=3 {
        mount.signal_worker("KILL");
        // The second one knows it from the first.
        for _ in 0..2 {
            has(&File::open(mount.join("open")).unwrap(), b'o');
            has(&File::open(mount.join("closed")).unwrap(), b'c');
        }
        has(&open, b'o');
        let counts = ["made", "opens"].map(|what| count(&mount, what));
        assert_eq!(counts, [0, 4], "round {round}: {}", mount.log());
    }
    drop(open);
    assert!(mount.unmount().success());
}

/// A file that is open without its copy stays so for everybody, also with the next worker.
#[test]
fn a_file_that_is_open_without_a_copy_stays_so() {
    let scene = Scene::new();
    scene.write("file", b'a');
    let mount = scene.mount_with_room("5M");
    // No room for it: the other one is open.
    scene.write("other", b'o');
    scene.reload(&mount);
    let other = open_copy(&mount, "other");
    let asking = File::open(mount.join("file")).unwrap();
    has(&asking, b'a');
    drop(other);
    for _ in 0..3 {
        mount.signal_worker("KILL");
        has(&File::open(mount.join("file")).unwrap(), b'a');
        has(&asking, b'a');
        assert_eq!(count(&mount, "opens"), 0, "{}", mount.log());
    }
    drop(asking);
    drop(open_copy(&mount, "file"));
    assert!(mount.unmount().success());
}

/// Of what the kernel has no worker loses anything: the disk has room for what is allowed
/// and no more.
#[test]
fn no_room_is_lost_with_a_worker() {
    const FILES: [&str; 4] = ["a", "b", "c", "d"];
    let scene = Scene::new();
    let cache = scene.0.path().join("cache");
    let cache = cache.to_str().unwrap();
    mounted::run(
        "mount",
        ["-t", "tmpfs", "-o", "size=10M,mode=755", "copies", cache],
    );
    for name in FILES {
        scene.write(name, name.as_bytes()[0]);
    }
    // Two of 3 MiB, and one that is being made.
    let mount = scene.mount_with_room("7M");
    for _ in 0..6 {
        for name in FILES {
            has(&File::open(mount.join(name)).unwrap(), name.as_bytes()[0]);
        }
        assert!(count(&mount, "made") > 0);
        assert_eq!(count(&mount, "failed"), 0, "{}", mount.log());
        mount.signal_worker("KILL");
    }
    let used = rustix::fs::statvfs(cache).unwrap();
    let used = (used.f_blocks - used.f_bfree) * used.f_frsize;
    assert!(used <= 7 << 20, "{used}");
    assert!(mount.unmount().success());
    wait_until(
        || {
            let free = rustix::fs::statvfs(cache).unwrap();
            free.f_blocks == free.f_bfree
        },
        || "copies are left".to_owned(),
    );
    mounted::run("umount", [cache]);
}

/// Opens, reads and closes while workers die, manifests are read anew and copies make
/// room for others.
#[test]
fn who_opens_copies_does_not_see_that_workers_die() {
    const FILES: [&str; 3] = ["a", "b", "c"];
    let scene = Scene::new();
    for name in FILES {
        scene.write(name, name.as_bytes()[0]);
    }
    scene.write("other", b'0');
    let mount = scene.mount_with_room("7M");
    let over = AtomicBool::new(false);
    let reads = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..6)
            .map(|number| {
                let (mount, over) = (&mount, &over);
                scope.spawn(move || {
                    let mut reads = 0;
                    let mut kept = None;
                    while !over.load(Ordering::Relaxed) {
                        let name = FILES[(number + reads) % FILES.len()];
                        let file = File::open(mount.join(name));
                        let file = file.unwrap_or_else(|error| panic!("{error}\n{}", mount.log()));
                        let mut found = [0; 4096];
                        let offset = (reads * 4096 % SIZE) as u64;
                        file.read_exact_at(&mut found, offset).unwrap();
                        assert!(found.iter().all(|byte| *byte == name.as_bytes()[0]));
                        reads += 1;
                        if reads % 7 == 0 {
                            kept = Some(file);
                        }
                    }
                    drop(kept);
                    reads
                })
            })
            .collect();
        for round in 0..20_u8 {
            std::thread::sleep(std::time::Duration::from_millis(40));
            if round % 4 == 3 {
                scene.write("other", round);
                scene.reload(&mount);
            } else {
                mount.signal_worker("KILL");
            }
        }
        over.store(true, Ordering::Relaxed);
        let reads = readers.into_iter().map(|reader| reader.join().unwrap());
        reads.sum::<usize>()
    });
    assert!(reads > 20, "{reads}");
    // Nothing is counted as open that is not: any of them can make room.
    for name in FILES {
        drop(open_copy(&mount, name));
    }
    assert_eq!(count(&mount, "failed"), 0);
    assert!(mount.unmount().success());
}
