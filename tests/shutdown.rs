//! `errors=shutdown`: the first refusal ends the view, for everybody and for good.
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
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mounted::{Mount, child_of, in_time, mounts_at, run, wait_until};
use scene::Scene;
use serde_json::Value;
use tree::{build, continuity, scratch, set_mode, text};

const FILES: usize = 40;
const SIZE: usize = 300_000;

fn content(number: usize) -> Vec<u8> {
    scene::content(number, SIZE)
}

/// A tree with files of which `bad` is not what its manifest says.
fn spoilt() -> Scene {
    let scene = Scene::new(|tree| {
        for number in 0..FILES {
            fs::write(tree.join(number.to_string()), content(number)).unwrap();
        }
        fs::write(tree.join("bad"), content(FILES)).unwrap();
    });
    fs::write(scene.path("tree/bad"), content(FILES + 1)).unwrap();
    scene
}

fn mount(scene: &Scene, options: &str) -> Mount {
    scene.mount(&["-o", &format!("errors=shutdown,{options}")])
}

fn is_eio<T>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| error.raw_os_error() == Some(5))
}

/// Reads past the kernel's page cache.
fn read_directly(path: &Path) -> io::Result<Vec<u8>> {
    mounted::read_directly(path, SIZE)
}

/// Unmounts, and the supervisor tells that it was not well.
fn end(mut mount: Mount) {
    run("umount", [mount.path()]);
    assert_eq!(mount.wait().code(), Some(2));
    assert!(
        mount
            .log()
            .contains("continuity: it was shut down because content was refused"),
        "{}",
        mount.log()
    );
}

#[test]
fn the_first_refusal_ends_everything() {
    let scene = spoilt();
    let mount = mount(&scene, "introspect");
    assert_eq!(mount.status()["errors"], "shutdown");
    assert_eq!(mount.status()["shutdown"], Value::Null);
    // The kernel has all of the first file, knows the second, and has heard of others.
    assert_eq!(fs::read(mount.join("0")).unwrap(), content(0));
    let known = File::open(mount.join("1")).unwrap();
    assert_eq!(known.metadata().unwrap().len(), SIZE as u64);
    assert!(is_eio(fs::read(mount.join("bad"))));

    for number in 1..FILES {
        assert!(
            is_eio(read_directly(&mount.join(number.to_string()))),
            "{number}"
        );
    }
    let mut bytes = [0; 10];
    assert!(is_eio(known.read_exact_at(&mut bytes, 0)));
    assert!(is_eio(fs::read(mount.join("2"))));
    assert!(is_eio(
        rustix::fs::statvfs(mount.path()).map_err(io::Error::from)
    ));
    // What the kernel got before was checked, and stays until it drops it.
    assert_eq!(fs::read(mount.join("0")).unwrap(), content(0));
    let first = File::open(mount.join("0")).unwrap();
    rustix::fs::fadvise(&first, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    assert!(is_eio(first.read_exact_at(&mut bytes, 0)));

    let told = mount.status();
    let why = told["shutdown"].as_str().unwrap();
    assert!(
        why.starts_with("event=refused reason=digest_mismatch path=\"/bad\" ino="),
        "{why}"
    );
    let table = text(&continuity(["mounts"]).stdout);
    let line = table
        .lines()
        .find(|line| line.contains(mount.path().to_str().unwrap()));
    assert!(line.unwrap().ends_with("  shutdown"), "{table}");
    let metrics = continuity(["mounts", "--metrics", mount.path().to_str().unwrap()]);
    assert!(text(&metrics.stdout).contains("\ncontinuity_shutdown 1\n"));
    let log = mount.log();
    assert_eq!(log.matches("event=shutdown ").count(), 1, "{log}");
    assert!(
        log.contains("event=shutdown path=\"/bad\" reason=digest_mismatch ino="),
        "{log}"
    );
    drop((known, first));
    end(mount);
}

#[test]
fn a_worker_that_dies_does_not_bring_it_back() {
    for recovery in ["auto", "remount"] {
        let scene = spoilt();
        let mut mount = mount(&scene, &format!("recovery={recovery}"));
        assert!(is_eio(fs::read(mount.join("bad"))));
        let worker = mount.worker();
        mount.signal_worker("KILL");
        wait_until(
            || !Path::new(&format!("/proc/{worker}/exe")).exists(),
            || "it goes on".to_owned(),
        );
        mount.wait_for("event=worker_died next=never");
        if recovery == "remount" {
            assert_eq!(mount.wait().code(), Some(2));
            assert!(mounts_at(mount.path()).is_empty());
            continue;
        }
        for name in ["0", "1", "bad"] {
            let read = in_time("read", || fs::read(mount.join(name)));
            assert!(is_eio(read), "{name}");
        }
        assert!(child_of(mount.pid()).is_none());
        end(mount);
    }
}

/// Nobody who begins to read after somebody was refused gets anything.
#[test]
fn readers_of_everything_else_are_ended_too() {
    for options in ["", "block_cache=0", "block_cache=100M"] {
        let scene = spoilt();
        let mount = mount(&scene, options);
        let (ended, done) = (AtomicBool::new(false), AtomicBool::new(false));
        let (before, after) = (AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for reader in 0..16 {
                let (mount, ended, done) = (&mount, &ended, &done);
                let (before, after) = (&before, &after);
                scope.spawn(move || {
                    let mut number = reader;
                    while !done.load(Ordering::Relaxed) {
                        number = (number * 5 + 3) % FILES;
                        let path = mount.join(number.to_string());
                        let is_over = ended.load(Ordering::SeqCst);
                        // Some read little, which may be at hand.
                        let read = if reader % 2 == 0 {
                            read_directly(&path).map(|bytes| bytes == content(number))
                        } else {
                            let file = File::open(&path);
                            file.and_then(|file| {
                                rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
                                let mut bytes = [0; 5000];
                                file.read_exact_at(&mut bytes, 100_000)?;
                                Ok(bytes == content(number)[100_000..105_000])
                            })
                        };
                        match read {
                            Ok(is_right) => {
                                assert!(is_right);
                                // Pages that somebody else's read left are the kernel's.
                                assert!(!is_over || reader % 2 == 1, "given out after the end");
                                before.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(error) => {
                                assert_eq!(error.raw_os_error(), Some(5));
                                after.fetch_add(u64::from(is_over), Ordering::Relaxed);
                            }
                        }
                    }
                });
            }
            wait_until(
                || before.load(Ordering::Relaxed) > 200,
                || "nobody reads".to_owned(),
            );
            assert!(is_eio(fs::read(mount.join("bad"))));
            ended.store(true, Ordering::SeqCst);
            let start = Instant::now();
            while after.load(Ordering::Relaxed) < 2000 && start.elapsed() < Duration::from_secs(60)
            {
                thread::sleep(Duration::from_millis(5));
            }
            done.store(true, Ordering::Relaxed);
        });
        assert!(after.load(Ordering::Relaxed) >= 2000);
        end(mount);
    }
}

/// Copies that are not open cannot be opened any more.
#[test]
fn private_copies_end_too() {
    let scratch = scratch();
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let large = content(0).repeat(5);
    fs::write(tree.join("large"), &large).unwrap();
    fs::write(tree.join("bad"), "content").unwrap();
    let manifest = build(&scratch, &tree, &[]);
    fs::write(tree.join("bad"), "CONTENT").unwrap();
    let cache = scratch.path().join("cache");
    fs::create_dir(&cache).unwrap();
    set_mode(&cache, 0o700);
    let options = format!(
        "errors=shutdown,cache_max=64M,cache_dir={}",
        cache.display()
    );
    let mount = Mount::with(&manifest, &tree, &["-o", &options]);
    assert!(fs::read(mount.join("large")).unwrap() == large);
    assert!(fs::read(mount.join("large")).unwrap() == large);
    assert!(is_eio(fs::read(mount.join("bad"))));
    assert!(is_eio(File::open(mount.join("large"))));
    end(mount);
}

/// A backing that cannot be read for now is no reason.
#[test]
fn what_is_not_the_content_ends_nothing() {
    let scratch = scratch();
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), "content").unwrap();
    let manifest = scratch.path().join("manifest");
    let digestless = "resource: {\n  path: \"/file\"\n  mode: 420\n  size: 7\n}\nresource: {\n  path: \"/missing\"\n  mode: 420\n  size: 7\n}\n";
    fs::write(scratch.path().join("text"), digestless).unwrap();
    let from = scratch.path().join("text");
    let output = continuity([
        "build".as_ref(),
        "--from-dump".as_ref(),
        from.as_os_str(),
        "-o".as_ref(),
        manifest.as_os_str(),
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mount = Mount::with(&manifest, &tree, &["-o", "errors=shutdown"]);
    assert!(is_eio(fs::read(mount.join("file"))));
    mount.wait_for("reason=digest_unsupported");
    assert!(!mount.log().contains("event=shutdown"), "{}", mount.log());
    assert_eq!(mount.status()["shutdown"], Value::Null);
    assert!(mount.unmount().success());
}
