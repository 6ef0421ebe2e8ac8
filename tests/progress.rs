//! What is shown while work goes on.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod tree;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tree::{build, continuity, scratch, text};

/// Runs the program with a terminal for all of its streams.
fn on_terminal(arguments: &str) -> Output {
    let program = env!("CARGO_BIN_EXE_continuity");
    let output = Command::new("script")
        .args(["-qec", &format!("{program} {arguments}"), "/dev/null"])
        .output()
        .unwrap();
    assert!(
        output.status.code().is_some_and(|code| code < 2),
        "{output:?}"
    );
    output
}

fn tree(directory: &Path) -> std::path::PathBuf {
    let tree = directory.join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("one"), "12345").unwrap();
    fs::write(tree.join("two"), vec![7; 300_000]).unwrap();
    tree
}

#[test]
fn json_is_an_object_a_line() {
    let scratch = scratch();
    let tree = tree(scratch.path());
    let manifest = build(&scratch, &tree, &[]);
    for arguments in [
        [
            "build",
            "--progress=json",
            "-o",
            "/dev/null",
            tree.to_str().unwrap(),
        ],
        [
            "verify",
            "--progress=json",
            "-j1",
            tree.to_str().unwrap(),
            manifest.to_str().unwrap(),
        ],
    ] {
        let output = continuity(arguments);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let last: Value =
            serde_json::from_str(text(&output.stderr).lines().last().unwrap()).unwrap();
        assert_eq!(last["event"], "progress");
        assert_eq!(last["bytes"], 300_005);
        assert_eq!(last["bytes_total"], 300_005);
        assert_eq!(last["files"], last["files_total"]);
    }
}

#[test]
fn a_terminal_shows_a_bar_that_goes_away() {
    let scratch = scratch();
    let tree = tree(scratch.path());
    // Long enough for a look at it.
    let large = fs::File::create(tree.join("two")).unwrap();
    large.set_len(300 << 20).unwrap();
    let manifest = build(&scratch, &tree, &[]);
    fs::write(tree.join("one"), "54321").unwrap();
    let arguments = format!("verify {} {}", tree.display(), manifest.display());
    let shown = text(&on_terminal(&arguments).stdout);
    assert!(shown.contains("/3 files, "), "{shown:?}");
    // What is left on the screen is what would be there without it.
    let left: Vec<&str> = shown
        .split("\r\n")
        .map(|line| line.rsplit("\x1b[2K").next().unwrap())
        .collect();
    assert!(left[0].starts_with("digests for"), "{left:?}");
    assert!(left[1].starts_with("continuity: differences"), "{left:?}");
    assert_eq!(left[2], "");

    let quiet = on_terminal(&format!("-q {arguments}"));
    assert_eq!(text(&quiet.stdout), "");
    let never = on_terminal(&format!("{arguments} --progress=never"));
    assert!(!text(&never.stdout).contains("files"));
}

#[test]
fn nothing_is_shown_elsewhere() {
    let scratch = scratch();
    let tree = tree(scratch.path());
    let output = continuity(["build", "-o", "/dev/null", tree.to_str().unwrap()]);
    assert_eq!(text(&output.stderr), "");
}
