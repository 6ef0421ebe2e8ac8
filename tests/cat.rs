//! `continuity cat`: content that matched, or none.

// The functions that tests share are tests too; clippy does not see that.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use continuity::digest::Algorithm;
use tempfile::TempDir;

mod tree;
use tree::{build, continuity, scratch, text};

const LARGE: usize = 5 << 20;

fn large() -> Vec<u8> {
    (0..LARGE as u32 / 4).flat_map(u32::to_le_bytes).collect()
}

/// A tree with a small file, a large one, and links to them.
fn tree(scratch: &TempDir) -> PathBuf {
    let tree = scratch.path().join("tree");
    fs::create_dir_all(tree.join("dir")).unwrap();
    fs::write(tree.join("dir/small"), "small\n").unwrap();
    fs::write(tree.join("large"), large()).unwrap();
    fs::write(tree.join("empty"), "").unwrap();
    symlink("/dir/small", tree.join("link")).unwrap();
    tree
}

fn cat(source: impl AsRef<OsStr>, manifest: &Path, paths: &[&str]) -> Output {
    let mut arguments = vec![
        OsStr::new("cat"),
        OsStr::new("--source"),
        source.as_ref(),
        manifest.as_os_str(),
    ];
    arguments.extend(paths.iter().map(OsStr::new));
    continuity(arguments)
}

#[test]
fn writes_what_the_manifest_declares() {
    let scratch = scratch();
    let tree = tree(&scratch);
    let manifest = build(&scratch, &tree, &[]);
    for path in ["/dir/small", "dir/small", "/link", "/dir/../link"] {
        let out = cat(&tree, &manifest, &[path]);
        assert_eq!(
            (text(&out.stdout).as_str(), text(&out.stderr).as_str()),
            ("small\n", "")
        );
        assert_eq!(out.status.code(), Some(0), "{path}");
    }
    let mut source = std::ffi::OsString::from("dir:");
    source.push(&tree);
    let out = cat(source, &manifest, &["large", "empty", "link"]);
    assert!(out.status.success() && out.stdout == [large(), b"small\n".to_vec()].concat());
}

#[test]
fn writes_what_a_store_of_blobs_has() {
    let scratch = scratch();
    let tree = tree(&scratch);
    let manifest = build(&scratch, &tree, &[]);
    let blobs = scratch.path().join("store/blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    for content in [large(), b"small\n".to_vec()] {
        let digest = Algorithm::Sha256.hash(&content).to_string();
        fs::write(blobs.join(digest.split_once(':').unwrap().1), content).unwrap();
    }
    let mut source = std::ffi::OsString::from("oci:");
    source.push(scratch.path().join("store"));
    let out = cat(source, &manifest, &["large", "link"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    assert!(out.stdout == [large(), b"small\n".to_vec()].concat());
}

#[test]
fn writes_nothing_that_does_not_match() {
    let scratch = scratch();
    let tree = tree(&scratch);
    let with_chunks = build(&scratch, &tree, &[]);
    let chunks = scratch.path().join("chunks");
    fs::rename(with_chunks, &chunks).unwrap();
    let whole = build(&scratch, &tree, &["--compat"]);
    fs::write(tree.join("dir/small"), "SMALL\n").unwrap();
    let file = fs::File::options()
        .write(true)
        .open(tree.join("large"))
        .unwrap();
    file.write_all_at(b"!", (3 << 20) + 5).unwrap();

    let out = cat(&tree, &chunks, &["link", "empty", "large"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(
        out.stdout == large()[..3 << 20],
        "{} bytes",
        out.stdout.len()
    );
    let stderr = text(&out.stderr);
    let lines: Vec<&str> = stderr.lines().collect();
    assert!(
        lines[0].starts_with(r#"continuity: "/dir/small" is refused: its digest is sha256:"#),
        "{stderr}"
    );
    assert!(
        lines[1].starts_with(r#"continuity: "/large" is refused from byte 3145728 on: its digest"#),
        "{stderr}"
    );
    assert_eq!(lines.len(), 2, "{stderr}");

    // One digest vouches for all bytes or none.
    let out = cat(&tree, &whole, &["large"]);
    assert_eq!((out.status.code(), out.stdout.len()), (Some(2), 0));

    fs::remove_file(tree.join("dir/small")).unwrap();
    symlink("/etc/hostname", tree.join("dir/small")).unwrap();
    let out = cat(&tree, &whole, &["dir/small"]);
    assert_eq!((out.status.code(), out.stdout.len()), (Some(2), 0));
}

#[test]
fn says_what_is_no_file() {
    let scratch = scratch();
    let tree = tree(&scratch);
    let manifest = build(&scratch, &tree, &[]);
    for (path, shown) in [
        ("/nothing", r#""/nothing": no such file in the manifest"#),
        (
            "/large/x\n",
            r#""/large/x\n": not a directory in the manifest"#,
        ),
        ("/dir", r#""/dir" is a directory, not a regular file"#),
    ] {
        let out = cat(&tree, &manifest, &[path]);
        assert_eq!(out.status.code(), Some(2));
        assert_eq!(text(&out.stderr), format!("continuity: {shown}\n"));
    }
    for (source, shown) in [
        ("s3:x", "no kind of source"),
        ("tar:x", "cannot open the source archive \"x\""),
        (
            "oci:/nowhere",
            "cannot open the directory of blobs \"/nowhere/blobs\"",
        ),
        ("/nowhere", "cannot open the source directory \"/nowhere\""),
    ] {
        let out = cat(source, &manifest, &["/large"]);
        assert_eq!(out.status.code(), Some(2));
        assert!(text(&out.stderr).contains(shown), "{}", text(&out.stderr));
    }
}

#[test]
fn a_reader_that_leaves_is_not_told_about_it() {
    let scratch = scratch();
    let tree = tree(&scratch);
    let manifest = build(&scratch, &tree, &[]);
    let out = Command::new("bash")
        .args([
            "-c",
            r#""$0" cat --source "$1" "$2" large | head -c1 >/dev/null; exit "${PIPESTATUS[0]}""#,
        ])
        .arg(env!("CARGO_BIN_EXE_continuity"))
        .args([&tree, &manifest])
        .output()
        .unwrap();
    assert_eq!(
        (out.status.code(), text(&out.stderr).as_str()),
        (Some(0), "")
    );
    let full = Command::new("sh")
        .args(["-c", r#""$0" cat --source "$1" "$2" large >/dev/full"#])
        .arg(env!("CARGO_BIN_EXE_continuity"))
        .args([&tree, &manifest])
        .output()
        .unwrap();
    assert_eq!(full.status.code(), Some(2));
    assert!(
        text(&full.stderr).contains("No space left"),
        "{}",
        text(&full.stderr)
    );
}
