//! `continuity copy`: a tree is read once, and is elsewhere what it was.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod applied;
mod snapshot;
mod tree;

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use applied::assert_same;
use continuity::apply::{self, Event, Evidence, Record, apply};
use continuity::build;
use continuity::digest::Algorithm;
use continuity::path::ManifestPath;
use continuity::source::{ContentRef, Source, SourceError, SourceFile, UnchangedSource};
use continuity::sys::RootDir;
use tempfile::TempDir;
use tree::{continuity, make, scratch, sh, text};

/// A tree that a script makes, and a place for its copy.
fn tree(script: &str) -> (TempDir, PathBuf, PathBuf) {
    let scratch = scratch();
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).unwrap();
    sh(&tree, script);
    let copy = scratch.path().join("copy");
    (scratch, tree, copy)
}

fn try_copy(words: &[&str], tree: &Path, copy: &Path) -> Output {
    let words = words.iter().map(Path::new);
    continuity(
        [Path::new("copy")]
            .into_iter()
            .chain(words)
            .chain([tree, copy]),
    )
}

fn copy_to(words: &[&str], tree: &Path, copy: &Path) {
    let done = try_copy(words, tree, copy);
    assert!(done.status.success(), "{words:?}: {}", text(&done.stderr));
}

#[test]
fn the_manifest_is_that_of_the_copy_and_of_the_tree() {
    let scratch = scratch();
    let tree = make(&scratch, &[]);
    sh(
        &tree,
        "seq 1000000 > large; ln large d-link; truncate -s 5M holes; printf x >> holes",
    );
    let copy = scratch.path().join("copy");
    let at = |name: &str| scratch.path().join(name);
    let built = |of: &Path| continuity([Path::new("build"), of]).stdout;
    let before = built(&tree);
    assert!(before.len() > 1000);
    for mode in ["auto", "copy", "hardlink"] {
        let manifest = at(&format!("manifest of {mode}"));
        let words = ["--mode", mode, "-o", manifest.to_str().unwrap()];
        // Anew; and again, where all is there.
        for _ in 0..2 {
            copy_to(&words, &tree, &copy);
            assert!(fs::read(&manifest).unwrap() == before, "{mode}");
            assert!(built(&copy) == before, "{mode}");
            assert_same(&tree, &copy);
            fs::remove_file(&manifest).unwrap();
        }
        fs::remove_dir_all(&copy).unwrap();
    }
    copy_to(&["--disable-digest"], &tree, &copy);
    let manifest = at("believed");
    let words = ["--disable-digest", "-o", manifest.to_str().unwrap()];
    copy_to(&words, &tree, &copy);
    assert!(fs::read(&manifest).unwrap() == before);
}

#[test]
fn what_is_there_is_compared_and_not_believed() {
    let (_scratch, tree, copy) = tree("echo right > f; echo same > g; touch -d 2001-01-01 f g");
    copy_to(&[], &tree, &copy);
    let kept = fs::metadata(copy.join("g")).unwrap().ino();
    sh(&copy, "echo wrong > f; touch -d 2001-01-01 f");
    copy_to(&["--disable-digest"], &tree, &copy);
    assert_eq!(fs::read(copy.join("f")).unwrap(), b"wrong\n");
    copy_to(&[], &tree, &copy);
    assert_eq!(fs::read(copy.join("f")).unwrap(), b"right\n");
    assert_eq!(fs::metadata(copy.join("g")).unwrap().ino(), kept);
}

#[test]
fn a_move_leaves_nothing_behind() {
    let (_scratch, tree, copy) =
        tree("mkdir d; echo 1 > d/1; echo 2 > 2; ln 2 d/two; touch -d 2001-01-01 d/1 2");
    let before = continuity([Path::new("build"), &tree]).stdout;
    copy_to(&["--mode=move"], &tree, &copy);
    assert!(continuity([Path::new("build"), &copy]).stdout == before);
    assert_eq!(fs::read_dir(&tree).unwrap().count(), 1);
    assert_eq!(fs::read_dir(tree.join("d")).unwrap().count(), 0);
}

/// Nothing that is not there is read or written.
#[test]
fn a_terabyte_of_nothing_is_copied_as_such() {
    let (scratch, tree, copy) = tree("truncate -s 1T f; echo 1 > g; truncate -s 1T g");
    sh(
        scratch.path(),
        "mkdir elsewhere; mount -t tmpfs none elsewhere",
    );
    let elsewhere = scratch.path().join("elsewhere/copy");
    for copy in [&copy, &elsewhere] {
        for mode in ["--mode=auto", "--mode=copy"] {
            copy_to(&[mode], &tree, copy);
            copy_to(&[mode], &tree, copy);
            for (name, first) in [("f", 0), ("g", b'1')] {
                let copied = copy.join(name);
                let stat = fs::metadata(&copied).unwrap();
                assert!(stat.len() == 1 << 40 && stat.blocks() < 1000, "{stat:?}");
                let mut head = [9];
                io::Read::read_exact(&mut fs::File::open(copied).unwrap(), &mut head).unwrap();
                assert_eq!(head, [first]);
            }
            fs::remove_dir_all(copy).unwrap();
        }
    }
    sh(scratch.path(), "umount elsewhere");
}

#[test]
fn whatever_the_kernel_cannot_copy_is_read_and_written() {
    let (scratch, tree, _) =
        tree("seq 20000 > f; head -c 5000000 /dev/urandom > g; truncate -s 9M g; : > empty");
    for call in ["copy_file_range", "ioctl"] {
        for errno in ["ENOSYS", "EPERM", "EXDEV", "EOPNOTSUPP", "EINVAL"] {
            let copy = scratch.path().join(errno);
            let trace = scratch.path().join("trace");
            let done = Command::new("strace")
                .args(["-f", "-e", &format!("trace={call}"), "-o"])
                .arg(&trace)
                .args(["-e", &format!("inject={call}:error={errno}")])
                .arg(env!("CARGO_BIN_EXE_continuity"))
                .args([Path::new("copy"), &tree, &copy])
                .output()
                .unwrap();
            let said = text(&done.stderr);
            assert!(done.status.success(), "{call} {errno}: {said}");
            let traced = fs::read_to_string(&trace).unwrap();
            let wanted = if call == "ioctl" { "FICLONE" } else { call };
            let mut lines = traced.lines().filter(|line| line.contains(wanted));
            assert!(
                lines.next().is_some_and(|line| line.contains("INJECTED")),
                "{traced}"
            );
            assert_same(&tree, &copy);
            fs::remove_dir_all(&copy).unwrap();
        }
        // Anything else is trouble.
        let copy = scratch.path().join("EIO");
        let done = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-e"])
            .arg(format!("inject={call}:error=EIO"))
            .arg(env!("CARGO_BIN_EXE_continuity"))
            .args([Path::new("copy"), &tree, &copy])
            .output()
            .unwrap();
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{said}");
        assert!(said.contains("\"/f\" cannot be "), "{said}");
        assert!(!copy.join("f").exists() && !copy.join("g").exists());
        fs::remove_dir_all(&copy).unwrap();
    }
}

/// A source that changes a file when it is read.
#[derive(Debug)]
struct Changing {
    inner: UnchangedSource,
    file: PathBuf,
    /// Whether its descriptor is told, so that the kernel copies.
    by_kernel: bool,
}

#[derive(Debug)]
struct ChangingFile {
    inner: Box<dyn SourceFile>,
    file: PathBuf,
    by_kernel: bool,
}

/// Makes it longer: that is seen however coarse the clock is.
fn change(file: &Path) {
    let file = fs::File::options().append(true).open(file).unwrap();
    io::Write::write_all(&mut &file, b"more").unwrap();
}

impl Source for Changing {
    fn open(&self, content: &ContentRef<'_>) -> Result<Box<dyn SourceFile>, SourceError> {
        let inner = self.inner.open(content)?;
        Ok(Box::new(ChangingFile {
            inner,
            file: self.file.clone(),
            by_kernel: self.by_kernel,
        }))
    }
}

impl SourceFile for ChangingFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let count = self.inner.read_at(buffer, offset);
        change(&self.file);
        count
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        if !self.by_kernel {
            return None;
        }
        change(&self.file);
        self.inner.as_fd()
    }

    fn vouch(&self) -> Result<(), SourceError> {
        self.inner.vouch()
    }
}

#[test]
fn a_file_that_changes_is_named_and_not_copied() {
    for by_kernel in [true, false] {
        for is_recorded in [true, false] {
            for is_there in [true, false] {
                let (_scratch, tree, copy) = tree("seq -w 20000 > file");
                let other = "9".repeat(120_000);
                if is_there {
                    copy_to(&[], &tree, &copy);
                    fs::write(copy.join("file"), &other).unwrap();
                }
                let (manifest, inner) = look(&tree);
                let file = tree.join("file");
                let source = Changing {
                    inner,
                    file,
                    by_kernel,
                };
                let said = apply_to(&copy, &manifest, &source, is_recorded);
                assert_eq!(said.len(), 1, "{said:?}");
                let wanted =
                    "\"/file\" cannot be made: changed in the source meanwhile: size 120000 -> ";
                assert!(said[0].starts_with(wanted), "{said:?}");
                assert!(said[0].contains("ctime "), "{said:?}");
                let found = fs::read(copy.join("file")).ok();
                assert_eq!(found, is_there.then(|| other.into_bytes()));
            }
        }
    }
}

#[test]
fn a_file_that_changed_after_it_was_looked_at_is_named() {
    for (script, wanted) in [
        ("echo longer content > file", "size 8 -> 15"),
        ("rm file", "missing in the source"),
        ("rm file; mkdir file", "size 8 -> "),
        ("rm file; mkfifo file", "size 8 -> 0"),
        ("rm file; ln -s /etc/passwd file", "size 8 -> "),
        ("cp -p file new; mv new file", "another file, "),
        ("chmod 4755 file", "mode 0o100644 -> 0o104755"),
    ] {
        let (_scratch, tree, copy) = tree("umask 022; echo content > file");
        let (manifest, source) = look(&tree);
        sh(&tree, script);
        let said = apply_to(&copy, &manifest, &source, false);
        assert_eq!(said.len(), 1, "{script}: {said:?}");
        assert!(said[0].contains(wanted), "{script}: {said:?}");
        assert!(!copy.join("file").exists(), "{script}");
    }
}

/// As `copy` looks at a tree.
fn look(tree: &Path) -> (Vec<u8>, UnchangedSource) {
    let options = build::Options {
        content: false,
        ..build::Options::default()
    };
    let mut built = build::build(tree, &options).unwrap();
    let manifest = built.encode();
    let root = RootDir::open(tree).unwrap();
    (manifest, UnchangedSource::new(root, built.take_seen()))
}

/// Applies it, and gives what was told of failures.
fn apply_to(copy: &Path, manifest: &[u8], source: &dyn Source, is_recorded: bool) -> Vec<String> {
    let record = is_recorded.then(|| Arc::new(Record::new(vec![Algorithm::Sha256], |_| None)));
    let options = apply::Options {
        evidence: Evidence::Source(record.clone()),
        ..apply::Options::default()
    };
    let mut said = Vec::new();
    apply(copy, manifest, Some(source), &options, |event| {
        if let Event::Failure(failure) = event {
            said.push(failure.to_string());
        }
    })
    .unwrap();
    said
}

#[test]
fn there_is_no_manifest_of_a_part() {
    let (scratch, tree, copy) = tree("echo 1 > f; echo 2 > g");
    fs::create_dir_all(copy.join("f/in the way")).unwrap();
    let manifest = scratch.path().join("manifest");
    let done = try_copy(&["-o", manifest.to_str().unwrap()], &tree, &copy);
    assert_eq!(done.status.code(), Some(2), "{}", text(&done.stderr));
    assert!(!manifest.exists());
    assert_eq!(fs::read(copy.join("g")).unwrap(), b"2\n");
    let refused = try_copy(&["--dry-run", "-o", "x"], &tree, &copy);
    assert_eq!(refused.status.code(), Some(2));
    let unknown = ManifestPath::parse(b"/x").unwrap();
    let record = Record::new(Vec::new(), |_| None);
    assert_eq!(record.take(&[unknown]), None);
}
