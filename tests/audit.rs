//! What `continuity audit` finds, on real mounts, and what it cannot be made to
//! believe.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod mounted;
mod scene;
mod tree;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::process::{Command, Output};

use mounted::{Mount, in_time, run};
use scene::Scene;
use serde_json::Value;
use tree::{continuity, flip, set_mode, text};

const CHUNK: usize = 65536;

/// Files of all kinds, a thousand of them small.
fn scene() -> Scene {
    let arguments = ["--chunk-threshold=1000000", "--chunk-size=65536"];
    Scene::built_with(&arguments, |tree| {
        fs::create_dir(tree.join("many")).unwrap();
        for number in 0..1000 {
            fs::write(tree.join(format!("many/{number}")), format!("{number}")).unwrap();
        }
        let large: Vec<u8> = (0..20 * CHUNK + 7).map(|at| (at / 5) as u8).collect();
        fs::write(tree.join("chunked"), &large).unwrap();
        fs::write(tree.join("good"), "content\n").unwrap();
        fs::write(tree.join("linked"), "content\n").unwrap();
        fs::hard_link(tree.join("linked"), tree.join("many/linked")).unwrap();
        fs::write(tree.join("gone"), "content\n").unwrap();
        fs::write(tree.join(OsStr::from_bytes(b"a\n\x1b[2J\"\\\xff")), "x").unwrap();
        symlink("nowhere", tree.join("link")).unwrap();
        run("mkfifo", [tree.join("fifo")]);
    })
}

/// Changes a byte of a file in its place.
fn damage(scene: &Scene, name: &str, at: u64) {
    flip(&scene.tree().join(name), at);
}

fn audit(mount: &Mount, arguments: &[&str]) -> Output {
    in_time("audit", || {
        let place = mount.path().to_str().unwrap();
        continuity(["audit"].iter().chain(arguments).chain([&place]))
    })
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn objects(output: &Output) -> Vec<Value> {
    let lines = text(&output.stdout);
    let objects = lines.lines();
    objects
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_good_mount_has_nothing_to_tell() {
    let scene = scene();
    let mount = scene.mount(&[]);
    for arguments in [&[][..], &["--cached"], &["--jobs=1"]] {
        let output = audit(&mount, arguments);
        assert_eq!(code(&output), 0, "{output:?}");
        assert!(output.stdout.is_empty() && output.stderr.is_empty());
    }
    let output = audit(&mount, &["--json"]);
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    let summary = &all[0];
    assert_eq!(summary["finding"], "summary");
    // And the directory, the link and the pipe.
    assert_eq!(
        (&summary["paths"], &summary["files"]),
        (&1009.into(), &1006.into())
    );
    let bytes: u64 = (0..1000).map(|n: u32| n.to_string().len() as u64).sum();
    assert_eq!(summary["bytes"], bytes + 20 * 65536 + 7 + 4 * 8 + 1);
    let part = continuity(["audit", mount.join("many").to_str().unwrap()]);
    assert_eq!(code(&part), 0);
    assert!(mount.unmount().success());
}

/// A part of a mount has the paths of the whole.
#[test]
fn a_directory_in_a_mount_can_be_audited() {
    let scene = scene();
    damage(&scene, "many/500", 0);
    let mount = scene.mount(&[]);
    let output = continuity(["audit", mount.join("many").to_str().unwrap()]);
    assert_eq!(code(&output), 1);
    let shown = text(&output.stdout);
    assert!(
        shown.starts_with("/many/500: reason=digest_mismatch "),
        "{shown}"
    );
    assert!(mount.unmount().success());
}

#[test]
fn says_what_is_refused_and_why() {
    let scene = scene();
    damage(&scene, "many/500", 0);
    damage(&scene, "linked", 3);
    damage(&scene, "chunked", 3 * CHUNK as u64 + 9);
    fs::remove_file(scene.tree().join("gone")).unwrap();
    fs::write(scene.tree().join("many/7"), "77").unwrap();
    for options in ["introspect", ""] {
        let mount = scene.mount(&["-o", options]);
        let output = audit(&mount, &["--format=ndjson"]);
        assert_eq!(code(&output), 1, "{}", text(&output.stderr));
        let mut objects = objects(&output);
        let summary = objects.pop().unwrap();
        assert_eq!(
            (&summary["refused"], &summary["troubles"]),
            (&6.into(), &0.into())
        );
        let found = |path: &str| -> &Value {
            let mut found = objects.iter().filter(|object| object["path"] == path);
            let object = found.next().unwrap();
            assert!(found.next().is_none());
            object
        };
        for (path, reason) in [
            ("/many/500", "digest_mismatch"),
            ("/linked", "digest_mismatch"),
            ("/many/linked", "digest_mismatch"),
            ("/many/7", "size_mismatch"),
            ("/gone", "backing_missing"),
        ] {
            assert_eq!(found(path)["reason"], reason, "{path}");
        }
        let chunk = found("/chunked");
        assert_eq!((&chunk["chunk"], &chunk["len"]), (&3.into(), &CHUNK.into()));
        assert_eq!(chunk["off"], 3 * CHUNK);
        assert!(chunk["want"].as_str().unwrap().contains(':'));
        mount.wait_for("path=\"/chunked\" ino=");
        mount.wait_for(" chunk=3 off=196608 len=65536 want=");
        let output = audit(&mount, &["--format=paths0"]);
        let paths: Vec<_> = output.stdout.split(|byte| *byte == 0).collect();
        assert_eq!(paths.len(), 7);
        assert!(mount.unmount().success());
    }
}

#[test]
fn names_are_escaped() {
    let scene = scene();
    let name = OsStr::from_bytes(b"a\n\x1b[2J\"\\\xff");
    fs::write(scene.tree().join(name), "y").unwrap();
    let mount = scene.mount(&[]);
    let output = audit(&mount, &[]);
    assert_eq!(code(&output), 1);
    let shown = text(&output.stdout);
    let wanted = r#"/a\n\x1b[2J\"\\\xff: reason=digest_mismatch ino="#;
    assert!(shown.starts_with(wanted), "{shown}");
    assert_eq!(shown.lines().count(), 1);
    let told = text(&output.stderr);
    assert!(
        told.contains("refused: 1, could not be looked at: 0, files: 1006"),
        "{told}"
    );
    let output = audit(&mount, &["--format=ndjson"]);
    let object = &objects(&output)[0];
    assert_eq!(object["path_hex"], "2f610a1b5b324a225cff");
    assert!(mount.unmount().success());
}

/// What the kernel has, and what the worker has at hand, were checked; but not now.
#[test]
fn what_is_at_hand_is_not_believed() {
    let scene = scene();
    let mount = scene.mount(&[]);
    assert_eq!(fs::read(mount.join("good")).unwrap(), b"content\n");
    // So that a chunk stays with the worker, and not with the kernel.
    let read_directly = || {
        let mut command = Command::new("dd");
        let from = format!("if={}", mount.join("chunked").display());
        command.args([
            &from,
            "of=/dev/null",
            "bs=4096",
            "count=1",
            "skip=17",
            "iflag=direct",
        ]);
        command.output().unwrap().status.success()
    };
    assert!(read_directly());
    damage(&scene, "good", 0);
    damage(&scene, "chunked", CHUNK as u64 + 5000);
    assert_eq!(fs::read(mount.join("good")).unwrap(), b"content\n");
    assert!(read_directly(), "it is not at hand");

    let output = audit(&mount, &["--format=ndjson"]);
    assert_eq!(code(&output), 1);
    let refused: Vec<_> = objects(&output)
        .iter()
        .filter(|object| object["finding"] == "refused")
        .map(|object| object["path"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(refused.len(), 2, "{refused:?}");
    // Others go on with what they have.
    assert_eq!(fs::read(mount.join("good")).unwrap(), b"content\n");
    damage(&scene, "chunked", CHUNK as u64 + 5000);
    assert_eq!(code(&audit(&mount, &["--cached"])), 0);
    // A second damage puts it right again.
    damage(&scene, "good", 0);
    assert_eq!(code(&audit(&mount, &[])), 0);
    assert!(mount.unmount().success());
}

#[test]
fn other_places_are_trouble() {
    let scene = scene();
    let tree = scene.tree();
    for (place, wanted) in [
        (tree.to_str().unwrap(), "is no continuity mount"),
        ("/nowhere", "cannot read \"/nowhere\": No such file"),
    ] {
        let output = continuity(["audit", place]);
        assert_eq!(code(&output), 2);
        let told = text(&output.stderr);
        assert!(told.contains(wanted), "{told}");
    }
    let mut mount = scene.mount(&[]);
    mount.kill();
    let output = audit(&mount, &[]);
    assert_eq!(code(&output), 2, "{output:?}");
    let told = text(&output.stderr);
    // The same, but for what the last thread of the server was still asked.
    let dead = ["not connected", "connection abort"];
    assert!(dead.iter().any(|dead| told.contains(dead)), "{told}");
}

#[test]
fn what_is_mounted_within_is_left_out() {
    let scene = scene();
    let mount = scene.mount(&[]);
    run(
        "mount",
        ["-t", "tmpfs", "tmpfs", mount.join("many").to_str().unwrap()],
    );
    fs::write(mount.join("many/other"), "not ours").unwrap();
    let output = audit(&mount, &["--format=ndjson"]);
    let summary = objects(&output).pop().unwrap();
    run("umount", [mount.join("many")]);
    assert_eq!(code(&output), 0, "{output:?}");
    assert_eq!(
        (&summary["files"], &summary["covered"]),
        (&5.into(), &1.into())
    );
    assert!(
        text(&output.stderr).contains("1 places were left out"),
        "{output:?}"
    );
    assert!(mount.unmount().success());
}

/// A plain user hears that there is something, and no reason where nobody tells.
#[test]
fn others_than_root_can_audit() {
    let scene = scene();
    set_mode(&scene.tree().join("good"), 0o600);
    scene.build(&[]);
    damage(&scene, "many/500", 0);
    let mount = scene.mount(&["-o", "allow_other"]);
    set_mode(mount.path().parent().unwrap(), 0o755);
    let audit = |options: &[&str]| {
        Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .args([env!("CARGO_BIN_EXE_continuity"), "audit"])
            .args(options)
            .arg(mount.path())
            .output()
            .unwrap()
    };
    let output = audit(&[]);
    assert_eq!(code(&output), 2, "{output:?}");
    assert_eq!(
        text(&output.stdout),
        "/many/500: error=\"Input/output error\" off=0\n"
    );
    assert!(
        text(&output.stderr).contains("/good: Permission denied"),
        "{output:?}"
    );
    assert!(mount.unmount().success());
}

/// How far it has come is shown as by `verify`.
#[test]
fn progress_is_shown_to_programs() {
    let scene = scene();
    let mount = scene.mount(&[]);
    let output = audit(&mount, &["--progress=json"]);
    let told = text(&output.stderr);
    let last: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    assert_eq!(last["event"], "progress");
    assert_eq!(last["files"], 1009);
    assert!(last["bytes_total"].as_u64() >= last["bytes"].as_u64());
    assert!(mount.unmount().success());
}
