//! `continuity umount`: it ends what is ours, and leaves nothing of it.
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
use std::fs::{self, File};
use std::path::Path;
use std::process::Output;

use mounted::{in_time, mounts_at, run};
use scene::Scene;
use tree::{continuity, text};

fn scene() -> Scene {
    Scene::new(|tree| fs::write(tree.join("file"), "content\n").unwrap())
}

fn umount<A: AsRef<OsStr> + Send>(arguments: impl IntoIterator<Item = A> + Send) -> Output {
    in_time("umount", || {
        let words = arguments.into_iter().map(|word| word.as_ref().to_owned());
        continuity([OsStr::new("umount").to_owned()].into_iter().chain(words))
    })
}

/// Whether a process runs; one that was not waited for has ended all the same.
fn runs(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}/exe")).read_link().is_ok()
}

#[test]
fn nothing_is_left() {
    let scene = scene();
    let mut mount = scene.mount(&[]);
    let (supervisor, worker) = (mount.pid(), mount.worker());
    let output = umount([mount.path()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(!mount.is_mounted());
    assert!(!runs(supervisor) && !runs(worker));
    assert!(mount.wait().success());
    let again = umount([mount.path()]);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("nothing of continuity"));
}

#[test]
fn who_uses_it_is_named() {
    let scene = scene();
    let mut mount = scene.mount(&[]);
    let file = File::open(mount.join("file")).unwrap();
    let output = umount([mount.path()]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    let us = format!("in use by {} (", std::process::id());
    assert!(said.contains(&us) && said.lines().count() == 1, "{said}");
    assert!(mount.is_mounted());
    let output = umount(["-l".as_ref(), mount.path().as_os_str()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(!mount.is_mounted());
    drop(file);
    assert!(mount.wait().success());
}

#[test]
fn what_is_not_ours_stays() {
    let scene = scene();
    let mut mount = scene.mount(&[]);
    let tmpfs = [
        "-t".as_ref(),
        "tmpfs".as_ref(),
        "other".as_ref(),
        mount.path().as_os_str(),
    ];
    run("mount", tmpfs);
    let output = umount([mount.path()]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output.stderr).contains("mounted over it"));
    assert_eq!(mounts_at(mount.path()), ["fuse.continuity", "tmpfs"]);
    run("umount", [mount.path()]);
    assert!(umount([mount.path()]).status.success());
    assert!(mount.wait().success());
    let output = umount(["/proc"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

/// In a namespace that has no other mounts of ours.
#[test]
fn all_of_them_end() {
    let script = r#"
findmnt -rnt fuse.continuity -o TARGET | while read place; do umount -l "$place" || :; done
mkdir one two
for place in one two one; do "$CONTINUITY" mount -d $place manifest tree; done
test $(findmnt -rnt fuse.continuity | wc -l) = 3
"$CONTINUITY" umount --all
test $(findmnt -rnt fuse.continuity | wc -l) = 0
"#;
    let scene = scene();
    let output = std::process::Command::new("timeout")
        .args([
            "-s",
            "KILL",
            "60",
            "unshare",
            "--mount",
            "--propagation=private",
        ])
        .args(["sh", "-euxc", script])
        .env("CONTINUITY", env!("CARGO_BIN_EXE_continuity"))
        .current_dir(scene.path(""))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}
