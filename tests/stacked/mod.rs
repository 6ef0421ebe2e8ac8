//! overlayfs on top of mounts.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::mounted::run;

/// An overlay; unmounted when dropped.
pub struct Overlay {
    path: PathBuf,
    upper: PathBuf,
}

impl Overlay {
    /// With a layer of its own to write to, in new directories of `scratch`;
    /// `lower` has the layers from the top down, `options` begin with a comma.
    pub fn new(scratch: &Path, lower: &[&Path], options: &str) -> Self {
        Self::of(0, scratch, lower, options)
    }

    /// The same, when what is to be written to belongs to somebody else. overlayfs
    /// asks for the owner of its root once, so it must be so from the beginning.
    pub fn of(owner: u32, scratch: &Path, lower: &[&Path], options: &str) -> Self {
        let (upper, work) = (fresh(scratch, "upper"), fresh(scratch, "work"));
        for directory in [&upper, &work] {
            std::os::unix::fs::chown(directory, Some(owner), Some(owner)).unwrap();
        }
        let options = format!(
            ",upperdir={},workdir={}{options}",
            upper.display(),
            work.display()
        );
        let mut overlay = Self::read_only(scratch, lower, &options);
        overlay.upper = upper;
        overlay
    }

    /// With nothing to write to.
    pub fn read_only(scratch: &Path, lower: &[&Path], options: &str) -> Self {
        let path = fresh(scratch, "merged");
        let lower: Vec<_> = lower.iter().map(|path| path.to_str().unwrap()).collect();
        let options = format!("lowerdir={}{options}", lower.join(":"));
        let place = path.to_str().unwrap();
        run("mount", ["-t", "overlay", "overlay", "-o", &options, place]);
        Self {
            path,
            upper: PathBuf::new(),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was changed.
    pub fn upper(&self) -> &Path {
        &self.upper
    }

    pub fn join(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.path.join(relative)
    }

    pub fn names(&self, relative: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.join(relative))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn fresh(scratch: &Path, name: &str) -> PathBuf {
    let path = scratch.join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir(&path).unwrap();
    path
}

impl Drop for Overlay {
    fn drop(&mut self) {
        // A mount that has it for its backing may have been told to end just now.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
