//! The tree of `interop/make-tree.sh`, and the program to run on it.
//!
//! What these tests need and do not have (root, a filesystem with `trusted.*`
//! attributes, setfattr and setfacl, setpriv) fails them; nothing is skipped.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A file of `tests/interop`.
pub fn interop(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/interop")
        .join(name)
}

/// A directory on the filesystem of the build, which is no tmpfs: that has
/// had no `user.*` attributes before Linux 6.6.
pub fn scratch() -> TempDir {
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    // For the tests that run as somebody else.
    set_mode(scratch.path(), 0o755);
    scratch
}

pub fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Makes the tree, or some sections of it, in `scratch/tree`.
pub fn make(scratch: &TempDir, sections: &[&str]) -> PathBuf {
    let tree = scratch.path().join("tree");
    // It runs python3 dozens of times, and the system's starts faster than what
    // version managers put before it.
    let path = std::env::var("PATH").unwrap_or_default();
    let made = Command::new("sh")
        .env("PATH", format!("/usr/bin:/bin:{path}"))
        .arg(interop("make-tree.sh"))
        .arg(&tree)
        .args(sections)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "make-tree.sh needs root, python3, and a filesystem with all attributes: {}",
        text(&made.stderr)
    );
    tree
}

/// Builds the manifest of a tree, with these arguments.
pub fn build(scratch: &TempDir, tree: &Path, arguments: &[&str]) -> PathBuf {
    let manifest = scratch.path().join("manifest");
    let built = Command::new(env!("CARGO_BIN_EXE_continuity"))
        .arg("build")
        .args(arguments)
        .arg("-o")
        .args([manifest.as_path(), tree])
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", text(&built.stderr));
    manifest
}

/// Changes a byte of a file in its place.
pub fn flip(path: &Path, at: u64) {
    use std::os::unix::fs::FileExt;
    let mut options = std::fs::File::options();
    let file = options.read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&byte.map(|byte: u8| !byte), at).unwrap();
}

/// Runs a shell script in a directory.
pub fn sh(directory: &Path, script: &str) {
    let done = Command::new("sh")
        .args(["-euc", script])
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(done.status.success(), "{script}: {}", text(&done.stderr));
}

/// The program.
pub fn continuity<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_continuity"))
        .args(arguments)
        .output()
        .unwrap()
}

/// The program, run by somebody who may do nothing.
pub fn continuity_as_nobody<I: AsRef<OsStr>>(
    scratch: &TempDir,
    arguments: impl IntoIterator<Item = I>,
) -> Output {
    // The target directory may be closed to others.
    let program = scratch.path().join("continuity");
    if !program.exists() {
        std::fs::copy(env!("CARGO_BIN_EXE_continuity"), &program).unwrap();
        set_mode(&program, 0o755);
    }
    let nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let can = Command::new("setpriv")
        .args(nobody)
        .arg(&program)
        .arg("--version")
        .output()
        .unwrap();
    assert!(
        can.status.success(),
        "setpriv must be able to run {program:?} as user 65534: {}",
        text(&can.stderr)
    );
    Command::new("setpriv")
        .args(nobody)
        .arg(&program)
        .args(arguments)
        .output()
        .unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
