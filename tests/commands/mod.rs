//! Every subcommand, and what it takes, so that what all must bear is tried on
//! each.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::tree::{scratch, set_mode, sh, text};

/// One word of a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// As it is.
    Plain(&'static str),
    /// A manifest that can be read.
    Manifest,
    /// The text of that manifest.
    Dump,
    /// An archive of its tree.
    Archive,
    /// The directory of that manifest.
    Tree,
    /// The same as a source of content.
    Source,
    /// A file that is not there yet.
    NewFile,
    /// A directory that is not there yet.
    NewDirectory,
    /// A directory with nothing in it.
    Mountpoint,
}

use Word::{Archive, Dump, Manifest, Mountpoint, NewDirectory, NewFile, Plain, Source, Tree};

/// A name to tell by, and the command line.
pub type Subcommand = (&'static str, &'static [Word]);

/// All of them; a new one is added here.
pub const SUBCOMMANDS: &[Subcommand] = &[
    ("build", &[Plain("build"), Tree]),
    ("build -o", &[Plain("build"), Plain("-o"), NewFile, Tree]),
    (
        "build --reuse",
        &[Plain("build"), Plain("--reuse"), Manifest, Tree],
    ),
    (
        "build --from-dump",
        &[Plain("build"), Plain("--from-dump"), Dump],
    ),
    (
        "build --from-tar",
        &[Plain("build"), Plain("--from-tar"), Archive],
    ),
    ("verify", &[Plain("verify"), Tree, Manifest]),
    (
        "verify --tar",
        &[Plain("verify"), Plain("--tar"), Archive, Manifest],
    ),
    (
        "verify --strict",
        &[Plain("verify"), Plain("--strict"), Tree, Manifest],
    ),
    ("diff manifest tree", &[Plain("diff"), Manifest, Tree]),
    ("diff tree manifest", &[Plain("diff"), Tree, Manifest]),
    ("diff trees", &[Plain("diff"), Tree, Tree]),
    ("diff archive tree", &[Plain("diff"), Archive, Tree]),
    ("diff manifests", &[Plain("diff"), Manifest, Manifest]),
    (
        "check --rootfs",
        &[
            Plain("check"),
            Plain("--rootfs"),
            Plain("--overlay"),
            Plain("--format=json"),
            Manifest,
        ],
    ),
    ("apply", &[Plain("apply"), Source, NewDirectory, Manifest]),
    ("apply in place", &[Plain("apply"), Tree, Manifest]),
    (
        "apply --dry-run",
        &[
            Plain("apply"),
            Plain("--dry-run"),
            Source,
            Mountpoint,
            Manifest,
        ],
    ),
    ("copy", &[Plain("copy"), Tree, NewDirectory]),
    (
        "copy -o",
        &[Plain("copy"), Plain("-o"), NewFile, Tree, NewDirectory],
    ),
    (
        "mount",
        &[Plain("mount"), Plain("--fuse"), Mountpoint, Manifest, Tree],
    ),
    ("cat", &[Plain("cat"), Source, Manifest, Plain("/file")]),
    (
        "export",
        &[Plain("export"), Plain("--tar"), Source, Manifest],
    ),
    (
        "export -o",
        &[
            Plain("export"),
            Plain("--tar"),
            Source,
            Plain("-o"),
            NewFile,
            Manifest,
        ],
    ),
    ("ls", &[Plain("ls"), Manifest]),
    ("ls --json", &[Plain("ls"), Plain("--json"), Manifest]),
    ("stats", &[Plain("stats"), Manifest]),
    ("stats --json", &[Plain("stats"), Plain("--json"), Manifest]),
    ("dump", &[Plain("dump"), Manifest]),
    ("dump --json", &[Plain("dump"), Plain("--json"), Manifest]),
    (
        "dump mtree",
        &[Plain("dump"), Plain("--format=mtree"), Manifest],
    ),
];

/// What the words stand for.
#[derive(Debug)]
pub struct Place {
    pub scratch: TempDir,
    pub manifest: PathBuf,
    pub tree: PathBuf,
    /// What is made anew is made in here.
    pub target: PathBuf,
}

impl Place {
    /// A tree that a script makes, and its manifest.
    pub fn new(script: &str) -> Self {
        let scratch = scratch();
        let tree = scratch.path().join("tree");
        fs::create_dir(&tree).unwrap();
        sh(&tree, script);
        let manifest = scratch.path().join("manifest");
        let target = scratch.path().join("target");
        fs::create_dir(&target).unwrap();
        set_mode(&target, 0o777);
        fs::create_dir(scratch.path().join("mnt")).unwrap();
        let place = Self {
            scratch,
            manifest,
            tree,
            target,
        };
        place.build();
        place
    }

    fn build(&self) {
        let built = Command::new(program())
            .args(["build", "-o"])
            .args([&self.manifest, &self.tree])
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", text(&built.stderr));
        let dump = run([OsStr::new("dump"), self.manifest.as_os_str()]);
        fs::write(self.path(Dump), dump.stdout).unwrap();
        let packed = Command::new(program())
            .args(["export", "--tar", "-o"])
            .arg(self.path(Archive))
            .arg("--source")
            .args([&self.tree, &self.manifest])
            .output()
            .unwrap();
        assert!(packed.status.success(), "{}", text(&packed.stderr));
    }

    /// What a word stands for.
    pub fn path(&self, word: Word) -> PathBuf {
        match word {
            Plain(_) => PathBuf::new(),
            Manifest => self.manifest.clone(),
            Dump => self.manifest.with_extension("txt"),
            Archive => self.manifest.with_extension("tar"),
            Tree | Source => self.tree.clone(),
            NewFile => self.target.join("file"),
            NewDirectory => self.target.join("directory"),
            Mountpoint => self.scratch.path().join("mnt"),
        }
    }

    /// The command line; `other` stands for the word at `place` instead.
    pub fn arguments(&self, words: &[Word], other: Option<(usize, &Path)>) -> Vec<OsString> {
        let word = |(index, word): (usize, &Word)| {
            let path = match other {
                Some((place, path)) if place == index => path.to_owned(),
                _ => self.path(*word),
            };
            match word {
                Plain(plain) => plain.into(),
                Source => {
                    let mut argument = OsString::from("--source=dir:");
                    argument.push(path);
                    argument
                }
                _ => path.into_os_string(),
            }
        };
        words.iter().enumerate().map(word).collect()
    }

    /// What is in the target.
    pub fn made(&self) -> Vec<OsString> {
        let entries = fs::read_dir(&self.target).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    }
}

pub fn program() -> &'static str {
    env!("CARGO_BIN_EXE_continuity")
}

/// Runs the program, and not for ever.
pub fn run(arguments: impl IntoIterator<Item: AsRef<OsStr>>) -> Output {
    finish(Command::new(program()).args(arguments))
}

/// Runs a command, and not for ever.
pub fn finish(command: &mut Command) -> Output {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let process = rustix::process::Pid::from_child(&child);
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        let patience = wait.recv_timeout(Duration::from_secs(60));
        if patience == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(done);
    watch.join().unwrap();
    output
}

/// Runs the program, with a line of a shell round it: `"$@"` is the program and
/// its arguments.
pub fn run_in_shell(line: &str, arguments: &[OsString]) -> Output {
    let mut command = Command::new("bash");
    command
        .args(["-c", line, "bash", program()])
        .args(arguments);
    finish(&mut command)
}

/// Runs the program in a process group of its own, sends it SIGINT when it has
/// begun, and tells how it ended.
pub fn interrupt(arguments: &[OsString]) -> Output {
    let mut child = Command::new(program())
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(400));
    assert!(
        child.try_wait().unwrap().is_none(),
        "ended too early: {arguments:?}"
    );
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    let limit = Instant::now() + Duration::from_secs(20);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > limit {
            child.kill().unwrap();
            panic!("does not end: {arguments:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}
