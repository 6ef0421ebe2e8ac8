//! Programs that people use on trees find nothing odd about a mount.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod mounted;
mod snapshot;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use mounted::{Mount, run};
use snapshot::{Snapshot, snapshot};
use tempfile::TempDir;
use tree::{build, make, scratch, sh};

/// The tree of everything, mounted; without the one thing that a manifest
/// tells otherwise: two names of one symlink.
fn everything(scratch: &TempDir) -> (PathBuf, Mount) {
    let tree = make(scratch, &[]);
    sh(
        &tree,
        "rm symlinks/relative-hardlink
         touch -d @1234567890.123456789 regular/empty
         touch -h -d @1600000000 symlinks",
    );
    let manifest = build(scratch, &tree, &[]);
    let mount = Mount::new(&manifest, &tree);
    (tree, mount)
}

/// What is on another filesystem is the same but for numbers and blocks.
fn elsewhere(root: &Path) -> Snapshot {
    let mut found = snapshot(root);
    for seen in found.values_mut() {
        seen.ino = 0;
        seen.blocks = 0;
    }
    found
}

fn compare(wanted: &Snapshot, found: &Snapshot) {
    assert_eq!(wanted.len(), found.len());
    for (path, wanted) in wanted {
        assert_eq!(Some(wanted), found.get(path), "{path:?}");
    }
}

/// Runs a program that is needed here, and must succeed without a word on
/// standard error.
fn quietly(package: &str, command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("the package {package} is needed: {error}"));
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{command:?}: {output:?}"
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn find() {
    let scratch = scratch();
    let (tree, mount) = everything(&scratch);
    let list = |root: &Path| {
        let format = "%P %y %m %U %G %n %T@ %l\\n";
        let list = quietly(
            "findutils",
            Command::new("find").arg(root).args(["-printf", format]),
        );
        let mut lines: Vec<String> = list.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(list(&tree), list(mount.path()));
    let listed = quietly(
        "findutils",
        Command::new("find").arg(mount.path()).arg("-ls"),
    );
    // Names with newlines are escaped.
    assert_eq!(listed.lines().count(), snapshot(&tree).len());
    let size = |root: &Path| {
        let du = ["-s", "--apparent-size", "-B1", "regular/five-mib"];
        quietly("coreutils", Command::new("du").args(du).current_dir(root))
    };
    assert_eq!(size(&tree), size(mount.path()));
    let du = ["-B512", "regular/b4097"];
    let du = quietly(
        "coreutils",
        Command::new("du").args(du).current_dir(mount.path()),
    );
    assert_eq!(du, "9\tregular/b4097\n");
    assert!(mount.unmount().success());
}

#[test]
fn rsync() {
    let scratch = scratch();
    let (tree, mount) = everything(&scratch);
    let slash = |path: &Path| format!("{}/", path.display());
    let rsync = |options: &[&str], from: &Path, to: &Path| {
        quietly(
            "rsync",
            Command::new("rsync")
                .args(["-aHAX", "--delete", "--dry-run", "--itemize-changes"])
                .args(options)
                .args([slash(from), slash(to)]),
        )
    };
    assert_eq!(rsync(&[], &tree, mount.path()), "");
    assert_eq!(rsync(&["--checksum"], mount.path(), &tree), "");

    // It would say so if there were something.
    fs::write(tree.join("regular/one-byte"), "y").unwrap();
    assert!(rsync(&[], &tree, mount.path()).contains("regular/one-byte"));
    assert!(mount.unmount().success());
}

#[test]
fn cp() {
    let scratch = scratch();
    let (_, mount) = everything(&scratch);
    let copy = scratch.path().join("copy");
    quietly(
        "coreutils",
        Command::new("cp").arg("-a").args([mount.path(), &copy]),
    );
    compare(&elsewhere(mount.path()), &elsewhere(&copy));
    assert!(mount.unmount().success());
}

#[test]
fn tar() {
    let scratch = scratch();
    let (tree, mount) = everything(&scratch);
    let archive = |name: &str, directory: &Path| {
        let archive = scratch.path().join(name);
        quietly(
            "tar",
            Command::new("tar")
                .args(["--acls", "--xattrs", "--xattrs-include=*"])
                .args(["--numeric-owner", "--sort=name", "--format=posix"])
                // Each filesystem lists the attributes of a file in its own order.
                .arg("--exclude=./xattrs/ordered")
                // What depends on the process, and times that nobody declares.
                .arg("--pax-option=exthdr.name=%d/%f,delete=atime,delete=ctime")
                .args(["-cf".as_ref(), archive.as_path(), "-C".as_ref(), directory])
                .arg("."),
        );
        archive
    };
    let of_tree = archive("tree.tar", &tree);
    let of_mount = archive("mount.tar", mount.path());
    assert!(fs::read(of_tree).unwrap() == fs::read(&of_mount).unwrap());
    let listed = quietly("tar", Command::new("tar").arg("-tf").arg(&of_mount));
    assert_eq!(listed.lines().count(), snapshot(&tree).len() - 1);
    assert!(mount.unmount().success());
}

/// A crate without dependencies in a git repository.
fn source_tree(scratch: &TempDir) -> PathBuf {
    let tree = scratch.path().join("source");
    fs::create_dir_all(tree.join("src")).unwrap();
    let package =
        "[package]\nname = \"hello\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    fs::write(tree.join("Cargo.toml"), package).unwrap();
    let lock = "version = 4\n\n[[package]]\nname = \"hello\"\nversion = \"0.1.0\"\n";
    fs::write(tree.join("Cargo.lock"), lock).unwrap();
    let main = "mod word;\nfn main() { println!(\"{}\", word::WORD); }\n";
    fs::write(tree.join("src/main.rs"), main).unwrap();
    let word = "pub const WORD: &str = \"verified\";\n";
    fs::write(tree.join("src/word.rs"), word).unwrap();
    sh(
        &tree,
        "export GIT_CONFIG_GLOBAL=/dev/null
         git init -q -b main .
         git add .
         git -c user.name=n -c user.email=e commit -qm first
         git gc -q",
    );
    tree
}

fn git(directory: &Path, arguments: &[&str]) -> Output {
    Command::new("git")
        .args(["-c", "safe.directory=*"])
        .args(arguments)
        .current_dir(directory)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("git is needed")
}

#[test]
fn git_and_cargo() {
    let scratch = scratch();
    let tree = source_tree(&scratch);
    let manifest = build(&scratch, &tree, &[]);
    let mount = Mount::new(&manifest, &tree);
    for arguments in [
        &["status", "--porcelain"][..],
        &["diff", "HEAD"],
        &["fsck", "--no-progress"],
        &["ls-files", "--deleted", "--modified", "--others"],
    ] {
        let output = git(mount.path(), arguments);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(tree::text(&output.stdout), "", "{arguments:?}");
    }
    let log = git(mount.path(), &["log", "--format=%s"]);
    assert_eq!(log.stdout, b"first\n");

    let target = scratch.path().join("target");
    let built = Command::new(option_env!("CARGO").unwrap_or("cargo"))
        .args(["build", "--offline", "--locked", "--quiet"])
        .current_dir(mount.path())
        .env("CARGO_TARGET_DIR", &target)
        .output()
        .unwrap();
    assert!(built.status.success(), "{built:?}");
    let none: [&str; 0] = [];
    let hello = target.join("debug/hello");
    assert_eq!(run(hello.to_str().unwrap(), none), "verified\n");
    assert!(mount.unmount().success());
}

#[test]
fn programs_and_scripts_run() {
    let scratch = scratch();
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).unwrap();
    sh(
        &tree,
        "cp /bin/echo echo; cp /bin/true changed
         printf '#!/bin/sh\\necho script $1\\n' > script; chmod 755 script",
    );
    let manifest = build(&scratch, &tree, &[]);
    // Somebody puts another program in its place.
    fs::copy("/bin/false", tree.join("changed")).unwrap();
    let mount = Mount::new(&manifest, &tree);
    let program = |name: &str| mount.join(name).to_str().unwrap().to_owned();
    for _ in 0..2 {
        assert_eq!(run(&program("echo"), ["a", "b"]), "a b\n");
        assert_eq!(run(&program("script"), ["x"]), "script x\n");
        let error = Command::new(mount.join("changed")).status().unwrap_err();
        assert_eq!(
            error.raw_os_error(),
            Some(rustix::io::Errno::IO.raw_os_error())
        );
    }
    assert!(mount.unmount().success());
}
