//! The supervisor and the worker are gone at once. Whatever that leaves behind,
//! the next mount takes its place, and nothing that somebody serves is touched.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod mounted;
mod tree;

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use continuity::sys::{datagram, mount, served};
use mounted::{Mount, endurance, in_time, mounts_at, run, wait_until};
use rustix::fs::Advice;
use tempfile::TempDir;
use tree::{continuity, scratch, text};

const FILES: usize = 200;

/// A tree of small files, which are pushed, and its manifest.
struct Scene(TempDir);

impl Scene {
    fn new() -> Self {
        let scratch = scratch();
        fs::create_dir(scratch.path().join("tree")).unwrap();
        for number in 0..FILES {
            let content = number.to_string().repeat(3000);
            fs::write(scratch.path().join(format!("tree/{number}")), content).unwrap();
        }
        let (manifest, tree) = (scratch.path().join("manifest"), scratch.path().join("tree"));
        let built = continuity([
            "build".as_ref(),
            "-o".as_ref(),
            manifest.as_os_str(),
            tree.as_os_str(),
        ]);
        assert!(built.status.success(), "{}", text(&built.stderr));
        fs::create_dir(scratch.path().join("place")).unwrap();
        Self(scratch)
    }

    fn place(&self) -> PathBuf {
        self.0.path().join("place")
    }

    fn start(&self) -> Mount {
        Mount::start_at(scratch(), self.place(), |place| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_continuity"));
            command
                .args(["mount".as_ref(), place])
                .args([self.0.path().join("manifest"), self.0.path().join("tree")]);
            command
        })
    }
}

/// Reads all that is there, in the order in which it is found.
fn read_all(place: &Path) {
    let Ok(entries) = fs::read_dir(place) else {
        return;
    };
    for entry in entries.flatten() {
        if let Ok(file) = File::open(entry.path()) {
            let _ = rustix::fs::fadvise(&file, 0, None, Advice::DontNeed);
            let _ = fs::read(entry.path());
        }
    }
}

/// Sets a flag when it is dropped.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How to mount what nobody serves.
fn abandoned() -> mount::FuseMountOptions<'static> {
    mount::FuseMountOptions {
        source: "abandoned".as_ref(),
        subtype: "continuity",
        allow_other: true,
        attributes: mount::MountAttributes::default(),
        max_read: None,
        labels: &[],
    }
}

/// A connection that is open, and that no process has: it is in a message that
/// nobody has received.
#[test]
fn a_mount_that_nobody_can_answer_is_replaced() {
    let scene = Scene::new();
    let device = mount::open_fuse_device().unwrap();
    let place = mount::open_place(&scene.place()).unwrap();
    let mounted = mount::mount_fuse(&device, &abandoned()).unwrap();
    mounted.attach(place.as_fd()).unwrap();
    let (sender, _receiver) = datagram::pair().unwrap();
    datagram::send(&sender, b"x", &[device.as_fd()]).unwrap();
    drop((device, place));
    assert_eq!(mounts_at(&scene.place()), ["fuse.continuity"]);

    let mount = scene.start();
    mount.wait_for("INFO  mounted");
    mount.wait_for("event=stale_mount_replaced");
    assert_eq!(mounts_at(&scene.place()), ["fuse.continuity"]);
    assert_eq!(
        fs::read(mount.join("7")).unwrap(),
        "7".repeat(3000).as_bytes()
    );
    assert!(mount.unmount().success());
    assert_eq!(mounts_at(&scene.place()), [""; 0]);
}

/// A worker does not enter a backing that is silent, for it would wait for ever; so its
/// supervisor asks first.
#[test]
fn a_directory_that_does_not_answer_is_known() {
    let scene = Scene::new();
    let answers = || {
        let place = mount::open_place(&scene.place()).unwrap();
        served::answers(place.as_fd())
    };
    assert!(answers());
    let device = mount::open_fuse_device().unwrap();
    let place = mount::open_place(&scene.place()).unwrap();
    let silent = mount::mount_fuse(&device, &abandoned()).unwrap();
    let control = mount::FuseControl::open(silent.identity().unwrap()).unwrap();
    silent.attach(place.as_fd()).unwrap();
    assert!(!answers());
    // Whoever asked is free then.
    control.abort().unwrap();
    assert!(answers());
    run("umount", ["-l".as_ref(), scene.place().as_os_str()]);
}

/// One that is only slow is nobody's to take away.
#[test]
fn a_mount_that_somebody_serves_slowly_is_left_alone() {
    let scene = Scene::new();
    let below = scene.start();
    below.wait_for("INFO  mounted");
    let worker = below.worker();
    run("kill", ["-s", "STOP", &worker.to_string()]);
    // A thread that is on its way to that would still take a request, and whoever has
    // made it could not even be killed.
    let is_stopped = || {
        let tasks = fs::read_dir(format!("/proc/{worker}/task")).unwrap();
        tasks.flatten().all(|task| {
            let status = fs::read_to_string(task.path().join("status")).unwrap();
            status.contains("State:\tT")
        })
    };
    wait_until(is_stopped, || "it goes on".to_owned());
    let mut over = scene.start();
    let status = over.wait();
    run("kill", ["-s", "CONT", &worker.to_string()]);
    assert!(!status.success());
    let log = over.log();
    assert!(
        log.contains("what is mounted there does not answer"),
        "{log}"
    );
    // Its end takes away what is mounted there.
    std::mem::forget(over);
    assert_eq!(mounts_at(&scene.place()), ["fuse.continuity"]);
    let found = in_time("read", || fs::read(below.join("8")));
    assert_eq!(found.unwrap(), "8".repeat(3000).as_bytes());
    assert!(below.unmount().success());
}

/// Kills everything while readers read and pages are stored, again and again
/// (`CONTINUITY_ENDURE` times as often).
#[test]
fn the_next_mount_succeeds() {
    let kills = 10 * endurance() as usize;
    let scene = Scene::new();
    let done = AtomicBool::new(false);
    let last = thread::scope(|scope| {
        // Whatever fails: they have to end.
        let _done = Done(&done);
        for _ in 0..8 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    read_all(&scene.place());
                }
            });
        }
        let replaced = (0..kills)
            .filter(|_| {
                let mut mount = scene.start();
                mount.wait_for("INFO  mounted");
                // So that they are not always killed at the first request.
                let first = fs::read(mount.join("1"));
                assert_eq!(first.unwrap(), "1".repeat(3000).as_bytes());
                mount.kill();
                let replaced = mount.log().contains("event=stale_mount_replaced");
                // Its end takes the mount away, which is left to the next one.
                std::mem::forget(mount);
                replaced
            })
            .count();
        assert_eq!(replaced, kills - 1);
        let last = scene.start();
        last.wait_for("INFO  mounted");
        assert_eq!(mounts_at(&scene.place()), ["fuse.continuity"]);
        last
    });
    assert!(last.unmount().success());
    println!("{kills} kills of everything, and each time the next mount succeeded");
    wait_until(
        || mounts_at(&scene.place()).is_empty(),
        || "something is left".to_owned(),
    );
}
