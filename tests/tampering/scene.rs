//! A backing with one file, and how it is declared and mounted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::Caches;
use crate::mounted::{self, Mount, run};
use crate::tree::{continuity, scratch, set_mode, text};

/// How a file is declared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Small, with a digest of the whole.
    Small,
    /// With a table of chunks of 64 KiB.
    Chunked,
    /// Large, with a digest of the whole and nothing else.
    Large,
}

impl Kind {
    pub fn size(self) -> usize {
        match self {
            Self::Small => 20_007,
            Self::Chunked | Self::Large => (2 << 20) + 4097,
        }
    }

    pub fn build(self, tree: &Path, manifest: &Path) {
        let options: &[&str] = match self {
            Self::Small => &[],
            Self::Chunked => &["--chunk-threshold=1", "--chunk-size=65536"],
            Self::Large => &["--compat"],
        };
        build(tree, manifest, options);
    }
}

pub fn build(tree: &Path, manifest: &Path, options: &[&str]) {
    let built = continuity(
        ["build", "-o", manifest.to_str().unwrap()]
            .into_iter()
            .chain(options.iter().copied())
            .chain([tree.to_str().unwrap()]),
    );
    assert!(built.status.success(), "{}", text(&built.stderr));
}

/// Bytes that do not repeat from page to page.
pub fn content(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// A backing with one file, `dir/file`, its manifest, and what is declared.
pub struct Scene {
    pub scratch: TempDir,
    pub declared: Vec<u8>,
    pub caches: Caches,
}

impl Scene {
    pub fn new(kind: Kind, caches: Caches) -> Self {
        let scratch = scratch();
        let declared = content(kind.size(), 1);
        fs::create_dir_all(scratch.path().join("tree/dir")).unwrap();
        fs::write(scratch.path().join("tree/dir/file"), &declared).unwrap();
        kind.build(
            &scratch.path().join("tree"),
            &scratch.path().join("manifest"),
        );
        Self {
            scratch,
            declared,
            caches,
        }
    }

    pub fn tree(&self) -> PathBuf {
        self.scratch.path().join("tree")
    }

    pub fn file(&self) -> PathBuf {
        self.tree().join("dir/file")
    }

    pub fn mount(&self) -> Mount {
        let manifest = self.scratch.path().join("manifest");
        Mount::with(&manifest, &self.tree(), &["-o", self.caches])
    }

    /// With private copies of large files.
    pub fn mount_with_copies(&self) -> Mount {
        let options = with_copies(&self.scratch);
        let manifest = self.scratch.path().join("manifest");
        Mount::with(
            &manifest,
            &self.tree(),
            &["-o", &options, "-o", self.caches],
        )
    }

    /// The backing as it was, with files made anew.
    pub fn repair(&self) {
        let directory = self.tree().join("dir");
        while !mounted::mounts_at(&directory).is_empty() {
            run("umount", [&directory]);
        }
        let made_anew = self.scratch.path().join("anew");
        fs::create_dir(&made_anew).unwrap();
        fs::write(made_anew.join("file"), &self.declared).unwrap();
        match directory.symlink_metadata() {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&directory).unwrap(),
            Ok(_) => fs::remove_file(&directory).unwrap(),
            Err(_) => {}
        }
        fs::rename(made_anew, directory).unwrap();
    }
}

/// A mount made by a test must not outlive it.
impl Drop for Scene {
    fn drop(&mut self) {
        let directory = self.tree().join("dir");
        if !mounted::mounts_at(&directory).is_empty() {
            let _ = Command::new("umount").arg("-l").arg(&directory).output();
        }
    }
}

/// Mount options.
pub fn with_copies(scratch: &TempDir) -> String {
    let cache = scratch.path().join("cache");
    fs::create_dir_all(&cache).unwrap();
    set_mode(&cache, 0o700);
    format!("cache_dir={},cache_max=64M", cache.display())
}
