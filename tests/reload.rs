//! A mount that reads its manifest anew while it is used.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod mounted;
mod scene;
mod tree;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use mounted::{Mount, endurance, in_time, run, wait_until};
use rustix::fs::Advice;
use rustix::io::Errno;
use scene::Scene;
use tree::{continuity, text};

fn scene() -> Scene {
    Scene::new(|tree| {
        for (name, content) in [
            ("same", "always the same"),
            ("content", "old"),
            ("goes", "goes away"),
            ("mode", "mode"),
        ] {
            fs::write(tree.join(name), content).unwrap();
        }
    })
}

/// As a new file, so that one that is open stays what it is.
fn write(scene: &Scene, name: &str, content: &[u8]) {
    let path = scene.tree().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let _ = fs::remove_file(&path);
    fs::write(path, content).unwrap();
}

/// Puts another manifest in its place.
fn replace_manifest(scene: &Scene, content: &[u8]) {
    let new = scene.path("new");
    fs::write(&new, content).unwrap();
    fs::rename(new, scene.manifest()).unwrap();
}

/// Builds the manifest of what is there now, and has it read.
fn reload_built(scene: &Scene, mount: &Mount) {
    scene.build(&[]);
    reload(mount);
}

fn remount(mount: &Mount) -> Output {
    in_time("remount", || continuity(["remount".as_ref(), mount.path()]))
}

fn reload(mount: &Mount) {
    let output = remount(mount);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", mount.log());
}

fn refused(mount: &Mount, reason: &str) {
    let output = remount(mount);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains(reason), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

fn requests(mount: &Mount) -> u64 {
    mount.status()["requests"].as_u64().unwrap()
}

fn names(path: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(path).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn what_changed_is_seen_and_the_rest_stays() {
    let scene = scene();
    write(&scene, "directory/below", b"below");
    scene.build(&[]);
    let mount = scene.mount(&[]);
    let at = |name: &str| mount.join(name);
    let inode = |name: &str| fs::symlink_metadata(at(name)).unwrap().ino();
    // The kernel remembers all of it, also what is not there.
    assert_eq!(names(mount.path()).len(), 5);
    for name in ["same", "content", "goes", "mode", "directory/below"] {
        fs::read(at(name)).unwrap();
    }
    assert!(!at("comes").exists() && !at("directory/comes").exists());
    let open = File::open(at("content")).unwrap();
    let (same, content, mode) = (inode("same"), inode("content"), inode("mode"));
    let before = mount.status()["manifest"].clone();

    fs::remove_file(scene.tree().join("goes")).unwrap();
    write(&scene, "content", b"new content");
    write(&scene, "comes", b"comes");
    write(&scene, "directory/comes", b"comes too");
    run(
        "chmod",
        ["600", scene.tree().join("mode").to_str().unwrap()],
    );
    reload_built(&scene, &mount);

    assert_ne!(mount.status()["manifest"], before);
    assert_eq!(mount.status()["reloads"], 1);
    assert_eq!(mount.status()["worker_restarts"], 0, "{}", mount.log());
    // Nothing is asked for what is the same, not even a name; only for the directories
    // in which there are others now.
    for directory in [mount.path(), &at("directory")] {
        fs::metadata(directory).unwrap();
    }
    let asked = requests(&mount);
    assert_eq!(fs::read(at("same")).unwrap(), b"always the same");
    assert_eq!(fs::read(at("directory/below")).unwrap(), b"below");
    assert_eq!(inode("same"), same);
    assert_eq!(requests(&mount), asked);

    assert_eq!(fs::read(at("content")).unwrap(), b"new content");
    assert!(inode("content") > content);
    assert_eq!(fs::read(at("comes")).unwrap(), b"comes");
    assert_eq!(fs::read(at("directory/comes")).unwrap(), b"comes too");
    assert_eq!(
        fs::read(at("goes")).unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
    let expected = ["same", "content", "mode", "comes", "directory"];
    assert_eq!(names(mount.path()), expected.map(str::to_owned).into());
    assert_eq!(names(&at("directory")).len(), 2);
    // Of this one the content is the same.
    let found = fs::metadata(at("mode")).unwrap();
    assert_eq!((found.ino(), found.permissions().mode()), (mode, 0o100_600));

    // What is open is what it was, as far as the kernel has it.
    let mut bytes = [0; 3];
    open.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"old");
    rustix::fs::fadvise(&open, 0, None, Advice::DontNeed).unwrap();
    let error = open.read_exact_at(&mut bytes, 0).unwrap_err();
    assert_eq!(Errno::from_io_error(&error), Some(Errno::STALE));
    drop(open);

    // Another worker has the same numbers, and the next manifest follows them.
    let content = inode("content");
    mount.replace_worker("KILL");
    assert_eq!(inode("content"), content);
    let file = File::open(at("content")).unwrap();
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    let mut bytes = [0; 11];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"new content");
    write(&scene, "content", b"newer");
    reload_built(&scene, &mount);
    assert_eq!(fs::read(at("content")).unwrap(), b"newer");
    assert_eq!(inode("same"), same);
    assert!(inode("content") > content);
    assert_eq!(mount.status()["reloads"], 2);
    drop(file);
    assert!(mount.unmount().success());
}

#[test]
fn a_file_becomes_a_directory_and_back() {
    let scene = scene();
    let mount = scene.mount(&[]);
    let path = mount.join("content");
    for _ in 0..3 {
        assert_eq!(fs::read(&path).unwrap(), b"old");
        fs::remove_file(scene.tree().join("content")).unwrap();
        write(&scene, "content/below", b"below");
        reload_built(&scene, &mount);
        assert!(path.is_dir());
        assert_eq!(fs::read(path.join("below")).unwrap(), b"below");
        fs::remove_dir_all(scene.tree().join("content")).unwrap();
        write(&scene, "content", b"old");
        reload_built(&scene, &mount);
        assert!(path.is_file());
    }
    assert!(mount.unmount().success());
}

#[test]
fn names_of_one_file_come_and_go() {
    let scene = scene();
    let mount = scene.mount(&[]);
    let found = |name: &str| {
        let found = fs::metadata(mount.join(name)).unwrap();
        (found.ino(), found.nlink())
    };
    let first = found("same").0;
    let other = scene.tree().join("other");
    fs::hard_link(scene.tree().join("same"), &other).unwrap();
    assert!(!mount.join("other").exists());
    reload_built(&scene, &mount);
    assert_eq!((found("same"), found("other")), ((first, 2), (first, 2)));
    // The same content, and another file.
    write(&scene, "other", b"always the same");
    reload_built(&scene, &mount);
    assert_eq!(found("other").1, 1);
    assert_ne!(found("other").0, found("same").0);
    fs::remove_file(&other).unwrap();
    reload_built(&scene, &mount);
    assert_eq!(found("same").1, 1);
    assert!(!mount.join("other").exists());
    assert!(mount.unmount().success());
}

#[test]
fn what_is_refused_changes_nothing() {
    let scene = scene();
    let good = fs::read(scene.manifest()).unwrap();
    let mount = scene.mount(&[]);
    let pinned = {
        let digest = mount.status()["manifest"].as_str().unwrap().to_owned();
        scene.mount(&["--digest", &digest])
    };
    let replace = |content: &[u8]| replace_manifest(&scene, content);
    let worker = mount.worker();
    replace(b"\x0a\xff\xff");
    refused(&mount, "manifest");
    fs::remove_file(scene.manifest()).unwrap();
    refused(&mount, "cannot open the manifest");
    assert_eq!(mount.worker(), worker);
    write(&scene, "content", b"new");
    scene.build(&[]);
    refused(&pinned, "is not trusted: wanted sha256:");
    assert_eq!(fs::metadata(pinned.join("content")).unwrap().len(), 3);
    for mount in [&mount, &pinned] {
        assert_eq!(mount.status()["reloads"], 0);
        assert!(mount.join("goes").exists() && !mount.join("comes").exists());
        assert_eq!(fs::read(mount.join("same")).unwrap(), b"always the same");
    }
    reload(&mount);
    assert_eq!(fs::read(mount.join("content")).unwrap(), b"new");
    // As mount(8) asks for it.
    replace(&good);
    let asked = |mount: &Mount| {
        Command::new(env!("CARGO_BIN_EXE_mount-continuity"))
            .arg(scene.manifest())
            .arg(mount.path())
            .args(["-o", "ro,nosuid,remount,user_id=0"])
            .output()
            .unwrap()
    };
    assert!(asked(&mount).status.success());
    assert_eq!(mount.status()["reloads"], 2);
    assert!(asked(&pinned).status.success());
    replace(b"nonsense");
    let output = asked(&pinned);
    assert_eq!(output.status.code(), Some(32));
    assert_eq!(text(&output.stderr).lines().count(), 1);
    assert!(mount.unmount().success());
    assert!(pinned.unmount().success());
}

#[test]
fn what_cannot_be_followed_is_refused() {
    let scene = scene();
    let mount = scene.mount(&[]);
    assert!(fs::read(mount.join("same")).is_ok());
    // The kernel has been told that nothing has any.
    let listed = rustix::fs::getxattr(mount.join("same"), "user.name", &mut [0_u8; 8][..]);
    assert_eq!(listed.unwrap_err(), Errno::OPNOTSUPP);
    let path = scene.tree().join("content");
    rustix::fs::setxattr(
        &path,
        "user.name",
        b"value",
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
    scene.build(&[]);
    refused(&mount, "extended attributes");
    // Where it asks in any case they are seen.
    write(&scene, "content", b"old");
    scene.build(&[]);
    let introspecting = scene.mount(&["-o", "introspect"]);
    rustix::fs::setxattr(
        &path,
        "user.name",
        b"value",
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
    reload_built(&scene, &introspecting);
    let mut value = [0_u8; 8];
    let place = introspecting.join("content");
    let length = rustix::fs::getxattr(place, "user.name", &mut value[..]).unwrap();
    assert_eq!(&value[..length], b"value");
    assert!(introspecting.unmount().success());
    assert!(mount.unmount().success());
}

#[test]
fn what_changed_in_its_place_is_refused() {
    let scene = scene();
    let mount = scene.mount(&[]);
    fs::write(scene.manifest(), b"").unwrap();
    refused(&mount, "changed in its place");
    assert_eq!(fs::read(mount.join("same")).unwrap(), b"always the same");
    assert!(mount.unmount().success());
}

/// Signatures and files of digests are read anew.
#[test]
fn a_new_digest_in_the_file_counts() {
    let scene = scene();
    let pins = scene.path("digests");
    let pin = || {
        let name = scene.manifest();
        let sums = run("sha256sum", [&name]);
        fs::write(&pins, format!("sha256:{}\n", &sums[..64])).unwrap();
    };
    pin();
    let mount = scene.mount(&["--digest-file", pins.to_str().unwrap()]);
    write(&scene, "comes", b"comes");
    scene.build(&[]);
    refused(&mount, "is not trusted");
    assert!(!mount.join("comes").exists());
    pin();
    reload(&mount);
    assert_eq!(fs::read(mount.join("comes")).unwrap(), b"comes");
    assert!(mount.unmount().success());
}

#[test]
fn where_nobody_can_take_over_it_is_refused() {
    let scene = scene();
    let mount = scene.mount(&["-o", "recovery=remount"]);
    refused(&mount, "cannot be asked to read its manifest anew");
    let output = continuity(["remount".as_ref(), scene.path("").as_path()]);
    assert!(text(&output.stderr).contains("no continuity mount is at"));
    assert!(mount.unmount().success());
}

/// A crash on another manifest is a crash like any other; and when nobody serves any
/// more, whoever asks is told at once.
#[test]
fn crashes_after_it_are_made_good_and_no_more() {
    let scene = scene();
    let mount = scene.mount(&[]);
    write(&scene, "comes", b"comes");
    scene.build(&[]);
    assert!(!mount.join("comes").exists());
    reload(&mount);
    for _ in 0..5 {
        mount.replace_worker("ABRT");
        let found = in_time("read", || fs::read(mount.join("comes")));
        assert_eq!(found.unwrap(), b"comes");
    }
    mount.signal_worker("ABRT");
    mount.wait_for("next=never");
    refused(&mount, "cannot be asked to read its manifest anew");
    run("umount", [mount.path()]);
}

/// Some of the workers are killed meanwhile.
#[test]
fn no_reader_of_what_is_the_same_sees_it() {
    const READERS: usize = 16;
    const FILES: usize = 20;
    let rounds = 100 * endurance();
    let scene = scene();
    let content = |number: usize| vec![number as u8; 10_000 + number];
    for number in 0..FILES {
        write(&scene, &format!("files/{number}"), &content(number));
    }
    scene.build(&[]);
    let first = fs::read(scene.manifest()).unwrap();
    write(&scene, "content", b"something new");
    write(&scene, "files/more", b"more");
    fs::remove_file(scene.tree().join("goes")).unwrap();
    scene.build(&[]);
    let second = fs::read(scene.manifest()).unwrap();
    let mount = scene.mount(&[]);
    let (done, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for reader in 0..READERS {
            let (mount, done, reads) = (&mount, &done, &reads);
            scope.spawn(move || {
                let mut number = reader;
                while !done.load(Ordering::Relaxed) {
                    number = (number * 3 + 7) % FILES;
                    let file = File::open(mount.join(format!("files/{number}"))).unwrap();
                    if reader % 2 == 0 {
                        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap();
                    }
                    let expected = content(number);
                    let mut found = vec![0; expected.len()];
                    let read = file.read_exact_at(&mut found, 0);
                    read.unwrap_or_else(|error| panic!("{error}: {}", mount.log()));
                    assert!(found == expected, "{number}");
                    assert!(names(&mount.join("files")).len() >= FILES);
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for round in 0..rounds {
            let next = [&first, &second][(round % 2) as usize];
            replace_manifest(&scene, next);
            if round % 10 == 7 {
                mount.signal_worker("KILL");
            }
            // It can be refused while a worker is dying.
            wait_until(|| remount(&mount).status.success(), || mount.log());
            let is_second = round % 2 == 1;
            assert_eq!(mount.join("files/more").exists(), is_second);
            assert_eq!(mount.join("goes").exists(), !is_second);
        }
        done.store(true, Ordering::Relaxed);
    });
    println!("{rounds} reloads, {} reads", reads.into_inner());
    assert!(mount.unmount().success());
}

/// Several at once, and an end in the midst.
#[test]
fn who_asks_at_the_same_time_is_answered() {
    let scene = scene();
    let mount = scene.mount(&[]);
    thread::scope(|scope| {
        let askers: Vec<_> = (0..8).map(|_| scope.spawn(|| remount(&mount))).collect();
        for asker in askers {
            assert!(asker.join().unwrap().status.success());
        }
        assert_eq!(mount.status()["reloads"], 8);
        let askers: Vec<_> = (0..8).map(|_| scope.spawn(|| remount(&mount))).collect();
        mount.signal("TERM");
        // With a word, or without.
        for asker in askers {
            asker.join().unwrap();
        }
    });
    let mut mount = mount;
    assert!(mount.wait().success());
}
