//! Whether two trees are the same, told by other means than our own.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::fs::FileType;

use crate::snapshot::{Seen, snapshot};
use crate::tree::{continuity, text};

/// What must be the same in two trees: the names of each file together, what
/// stat(2) says of it, its attributes and its content.
pub type Tree = BTreeMap<PathBuf, (Vec<PathBuf>, Seen, Option<Vec<u8>>)>;

pub fn tree(root: &Path) -> Tree {
    let snapshot = snapshot(root);
    let mut names: BTreeMap<u64, Vec<PathBuf>> = BTreeMap::new();
    for (path, seen) in &snapshot {
        // Two names of a symlink are two symlinks to a manifest.
        if !matches!(seen.file_type(), FileType::Symlink) {
            names.entry(seen.ino).or_default().push(path.clone());
        }
    }
    snapshot
        .into_iter()
        .map(|(path, mut seen)| {
            let names = names.get(&seen.ino).cloned().unwrap_or_default();
            let is_file = seen.file_type() == FileType::RegularFile;
            let content = is_file.then(|| std::fs::read(root.join(&path)).unwrap());
            seen.ino = 0;
            seen.blocks = 0;
            if seen.file_type() == FileType::Symlink {
                seen.nlink = 1;
            }
            // Some filesystems count directories, others do not.
            if seen.file_type() == FileType::Directory {
                seen.nlink = 0;
            }
            (path, (names, seen, content))
        })
        .collect()
}

/// That two trees are the same, by our own snapshots and by rsync.
pub fn assert_same(one: &Path, two: &Path) {
    let (found, wanted) = (tree(two), tree(one));
    let paths = |tree: &Tree| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(paths(&found), paths(&wanted));
    for (path, wanted) in &wanted {
        assert!(
            found[path] == *wanted,
            "{path:?}: {:?} != {:?}",
            found[path].1,
            wanted.1
        );
    }
    let differences = Command::new("rsync")
        .args(["-aHAXni", "--checksum", "--delete", "--numeric-ids"])
        .arg(format!("{}/", one.display()))
        .arg(format!("{}/", two.display()))
        .output()
        .unwrap();
    assert!(
        differences.status.success(),
        "{}",
        text(&differences.stderr)
    );
    let differences = text(&differences.stdout);
    let others = differences.lines().filter(|line| !line.starts_with("hL"));
    assert_eq!(others.collect::<Vec<_>>(), [""; 0]);
}

/// Applies, and must succeed without a word.
pub fn apply(arguments: &[&str], root: &Path, manifest: &Path) {
    let done = try_apply(arguments, root, manifest);
    let said = text(&done.stderr);
    assert!(done.status.success() && said.is_empty(), "{said}");
}

pub fn try_apply(arguments: &[&str], root: &Path, manifest: &Path) -> Output {
    let paths = [root.as_os_str(), manifest.as_os_str()];
    let arguments = arguments.iter().map(AsRef::as_ref);
    continuity(
        std::iter::once("apply".as_ref())
            .chain(arguments)
            .chain(paths),
    )
}

/// `--source dir:…`.
pub fn source(tree: &Path) -> String {
    format!("--source=dir:{}", tree.display())
}
