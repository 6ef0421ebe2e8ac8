//! The mount shows the tree, and nothing but the tree.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod mounted;
mod tree;

use mounted::{Mount, run};
use tree::{continuity, make, scratch};

#[test]
fn diff_finds_nothing() {
    let scratch = scratch();
    let tree = make(&scratch, &[]);
    let manifest = scratch.path().join("manifest");
    let built = continuity([
        "build".as_ref(),
        "-o".as_ref(),
        manifest.as_os_str(),
        tree.as_os_str(),
    ]);
    assert!(built.status.success());
    let mount = Mount::new(&manifest, &tree);
    run(
        "diff",
        [
            "-r",
            "--no-dereference",
            tree.to_str().unwrap(),
            mount.path().to_str().unwrap(),
        ],
    );
    assert!(mount.unmount().success());
}
