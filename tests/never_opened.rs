//! To open a device can do something, and to open a FIFO wakes who waits for a
//! reader: who looks at a tree opens nothing but regular files, whatever else
//! turns up in their place.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod tree;

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use tree::{build, scratch, sh, text};

/// Tells whether one of some files is opened, other than by `O_PATH`.
struct Watch(OwnedFd);

impl Watch {
    fn on(files: &[&Path]) -> Self {
        let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        for file in files {
            inotify::add_watch(&watch, *file, WatchFlags::OPEN).unwrap();
        }
        Self(watch)
    }

    fn has_seen_any(&self) -> bool {
        match rustix::io::read(&self.0, &mut [0; 4096]) {
            Ok(count) => count > 0,
            Err(Errno::AGAIN) => false,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Runs a shell command with the program as `$0`, in a namespace where there
/// is a FIFO on the name of a file.
fn run(scratch: &Path, command: &str) -> (Option<i32>, String) {
    let script = format!("mount --bind fifo tree/mounted && {command}");
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", &script])
        .arg(env!("CARGO_BIN_EXE_continuity"))
        .current_dir(scratch)
        .output()
        .unwrap();
    let told = text(&output.stdout) + &text(&output.stderr);
    (output.status.code(), told)
}

#[test]
fn what_is_no_regular_file_is_never_opened() {
    let scratch = scratch();
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).unwrap();
    // Enough for a directory to be listed.
    sh(&tree, "for i in 0 1 2 3 4 5 6 7; do echo $i >a$i; done");
    sh(&tree, "echo m >mounted; echo s >swapped; mkfifo pipe");
    let manifest = build(&scratch, &tree, &[]);
    sh(&tree, "rm swapped; mkfifo swapped; mkfifo ../fifo");
    let [fifo, swapped, pipe] =
        ["fifo", "tree/swapped", "tree/pipe"].map(|n| scratch.path().join(n));
    let watch = Watch::on(&[&fifo, &swapped, &pipe]);
    assert!(manifest.exists());

    for (command, code, says) in [
        ("\"$0\" verify tree manifest", 1, "swapped"),
        ("\"$0\" verify tree manifest", 1, "mounted"),
        ("\"$0\" verify --strict tree manifest", 1, "mounted"),
        ("\"$0\" diff manifest tree", 1, "mounted"),
        ("\"$0\" diff tree manifest", 1, "swapped"),
        ("\"$0\" diff tree tree", 0, ""),
        ("\"$0\" build tree >new && \"$0\" ls new", 0, "prw-r--r--"),
        ("\"$0\" apply --source tree new-1 manifest", 2, "swapped"),
        ("\"$0\" apply tree manifest", 2, "swapped"),
        ("\"$0\" cat --source tree manifest swapped", 2, "swapped"),
        (
            "\"$0\" export --tar --source tree manifest >/dev/null",
            2,
            "mounted",
        ),
        ("\"$0\" copy tree new-2", 0, ""),
        (
            "\"$0\" apply --source tree --mode move new-3 manifest",
            2,
            "mounted",
        ),
    ] {
        let (status, told) = run(scratch.path(), command);
        assert_eq!(status, Some(code), "{command}: {told}");
        assert!(told.contains(says), "{command}: {told}");
        assert!(!watch.has_seen_any(), "{command} opened a FIFO");
    }
    // It would have been seen.
    fs::File::options()
        .read(true)
        .write(true)
        .open(&fifo)
        .unwrap();
    assert!(watch.has_seen_any());
}
