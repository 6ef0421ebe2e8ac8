//! What the tests have in common: a directory that others can get to, manifests
//! and mounts in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::debian::debian;
use crate::mounted::Mount;
use crate::tree::{continuity, set_mode, text};

pub struct Scene(TempDir);

impl Scene {
    /// In the directory for temporary files: the one of the build may be closed to
    /// the users inside.
    pub fn new() -> Self {
        Self(open_directory())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// A new directory.
    pub fn directory(&self, name: &str) -> PathBuf {
        let path = self.join(name);
        fs::create_dir(&path).unwrap();
        path
    }

    /// Builds the manifest of a tree.
    pub fn build(&self, name: &str, tree: &Path) -> PathBuf {
        let manifest = self.join(name);
        let (o, out, tree) = ("-o".as_ref(), manifest.as_os_str(), tree.as_os_str());
        let built = continuity(["build".as_ref(), o, out, tree]);
        assert!(built.status.success(), "{}", text(&built.stderr));
        manifest
    }

    /// Builds the manifest of the Debian.
    pub fn debian(&self) -> PathBuf {
        self.build("debian.pb", &debian())
    }
}

fn open_directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    set_mode(directory.path(), 0o755);
    directory
}

/// Mounts a manifest in a directory that others can get to.
pub fn mount(manifest: &Path, backing: &Path, options: &str) -> Mount {
    let scratch = open_directory();
    let path = scratch.path().join("mount");
    fs::create_dir(&path).unwrap();
    let mount = Mount::start_at(scratch, path, |path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_continuity"));
        command.args(["mount", "--fuse", "-o", options]);
        command.args([path, manifest, backing]);
        command
    });
    mount.wait_for("INFO  mounted");
    mount
}

/// Mounts the Debian.
pub fn mount_debian(scene: &Scene, options: &str) -> Mount {
    mount(&scene.debian(), &debian(), options)
}

/// Runs a program, and not for ever.
pub fn finish(command: &mut Command) -> Output {
    let mut limited = Command::new("timeout");
    limited
        .args(["-s", "KILL", "120"])
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(directory) = command.get_current_dir() {
        limited.current_dir(directory);
    }
    for (name, value) in command.get_envs() {
        limited.env(name, value.unwrap_or_default());
    }
    limited.output().unwrap()
}

/// What was printed, of what went well.
pub fn succeeds(name: &str, output: &Output) -> String {
    let (said, printed) = (lossy(&output.stderr), lossy(&output.stdout));
    assert!(
        output.status.success(),
        "{name}: {}\n{said}\n{printed}",
        output.status
    );
    printed
}

pub fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
