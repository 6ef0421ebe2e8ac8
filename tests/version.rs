//! What `--version` says, and when it would say something else.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod tree;
#[path = "../build/version.rs"]
mod version;

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use tree::{sh, text};
use version::Tree;

/// Sources with one commit, outside of the tree that this is built from.
fn sources() -> TempDir {
    let scratch = tempfile::tempdir().unwrap();
    sh(
        scratch.path(),
        "mkdir src; echo 1 >Cargo.toml; echo 1 >src/main.rs; echo 1 >README
         git init -q; git add .",
    );
    commit(scratch.path());
    scratch
}

fn commit(directory: &Path) {
    sh(
        directory,
        "git -c user.name=a -c user.email=b commit -q --allow-empty -a -m c",
    );
}

fn of(directory: &Path) -> Option<String> {
    Tree::at(directory)?.commit()
}

#[test]
fn names_the_commit() {
    let scratch = sources();
    let path = scratch.path();
    let first = of(path).unwrap();
    assert!(first.len() == 12 && first.bytes().all(|byte| byte.is_ascii_hexdigit()));

    sh(path, "echo 2 >README");
    assert_eq!(of(path), Some(first.clone()));
    for change in ["echo 2 >src/main.rs", "git checkout -q src; echo >src/new"] {
        sh(path, change);
        assert_eq!(of(path), Some(format!("{first}-dirty")), "{change}");
    }
    sh(path, "rm src/new; git tag other; git tag v0.1.0");
    assert_eq!(of(path).as_deref(), Some("v0.1.0"));
    commit(path);
    assert!(of(path).unwrap().starts_with("v0.1.0-1-g"));
}

#[test]
fn has_no_word_for_the_contents_of_an_archive() {
    let scratch = sources();
    let inner = scratch.path().join("unpacked");
    fs::create_dir(&inner).unwrap();
    fs::write(inner.join("Cargo.toml"), "").unwrap();
    assert_eq!(of(&inner), None);
    sh(scratch.path(), "git add unpacked");
    assert_eq!(of(&inner), None);
    sh(scratch.path(), "git rm -q --cached Cargo.toml");
    assert_eq!(of(scratch.path()), None);
    fs::remove_dir_all(scratch.path().join(".git")).unwrap();
    assert_eq!(of(scratch.path()), None);
}

/// A build follows from what is watched, and from nothing else.
#[test]
fn a_commit_changes_what_is_watched() {
    let scratch = sources();
    let worktree = scratch.path().join("worktree");
    sh(scratch.path(), "git worktree add -q worktree");
    for path in [scratch.path(), &worktree] {
        let watched = Tree::at(path).unwrap().watched();
        assert!(watched.iter().all(|path| path.exists()), "{watched:?}");
        assert!(watched.contains(&path.join("src")), "{watched:?}");
        let git = |path: &&std::path::PathBuf| path.is_file() && !path.ends_with("Cargo.toml");
        let read = || -> Vec<_> {
            let files = watched.iter().filter(git);
            files.map(|path| fs::read(path).unwrap()).collect()
        };
        let before = read();
        commit(path);
        assert_ne!(before, read());
    }
}

#[test]
fn both_programs_say_it() {
    for (program, name) in [
        (env!("CARGO_BIN_EXE_continuity"), "continuity"),
        (env!("CARGO_BIN_EXE_mount-continuity"), "mount.continuity"),
    ] {
        let output = Command::new(program).arg("--version").output().unwrap();
        assert!(output.status.success());
        let wanted = format!("{name} {}", env!("CARGO_PKG_VERSION"));
        assert!(text(&output.stdout).starts_with(&wanted), "{output:?}");
    }
}
