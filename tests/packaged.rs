//! The Debian package, on an overlay of this machine: installed, used by mount(8), the
//! shells and systemd, and removed without a trace.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod tree;

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use tree::{scratch, text};

fn script(name: &str) -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
    sources.join(name)
}

/// Makes the package, in no time at the cost of its size.
fn package(scratch: &TempDir) -> PathBuf {
    let programs = Path::new(env!("CARGO_BIN_EXE_continuity")).parent();
    let output = Command::new("sh")
        .arg(script("packaging/deb.sh"))
        .args([programs.unwrap(), scratch.path()])
        .env("DPKG_DEB_COMPRESSOR_TYPE", "gzip")
        .env("DPKG_DEB_COMPRESSOR_LEVEL", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).trim_end().into()
}

/// Runs a program with arguments of unshare(1), in a directory of the test's.
fn run(unshare: &[&str], words: &[&Path]) {
    let scratch = scratch();
    let output = Command::new("timeout")
        .args(["-s", "KILL", "170", "unshare", "--mount"])
        .arg("--propagation=private")
        .args(unshare)
        .arg("sh")
        .args(words)
        .current_dir(scratch.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
}

#[test]
fn is_installed_used_and_removed() {
    let scratch = scratch();
    // All processes go with the first one.
    let unshare = ["--pid", "--fork", "--kill-child", "--mount-proc"];
    let machine = script("tests/packaged/machine.sh");
    let installed = script("tests/packaged/installed.sh");
    run(&unshare, &[&machine, &package(&scratch), &installed]);
}

#[test]
fn its_units_are_run_by_systemd() {
    let scratch = scratch();
    let boot = script("tests/packaged/boot.sh");
    let units = script("tests/packaged/units.sh");
    run(&[], &[&boot, &package(&scratch), &units]);
}
