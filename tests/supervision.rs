//! The worker dies in every way, and no reader sees it, or sees an error where
//! that is all that is left; never wrong bytes, and never waits for ever.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod mounted;
mod scene;
mod tree;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mounted::{Mount, endurance, in_time, mounts_at, run, wait_until};
use rustix::fs::Advice;
use rustix::io::Errno;
use scene::Scene;
use tree::{scratch, text};

/// Files of the tree, each with this many bytes.
const FILES: usize = 40;
const SIZE: usize = 100_000;

fn content(number: usize) -> Vec<u8> {
    scene::content(number, SIZE)
}

fn scene() -> Scene {
    Scene::of_files(FILES, SIZE)
}

fn signal(pid: u32, name: &str) {
    run("kill", ["-s", name, &pid.to_string()]);
}

/// Reads all of a file that the kernel may not have.
fn read_cold(path: &Path) -> io::Result<Vec<u8>> {
    mounted::read_cold(path, SIZE)
}

/// Reads all of a file past what the kernel has.
fn read_directly(path: &Path) -> io::Result<Vec<u8>> {
    mounted::read_directly(path, SIZE)
}

/// Stops a process, and waits until it does nothing any more.
fn stop(pid: u32) {
    signal(pid, "STOP");
    let is_stopped = || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        status.contains("State:\tT")
    };
    wait_until(is_stopped, || "it goes on".to_owned());
}

fn errno(error: &io::Error) -> Option<Errno> {
    Errno::from_io_error(error)
}

#[test]
fn no_reader_sees_that_the_worker_is_killed() {
    const READERS: usize = 64;
    let kills = 40 * endurance();
    let scene = scene();
    let mount = scene.mount(&[]);
    let (done, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    let waits = thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|reader| {
                let (mount, done, reads) = (&mount, &done, &reads);
                scope.spawn(move || {
                    let mut waits = Vec::new();
                    let mut number = reader;
                    while !done.load(Ordering::Relaxed) {
                        number = (number * 5 + 3) % FILES;
                        let start = Instant::now();
                        let found = read_cold(&mount.join(number.to_string())).unwrap();
                        waits.push(start.elapsed());
                        assert!(found == content(number), "{number}");
                        reads.fetch_add(1, Ordering::Relaxed);
                    }
                    waits
                })
            })
            .collect();
        for _ in 0..kills {
            let before = reads.load(Ordering::Relaxed);
            mount.replace_worker("KILL");
            wait_until(
                || reads.load(Ordering::Relaxed) > before + READERS as u64,
                || format!("nobody goes on:\n{}", mount.log()),
            );
        }
        done.store(true, Ordering::Relaxed);
        let waits = readers.into_iter().map(|reader| reader.join().unwrap());
        waits.flatten().collect::<Vec<_>>()
    });
    report(kills, waits);
    let log = mount.log();
    assert_eq!(
        log.matches("event=worker_died next=again").count() as u64,
        kills,
        "{log}"
    );
    assert!(mount.unmount().success());
}

/// For whoever looks (`--nocapture`); how long it takes is no part of the test.
fn report(kills: u64, mut waits: Vec<Duration>) {
    waits.sort_unstable();
    let at = |part: f64| waits[((waits.len() - 1) as f64 * part) as usize];
    println!(
        "{kills} kills, {} reads, 0 errors; median {:?}, p99 {:?}, p99.9 {:?}, longest {:?}",
        waits.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}

/// A request that was taken, and whose taker is gone, is answered by the next.
#[test]
fn what_was_asked_is_answered() {
    let scene = scene();
    let mount = scene.mount(&[]);
    for number in 0..5 {
        let worker = mount.worker();
        stop(worker);
        thread::scope(|scope| {
            let path = mount.join(number.to_string());
            let reader = scope.spawn(move || read_directly(&path));
            thread::sleep(Duration::from_millis(50));
            assert!(!reader.is_finished());
            signal(worker, "KILL");
            let found = in_time("read", || reader.join().unwrap()).unwrap();
            assert!(found == content(number));
        });
    }
    assert!(mount.unmount().success());
}

/// A request that crashes whoever takes it must not crash all of them.
#[test]
fn a_second_crash_fails_what_was_asked() {
    let scene = scene();
    let mount = scene.mount(&[]);
    mount.replace_worker("ABRT");
    mount.wait_for("next=again cause=");
    let worker = mount.worker();
    assert!(read_cold(&mount.join("0")).unwrap() == content(0));
    stop(worker);
    thread::scope(|scope| {
        let path = mount.join("1");
        let reader = scope.spawn(move || read_directly(&path));
        thread::sleep(Duration::from_millis(50));
        signal(worker, "ABRT");
        signal(worker, "CONT");
        // One that goes on for an instant may have answered.
        let found = in_time("read", || reader.join().unwrap());
        assert!(found.map_or_else(
            |error| errno(&error) == Some(Errno::IO),
            |found| found == content(1)
        ));
    });
    mount.wait_for("next=without_its_requests");
    mount.worker();
    for number in 0..FILES {
        let found = in_time("read", || read_cold(&mount.join(number.to_string())));
        assert!(found.unwrap() == content(number));
    }
    assert!(mount.unmount().success());
}

#[test]
fn too_many_crashes_end_in_errors_and_not_in_silence() {
    let scene = scene();
    let mut mount = scene.mount(&[]);
    for _ in 0..5 {
        mount.replace_worker("ABRT");
    }
    signal(mount.worker(), "ABRT");
    mount.wait_for("next=never");
    for number in 0..FILES {
        let read = in_time("read", || read_cold(&mount.join(number.to_string())));
        assert_eq!(errno(&read.unwrap_err()), Some(Errno::IO));
    }
    assert!(mount.is_mounted());
    run("umount", [mount.path()]);
    assert_eq!(mount.wait().code(), Some(2), "{}", mount.log());
    mount.wait_for("too many workers died");
}

/// As before Linux 6.9, where the kernel cannot ask again.
#[test]
fn without_asking_again_it_is_mounted_anew() {
    let scene = scene();
    let mount = scene.mount(&["-o", "recovery=remount"]);
    let file = File::open(mount.join("0")).unwrap();
    for number in 1..4 {
        let worker = mount.worker();
        stop(worker);
        thread::scope(|scope| {
            let path = mount.join(number.to_string());
            let reader = scope.spawn(move || read_directly(&path));
            thread::sleep(Duration::from_millis(50));
            signal(worker, "KILL");
            let error = in_time("read", || reader.join().unwrap()).unwrap_err();
            let expected = [Errno::IO, Errno::NOTCONN, Errno::CONNABORTED];
            assert!(expected.contains(&errno(&error).unwrap()), "{error}");
        });
        // A moment passes in which nothing is mounted.
        wait_until(
            || {
                let found = read_cold(&mount.join(number.to_string()));
                found.is_ok_and(|found| found == content(number))
            },
            || format!("it does not come back:\n{}", mount.log()),
        );
    }
    assert_eq!(mounts_at(mount.path()), ["fuse.continuity"]);
    let mut byte = [0];
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    let lost = in_time("read", || file.read_exact_at(&mut byte, 0));
    assert!(lost.is_err());
    drop(file);
    assert!(mount.unmount().success());
}

/// What was taken away from its place is served until nobody uses it any more.
#[test]
fn a_detached_mount_outlives_its_worker() {
    let scene = scene();
    let mut mount = scene.mount(&[]);
    let file = File::open(mount.join("0")).unwrap();
    run("umount", ["-l".as_ref(), mount.path().as_os_str()]);
    for _ in 0..3 {
        let before = mount.worker();
        signal(before, "KILL");
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        let mut bytes = vec![0; SIZE];
        let read = in_time("read", || file.read_exact_at(&mut bytes, 0));
        read.unwrap();
        assert!(bytes == content(0));
        assert_ne!(mount.worker(), before);
    }
    drop(file);
    assert!(mount.wait().success(), "{}", mount.log());
    assert!(!mount.is_mounted());
}

/// Where it would be mounted anew, it is not when somebody has taken it away.
#[test]
fn a_detached_mount_is_not_mounted_anew() {
    let scene = scene();
    let unmount: [fn(&Mount); 2] = [
        |mount| drop(run("umount", ["-l".as_ref(), mount.path().as_os_str()])),
        |mount| mount.signal("TERM"),
    ];
    for unmount in unmount {
        let mut mount = scene.mount(&["-o", "recovery=remount"]);
        let file = File::open(mount.join("0")).unwrap();
        let worker = mount.worker();
        unmount(&mount);
        wait_until(|| !mount.is_mounted(), || mount.log());
        signal(worker, "KILL");
        assert!(mount.wait().success(), "{}", mount.log());
        assert!(!mount.is_mounted());
        let mut byte = [0];
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        let read = in_time("read", || file.read_exact_at(&mut byte, 0));
        read.unwrap_err();
    }
}

/// The next worker serves what the first one did, or nothing.
#[test]
fn another_manifest_does_not_take_its_place() {
    let scene = scene();
    let mount = scene.mount(&[]);
    assert!(read_cold(&mount.join("0")).unwrap() == content(0));
    // In the same file, with other files under the numbers of the old ones.
    fs::remove_file(scene.path("tree/0")).unwrap();
    let kept = scene.path("manifest");
    fs::rename(&kept, scene.path("kept")).unwrap();
    scene.build(&[]);
    fs::write(scene.path("kept"), fs::read(&kept).unwrap()).unwrap();
    signal(mount.worker(), "KILL");
    mount.wait_for("next=never");
    mount.wait_for("the manifest is another one now");
    let read = in_time("read", || read_cold(&mount.join("1")));
    assert_eq!(errno(&read.unwrap_err()), Some(Errno::IO));
    run("umount", [mount.path()]);
}

/// A terminal sends it to all processes of its group.
#[test]
fn an_interrupt_from_a_terminal_unmounts() {
    let scene = scene();
    let place = scene.path("place");
    fs::create_dir(&place).unwrap();
    let mut mount = Mount::start_at(scratch(), place, |path| {
        let mut command = Command::new("setsid");
        command
            .arg(env!("CARGO_BIN_EXE_continuity"))
            .args(["mount".as_ref(), path])
            .args([scene.path("manifest"), scene.path("tree")]);
        command
    });
    mount.wait_for("INFO  mounted");
    let file = File::open(mount.join("0")).unwrap();
    run("kill", ["-s", "INT", "--", &format!("-{}", mount.pid())]);
    wait_until(|| !mount.is_mounted(), || mount.log());
    let mut byte = [1];
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    file.read_exact_at(&mut byte, 0).unwrap();
    assert_eq!(byte[0], content(0)[0]);
    drop(file);
    assert!(mount.wait().success(), "{}", mount.log());
}

/// Whoever has it open can go on when there is nobody to look after it.
#[test]
fn the_worker_outlives_its_supervisor() {
    let scene = scene();
    let mut mount = scene.mount(&[]);
    let worker = mount.worker();
    mount.signal("KILL");
    mount.wait();
    assert!(read_cold(&mount.join("3")).unwrap() == content(3));
    run("umount", [mount.path()]);
    wait_until(
        || !Path::new(&format!("/proc/{worker}/exe")).exists(),
        || "the worker goes on".to_owned(),
    );
}

/// The program can be replaced while it is mounted.
#[test]
fn another_program_takes_over() {
    let scene = scene();
    let program = scene.path("continuity");
    fs::copy(env!("CARGO_BIN_EXE_continuity"), &program).unwrap();
    let place = scene.path("place");
    fs::create_dir(&place).unwrap();
    let mount = Mount::start_at(scratch(), place, |path| {
        let mut command = Command::new(&program);
        command
            .args(["mount".as_ref(), path])
            .args([scene.path("manifest"), scene.path("tree")]);
        command
    });
    mount.wait_for("INFO  mounted");
    let replace = |by: &Path| {
        fs::copy(by, scene.path("new")).unwrap();
        fs::set_permissions(scene.path("new"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(scene.path("new"), &program).unwrap();
    };
    let renew = || {
        let before = mount.worker();
        mount.signal("USR2");
        mount.wait_for_another(before);
        assert!(read_cold(&mount.join("1")).unwrap() == content(1));
        fs::read_link(format!("/proc/{}/exe", mount.worker())).unwrap()
    };
    replace(Path::new(env!("CARGO_BIN_EXE_continuity")));
    assert_eq!(renew(), program);
    // One that cannot do it: the old one goes on.
    replace(Path::new("/bin/false"));
    assert!(renew().to_str().unwrap().ends_with("(deleted)"));
    assert!(mount.unmount().success());
}

/// Nobody sees the mount before the manifest has been read, and nothing is left
/// of who reads it when that ends.
#[test]
fn nothing_is_seen_before_it_is_ready() {
    let scene = scene();
    let place = scene.path("place");
    fs::create_dir(&place).unwrap();
    let (read, write) = io::pipe().unwrap();
    let mut mount = Mount::start_at(scratch(), place, |path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_continuity"));
        command
            .args(["mount".as_ref(), path, "-".as_ref(), &scene.path("tree")])
            .stdin(read);
        command
    });
    let mut write = write;
    let manifest = fs::read(scene.path("manifest")).unwrap();
    let (first, rest) = manifest.split_at(manifest.len() / 2);
    io::Write::write_all(&mut write, first).unwrap();
    thread::sleep(Duration::from_millis(100));
    assert_eq!(mounts_at(mount.path()), [""; 0]);
    io::Write::write_all(&mut write, rest).unwrap();
    drop(write);
    mount.wait_for("INFO  mounted");
    assert_eq!(mounts_at(mount.path()), ["fuse.continuity"]);
    // It was kept for the next worker, for it comes only once.
    mount.replace_worker("KILL");
    assert!(read_cold(&mount.join("2")).unwrap() == content(2));
    mount.signal("TERM");
    assert!(mount.wait().success());
}

#[test]
fn nobody_else_can_start_a_worker() {
    let output = Command::new(env!("CARGO_BIN_EXE_continuity"))
        .args(["--worker", "mount", "/nowhere", "/dev/null", "/"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("is started by"), "{output:?}");
}
