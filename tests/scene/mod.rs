//! A tree, its manifest, and mounts of both. For tests that have `mounted` and `tree`.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::mounted::Mount;
use crate::tree;

/// A directory with the tree and the manifest in it, and room for more.
pub struct Scene(TempDir);

impl Scene {
    /// A tree that `fill` makes in an empty directory, and its manifest.
    pub fn new(fill: impl FnOnce(&Path)) -> Self {
        Self::built_with(&[], fill)
    }

    /// The same, with arguments for the manifest.
    pub fn built_with(arguments: &[&str], fill: impl FnOnce(&Path)) -> Self {
        let scene = Self(tree::scratch());
        fs::create_dir(scene.tree()).unwrap();
        fill(&scene.tree());
        scene.build(arguments);
        scene
    }

    /// Files whose names are numbers, each with so many bytes of [`content`].
    pub fn of_files(count: usize, size: usize) -> Self {
        Self::new(|tree| {
            for number in 0..count {
                fs::write(tree.join(number.to_string()), content(number, size)).unwrap();
            }
        })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn tree(&self) -> PathBuf {
        self.path("tree")
    }

    pub fn manifest(&self) -> PathBuf {
        self.path("manifest")
    }

    /// Builds the manifest of what is there now.
    pub fn build(&self, arguments: &[&str]) {
        tree::build(&self.0, &self.tree(), arguments);
    }

    pub fn mount(&self, arguments: &[&str]) -> Mount {
        Mount::with(&self.manifest(), &self.tree(), arguments)
    }
}

/// What a file has whose name is this number.
pub fn content(number: usize, size: usize) -> Vec<u8> {
    (0..size).map(|at| (at / 7 + number * 31) as u8).collect()
}
