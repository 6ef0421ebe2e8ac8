//! Which commit this is built from, as far as git knows.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What the programs are made from.
const SOURCES: [&str; 6] = [
    "build",
    "Cargo.lock",
    "Cargo.toml",
    "mount-helper",
    "proto",
    "src",
];

/// A directory that git keeps.
pub struct Tree<'a>(&'a Path);

impl<'a> Tree<'a> {
    /// `None` for the contents of an archive, also if those were unpacked inside of
    /// what git keeps: its commits are of something else.
    pub fn at(directory: &'a Path) -> Option<Self> {
        let tree = Self(directory);
        let top = PathBuf::from(tree.git(&["rev-parse", "--show-toplevel"])?);
        let is_top = top.canonicalize().ok()? == directory.canonicalize().ok()?;
        tree.git(&["ls-files", "--error-unmatch", "Cargo.toml"])
            .filter(|_| is_top)?;
        Some(tree)
    }

    /// The commit, in twelve digits, behind the last tag of a version if there is one.
    /// `-dirty` is behind it if the sources are not those of the commit.
    pub fn commit(&self) -> Option<String> {
        let describe = [
            "describe",
            "--always",
            "--tags",
            "--abbrev=12",
            "--match=v[0-9]*",
        ];
        let commit = self.git(&describe)?;
        let changes = ["status", "--porcelain", "--untracked-files=all", "--"];
        let changes = self.git(&[&changes[..], &SOURCES].concat())?;
        let dirty = if changes.is_empty() { "" } else { "-dirty" };
        Some(commit + dirty)
    }

    /// What changes when the commit does, or the sources. Only what there is: cargo
    /// takes what is missing for a change.
    pub fn watched(&self) -> Vec<PathBuf> {
        // In a worktree they are elsewhere. The log of HEAD has a line for each commit.
        let git = ["HEAD", "logs/HEAD"]
            .iter()
            .filter_map(|name| self.git(&["rev-parse", "--git-path", name]));
        git.chain(SOURCES.iter().map(|name| (*name).to_owned()))
            .map(|path| self.0.join(path))
            .filter(|path| path.exists())
            .collect()
    }

    fn git(&self, arguments: &[&str]) -> Option<String> {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(self.0)
            // It would write to the index, only to be faster next time.
            .env("GIT_OPTIONAL_LOCKS", "0")
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        let text = String::from_utf8(output.stdout).ok()?;
        Some(text.trim().to_owned())
    }
}
