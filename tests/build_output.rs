//! The file that `build` writes: whole, or not there, or still the old one.

// The functions that tests share are tests too; clippy does not see that.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

mod tree;
use tree::{continuity, scratch, text};

/// The program in a mount namespace of its own, which ends with it.
fn sh_unshared(script: &str, arguments: &[&Path]) -> std::process::Output {
    Command::new("unshare")
        .args(["-m", "sh", "-euc", script, env!("CARGO_BIN_EXE_continuity")])
        .args(arguments)
        .output()
        .unwrap()
}

fn names_in(directory: &Path) -> usize {
    fs::read_dir(directory).unwrap().count()
}

#[test]
fn a_full_disk_leaves_the_old_manifest() {
    let scratch = scratch();
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).unwrap();
    for number in 0..500 {
        fs::write(tree.join(format!("{number}")), "content").unwrap();
    }
    let mount = scratch.path().join("full");
    fs::create_dir(&mount).unwrap();
    let full = sh_unshared(
        r#"mount -t tmpfs -o size=16k none "$1"; echo old > "$1/m"
           if "$0" build -o "$1/m" "$2"; then exit 9; else status=$?; fi
           cat "$1/m"; ls -A "$1"; exit $status"#,
        &[&mount, &tree],
    );
    assert_eq!(full.status.code(), Some(2));
    assert_eq!(text(&full.stdout), "old\nm\n");
    assert!(
        text(&full.stderr).contains("No space left"),
        "{}",
        text(&full.stderr)
    );
}

#[test]
fn an_interrupted_build_leaves_nothing() {
    let scratch = scratch();
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let sparse = fs::File::create(tree.join("sparse")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    let out = scratch.path().join("out");
    fs::create_dir(&out).unwrap();
    for signal in ["INT", "TERM"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_continuity"))
            .args([OsStr::new("build"), OsStr::new("-o")])
            .args([out.join("manifest"), tree.clone()])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let id = child.id();
        // Until it reads: nothing else takes so long.
        let status = format!("/proc/{id}/status");
        let reads = || {
            let io = fs::read_to_string(format!("/proc/{id}/io")).unwrap();
            let line = io.lines().find(|line| line.starts_with("rchar:")).unwrap();
            line[7..].parse::<u64>().unwrap() > 64 << 20
        };
        while !reads() {
            std::thread::sleep(Duration::from_millis(10));
        }
        let status = fs::read_to_string(status).unwrap();
        let peak = status
            .lines()
            .find(|line| line.starts_with("VmHWM:"))
            .unwrap();
        let peak: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(peak < 64 << 10, "{peak} KiB");
        let killed = Command::new("kill")
            .args(["-s", signal, &id.to_string()])
            .status();
        assert!(killed.unwrap().success());
        assert!(!child.wait().unwrap().success());
        assert_eq!(names_in(&out), 0);
    }
}

#[test]
fn a_manifest_that_exists_is_replaced_at_once() {
    let scratch = scratch();
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let out = scratch.path().join("out");
    fs::create_dir(&out).unwrap();
    for content in ["one", "two"] {
        fs::write(tree.join("file"), content).unwrap();
        let manifest = out.join("manifest");
        let built = continuity([
            "build".as_ref(),
            "-o".as_ref(),
            manifest.as_os_str(),
            tree.as_os_str(),
        ]);
        assert!(built.status.success(), "{}", text(&built.stderr));
        assert_eq!(names_in(&out), 1);
    }
    let stdout = continuity([
        "build".as_ref(),
        "-o".as_ref(),
        "-".as_ref(),
        tree.as_os_str(),
    ]);
    assert_eq!(stdout.stdout, fs::read(out.join("manifest")).unwrap());
}
