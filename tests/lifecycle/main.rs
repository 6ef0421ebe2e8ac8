//! From mounting to the end, however it comes: what was there before is there
//! again, and nothing of somebody else's is touched.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod begins;
mod ends;
mod hostile;
#[path = "../mounted/mod.rs"]
mod mounted;
mod remounted;
#[path = "../scene/mod.rs"]
mod scene;
#[path = "../tree/mod.rs"]
mod tree;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use mounted::{Mount, in_time, mounts_at};
use scene::Scene;
use tree::{continuity, scratch};

/// A small tree, built.
fn scene() -> Scene {
    Scene::new(|tree| {
        fs::create_dir(tree.join("dir")).unwrap();
        fs::write(tree.join("file"), "content\n").unwrap();
        fs::write(tree.join("dir/large"), vec![b'x'; 3 << 20]).unwrap();
    })
}

/// A mount at a path of the caller's.
fn mount_at(scene: &Scene, path: &Path) -> Mount {
    let mount = Mount::start_at(scratch(), path.to_owned(), |path| {
        let mut command = program();
        command.args(["mount".as_ref(), path, &scene.manifest(), &scene.tree()]);
        command
    });
    mount.wait_for("INFO  mounted");
    mount
}

/// Mounting that has to fail.
fn refuse(scene: &Scene, arguments: &[&str]) -> Output {
    let output = in_time("mount", || continuity(arguments));
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    assert_eq!(mounts_at(&scene.path("mount")), [""; 0], "{arguments:?}");
    output
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_continuity"))
}
