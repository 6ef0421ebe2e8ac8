//! A backing of which a part is silent: another mount, whose server is stopped.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod mounted;
mod tree;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use mounted::{Mount, wait_until};
use tempfile::TempDir;
use tree::{build, scratch};

/// What the outer mount is told; in seconds.
const TIMEOUT: u64 = 2;
/// How long what does not wait for the dead part may take on a busy machine; far less
/// than the dead part is dead.
const SOON: Duration = Duration::from_secs(20);
/// Of dead files, and of readers.
const MANY: usize = 64;
const MIB: usize = 1 << 20;

/// A tree whose directory `dead` is a mount of its own, with a server that can be
/// stopped, and a mount of the whole.
struct Scene {
    outer: Mount,
    inner: Mount,
    stopped: bool,
    _scratch: TempDir,
}

/// The content of a file, by its name.
fn content(name: &str) -> Vec<u8> {
    let size = match name {
        "whole" => 3 * MIB + 7,
        "chunked" => 9 * MIB + 7,
        _ if name.len().is_multiple_of(2) => 300_000,
        _ => 5_000,
    };
    let line = format!("this is {name}\n");
    let mut bytes = line.repeat(size / line.len() + 1).into_bytes();
    bytes.truncate(size);
    bytes
}

fn names(prefix: &str, count: usize) -> impl Iterator<Item = String> {
    let prefix = prefix.to_owned();
    (0..count)
        .map(move |number| format!("{prefix}{number}"))
        .chain(["whole".to_owned(), "chunked".to_owned()])
}

impl Scene {
    fn new(options: &str) -> Self {
        let scratch = scratch();
        let root = scratch.path().join("tree");
        let store = scratch.path().join("store");
        for place in [&root, &root.join("live"), &root.join("dead"), &store] {
            fs::create_dir(place).unwrap();
        }
        for name in names("file", 300) {
            fs::write(root.join("live").join(&name), content(&name)).unwrap();
        }
        for name in names("file", 2 * MANY) {
            fs::write(root.join("dead").join(&name), content(&name)).unwrap();
            fs::write(store.join(&name), content(&name)).unwrap();
        }
        let manifest = build(&scratch, &root, &[]);
        let outer_manifest = scratch.path().join("outer");
        fs::rename(manifest, &outer_manifest).unwrap();
        let inner_manifest = build(&scratch, &store, &[]);
        // Nothing of it is in the page cache.
        let log = tempfile::tempdir_in(scratch.path()).unwrap();
        let inner = Mount::start_at(log, root.join("dead"), |place| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_continuity"));
            command
                .args(["mount", "--fuse"])
                .args([place, &inner_manifest, &store]);
            command
        });
        inner.wait_for("INFO  mounted");
        let options = format!("introspect,{options}");
        let outer = Mount::with(&outer_manifest, &root, &["-o", &options]);
        Self {
            outer,
            inner,
            stopped: false,
            _scratch: scratch,
        }
    }

    fn stop(&mut self) {
        let worker = self.inner.worker();
        self.inner.signal_worker("STOP");
        self.stopped = true;
        // Until then it answers.
        let is_stopped = || {
            let threads = fs::read_dir(format!("/proc/{worker}/task")).unwrap();
            threads.flatten().all(|thread| {
                let status = fs::read_to_string(thread.path().join("status")).unwrap();
                status.contains("State:\tT")
            })
        };
        wait_until(is_stopped, || "it goes on".to_owned());
    }

    fn go_on(&mut self) {
        self.inner.signal_worker("CONT");
        self.stopped = false;
    }

    fn dead(&self, name: &str) -> PathBuf {
        self.outer.join("dead").join(name)
    }

    /// One of the numbers that the mount tells about itself.
    fn told(&self, what: &str) -> u64 {
        let mut value = [0; 64];
        let name = format!("user.continuity.{what}");
        let length = rustix::fs::getxattr(self.outer.path(), name, &mut value).unwrap();
        let text = std::str::from_utf8(&value[..length]).unwrap();
        text.parse().unwrap()
    }

    fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.outer.worker()))
            .unwrap()
            .count()
    }

    /// Reads a file that was dead. It takes a moment until that is noticed.
    fn read_again(&self, name: &str) {
        let mut found = Vec::new();
        wait_until(
            || {
                fs::read(self.dead(name)).is_ok_and(|content| {
                    found = content;
                    true
                })
            },
            || format!("{name} cannot be read"),
        );
        assert!(found == content(name), "{name}");
    }

    /// Uses everything that is not dead.
    fn use_what_lives(&self) {
        let begin = Instant::now();
        assert_eq!(fs::read_dir(self.outer.path()).unwrap().count(), 2);
        // Names that nobody has looked up yet, of dead files too.
        let dead = fs::read_dir(self.outer.join("dead")).unwrap();
        for entry in dead {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let size = content(&name).len() as u64;
            assert_eq!(fs::metadata(entry.path()).unwrap().len(), size);
        }
        let missing = fs::metadata(self.dead("missing")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        for name in names("file", 300) {
            let found = fs::read(self.outer.join("live").join(&name)).unwrap();
            assert!(found == content(&name), "{name}");
        }
        let took = begin.elapsed();
        assert!(took < SOON, "{took:?}");
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // What waits for it could not be killed.
        if self.stopped {
            self.go_on();
        }
    }
}

/// Reads a part of a file, and tells what came of it and how long it took.
fn read(path: &Path, offset: u64) -> (io::Result<()>, Duration) {
    let begin = Instant::now();
    let file = File::open(path).unwrap();
    let read = file.read_exact_at(&mut [0; 1000], offset);
    (read, begin.elapsed())
}

/// Its own deadline, and a second.
fn assert_stalled((read, took): (io::Result<()>, Duration)) {
    let error = read.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(5));
    let bounds = Duration::from_secs(TIMEOUT)..=SOON;
    assert!(bounds.contains(&took), "{took:?}");
}

/// A program that reads a file.
fn cat(path: &Path) -> Child {
    Command::new("cat")
        .arg(path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn stuck_readers_hold_up_nobody_else() {
    let mut scene = Scene::new(&format!("timeout={TIMEOUT}"));
    let threads = scene.threads();
    scene.stop();
    let many: Vec<String> = names("file", MANY).collect();
    thread::scope(|scope| {
        // As many files, and as many places in one.
        let stuck: Vec<_> = many
            .iter()
            .map(|name| (name.as_str(), 0))
            .chain((0..MANY as u64).map(|place| ("chunked", place * 100_000)))
            .map(|(name, offset)| {
                let path = scene.dead(name);
                scope.spawn(move || read(&path, offset))
            })
            .collect();
        let mut killed = cat(&scene.dead("file100"));
        scene.use_what_lives();
        killed.kill().unwrap();
        for reader in stuck {
            assert_stalled(reader.join().unwrap());
        }
        assert!(!killed.wait().unwrap().success());
    });
    let stalls = scene.told("stalls");
    assert!(stalls >= 2 * MANY as u64, "{stalls}");
    assert!(
        scene.threads() <= threads + 64 + 16 + 8,
        "{}",
        scene.threads()
    );
    // It stays silent, and others go on.
    scene.use_what_lives();
    assert_stalled(read(&scene.dead("file120"), 0));
    scene.outer.wait_for("event=stalled path=\"/dead/file120\"");

    scene.go_on();
    for name in names("file", 2 * MANY) {
        scene.read_again(&name);
    }
    wait_until(
        || scene.threads() <= threads,
        || format!("{} threads, not {threads}", scene.threads()),
    );
}

/// More dead files than there may be stuck threads: what is at hand can be had all
/// the same, and what is not is refused at once.
#[test]
fn more_that_is_stuck_than_may_be() {
    let mut scene = Scene::new(&format!("timeout={TIMEOUT}"));
    // A part of a chunk is asked for, so all of it is kept.
    read(&scene.outer.join("live/chunked"), 5_000).0.unwrap();
    scene.stop();
    thread::scope(|scope| {
        let many: Vec<String> = names("file", 2 * MANY).collect();
        let stuck: Vec<_> = many
            .iter()
            .map(|name| {
                let path = scene.dead(name);
                scope.spawn(move || read(&path, 0))
            })
            .collect();
        for reader in stuck {
            assert_stalled(reader.join().unwrap());
        }
    });
    thread::sleep(Duration::from_secs(TIMEOUT));
    let (refused, _) = read(&scene.outer.join("live/file7"), 0);
    assert_eq!(refused.unwrap_err().raw_os_error(), Some(5));
    read(&scene.outer.join("live/chunked"), 500_000).0.unwrap();
    assert_eq!(fs::read_dir(scene.outer.join("live")).unwrap().count(), 302);
    scene.go_on();
    wait_until(
        || read(&scene.outer.join("live/file7"), 0).0.is_ok(),
        || "it is not read again".to_owned(),
    );
    scene.use_what_lives();
}

/// Without a deadline a reader waits until the source answers.
#[test]
fn no_timeout_is_no_timeout() {
    let mut scene = Scene::new("timeout=0");
    scene.stop();
    thread::scope(|scope| {
        let path = scene.dead("file1");
        let stuck = scope.spawn(move || fs::read(path).unwrap());
        scene.use_what_lives();
        thread::sleep(Duration::from_millis(500));
        assert!(!stuck.is_finished());
        scene.go_on();
        assert!(stuck.join().unwrap() == content("file1"));
    });
    assert_eq!(scene.told("stalls"), 0);
}

/// Unmounting ends the server, although threads of it are stuck.
#[test]
fn a_stalled_mount_can_be_unmounted() {
    let mut scene = Scene::new(&format!("timeout={TIMEOUT}"));
    scene.stop();
    for name in ["file1", "file2", "file3", "whole"] {
        assert_stalled(read(&scene.dead(name), 0));
    }
    scene.outer.signal("TERM");
    let begin = Instant::now();
    wait_until(
        || !scene.outer.is_mounted(),
        || "it is still mounted".to_owned(),
    );
    assert!(scene.outer.wait().success());
    assert!(begin.elapsed() < SOON);
}

/// An open that waits for a private copy is answered without one.
#[test]
fn an_open_does_not_wait_for_ever_for_a_copy() {
    let copies = scratch();
    tree::set_mode(copies.path(), 0o700);
    let options = format!(
        "timeout={TIMEOUT},cache_dir={},cache_max=100M",
        copies.path().display()
    );
    let mut scene = Scene::new(&options);
    scene.stop();
    thread::scope(|scope| {
        let stuck: Vec<_> = ["whole", "chunked", "file1"]
            .map(|name| {
                let path = scene.dead(name);
                scope.spawn(move || read(&path, 0))
            })
            .into_iter()
            .collect();
        scene.use_what_lives();
        for reader in stuck {
            assert_stalled(reader.join().unwrap());
        }
    });
    scene.go_on();
    for name in ["whole", "chunked", "file1"] {
        scene.read_again(name);
    }
}
