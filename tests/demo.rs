//! The demonstration of the README works and leaves nothing behind.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

#[test]
fn the_demonstration_works() {
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/demo.sh");
    let output = Command::new("sh")
        .args([script, env!("CARGO_BIN_EXE_continuity")])
        .env("TMPDIR", scratch.path())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}\n{errors}");
    for expected in [
        "(no difference)",
        "reason=digest_mismatch path=\"/Cargo.toml\"",
        "digests for resource \"/Cargo.toml\" do not match",
        "INFO  unmounted",
    ] {
        assert!(printed.contains(expected), "{expected}:\n{printed}");
    }
    for expected in ["Read-only file system", "Input/output error"] {
        assert!(errors.contains(expected), "{expected}:\n{errors}");
    }
    let left: Vec<_> = std::fs::read_dir(scratch.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(scratch.path().to_str().unwrap()));
}
