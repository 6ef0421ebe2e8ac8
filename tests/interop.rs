//! What the Go tool wrote and printed, against what we make of it.

// The functions that tests share are tests too; clippy does not see that.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use continuity::list::{self, Names, Stats};
use continuity::manifest::{Form, Limits, Manifest};

const GOLDEN: [&str; 13] = [
    "tree",
    "regular",
    "modes",
    "owners",
    "names",
    "sort",
    "symlinks",
    "hardlinks",
    "devices",
    "xattrs",
    "acl",
    "empty",
    "sizes",
];

fn path(name: &str, extension: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/interop")
        .join(name)
        .with_extension(extension)
}

fn golden(name: &str, extension: &str) -> Vec<u8> {
    fs::read(path(name, extension)).unwrap()
}

fn assert_same(found: &[u8], name: &str, extension: &str) {
    let wanted = golden(name, extension);
    if found == wanted {
        return;
    }
    let lines = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    for (number, pair) in (1..).zip(lines(&wanted).iter().zip(lines(found))) {
        assert_eq!(*pair.0, pair.1, "{name}.{extension} line {number}");
    }
    panic!("{name}.{extension} is cut off, or ends differently");
}

#[test]
fn every_golden_file_is_tested() {
    for entry in fs::read_dir(path("tree", "pb").parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "pb") {
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(GOLDEN.contains(&name), "{name}");
        }
    }
}

#[test]
fn listings_are_those_of_the_go_tool() {
    for name in GOLDEN {
        let manifest = golden(name, "pb");
        let mut out = Vec::new();
        list::ls(&manifest, Names::Raw, &mut out).unwrap();
        assert_same(&out, name, "ls");
        out.clear();
        let stats = Stats::of(&manifest).unwrap();
        stats.write_text(&mut out).unwrap();
        assert_same(&out, name, "stats");
        out.clear();
        list::dump(&manifest, &mut out).unwrap();
        assert_same(&out, name, "dump");
    }
}

#[test]
fn the_compatible_form_is_what_the_go_tool_writes() {
    for name in GOLDEN {
        let bytes = golden(name, "pb");
        if name == "sizes" {
            // It has sizes of 2^63 and above, which no file can have.
            let error = Manifest::read(&bytes, &Limits::default()).unwrap_err();
            assert!(error.to_string().contains("9223372036854775808"));
            continue;
        }
        let manifest = Manifest::read(&bytes, &Limits::default()).unwrap();
        assert!(
            manifest.encode(Form::Compat).unwrap() == bytes,
            "{name} is not the same"
        );
        // Nothing in it needs an extension, so the full form is the same.
        assert!(
            manifest.encode(Form::Full).unwrap() == bytes,
            "{name} is not the same in full"
        );
    }
}

#[test]
fn json_says_the_same_and_is_well_formed() {
    for name in GOLDEN {
        let manifest = golden(name, "pb");
        let mut out = Vec::new();
        list::ls_json(&manifest, &mut out).unwrap();
        let listed: Vec<serde_json::Value> = serde_json::from_slice(&out).unwrap();
        let stats = Stats::of(&manifest).unwrap();
        assert_eq!(listed.len() as u64, stats.paths, "{name}");

        out.clear();
        list::dump_json(&manifest, &mut out).unwrap();
        let dumped: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let resources = dumped["resource"].as_array().map_or(0, Vec::len);
        assert_eq!(resources as u64, stats.resources, "{name}");

        out.clear();
        stats.write_json(&mut out).unwrap();
        let counted: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(counted["resources"], stats.resources, "{name}");
    }
}

fn continuity(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_continuity"));
    command.args(arguments).env_remove("RUST_LOG");
    command
}

#[test]
fn the_program_prints_the_same() {
    let tree = path("tree", "pb");
    let tree = tree.to_str().unwrap();
    for subcommand in ["ls", "stats", "dump"] {
        let output = continuity(&[subcommand, tree]).output().unwrap();
        assert!(output.status.success());
        assert_same(&output.stdout, "tree", subcommand);
        assert_eq!(output.stderr, b"");

        let stdin = || Stdio::from(fs::File::open(tree).unwrap());
        let output = continuity(&[subcommand, "-"]).stdin(stdin()).output();
        assert_same(&output.unwrap().stdout, "tree", subcommand);
    }
    let stdin = fs::File::open(tree).unwrap();
    let output = continuity(&["dump"]).stdin(stdin).output().unwrap();
    assert_same(&output.stdout, "tree", "dump");
}

#[test]
fn a_reader_that_goes_away_is_no_trouble() {
    let tree = path("tree", "pb");
    for subcommand in ["ls", "dump"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = continuity(&[subcommand, tree.to_str().unwrap()])
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
            .wait_with_output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(output.stderr, b"");
    }
}

#[test]
fn trouble_is_one_line_and_status_2() {
    let tree = path("tree", "pb");
    let tree = tree.to_str().unwrap();
    let broken = tempfile::NamedTempFile::with_prefix("bro\nken").unwrap();
    fs::write(&broken, [0x0a, 5, 0]).unwrap();
    let broken = broken.path().to_str().unwrap();
    let pin = format!("--digest=sha256:{}", "0".repeat(64));
    for (arguments, says) in [
        (
            &["ls", "/missing"][..],
            "continuity: cannot read /missing: No such file or directory (os error 2)",
        ),
        (&["dump", broken], "bro\\nken"),
        (&["stats", broken], "cannot parse invalid wire-format data"),
        (&["stats", tree, &pin], "wanted sha256:000000"),
        (&["ls", "/"], "cannot read /: Is a directory"),
    ] {
        let output = continuity(arguments).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(output.stdout, b"", "{arguments:?}");
        assert!(stderr.starts_with("continuity: "), "{stderr}");
        assert!(stderr.contains(says), "{stderr}");
        assert_eq!(stderr.matches('\n').count(), 1, "{stderr}");
    }
    for usage in [
        &[][..],
        &["nonsense"],
        &["ls"],
        &["ls", tree, "--nonsense"],
        &["ls", tree, "--digest=md5:00"],
    ] {
        let output = continuity(usage).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{usage:?}");
        assert_eq!(output.stdout, b"", "{usage:?}");
        assert!(!output.stderr.is_empty(), "{usage:?}");
    }
    let output = continuity(&["nonsense\x1b[31m"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("continuity: "), "{stderr}");
    assert!(!stderr.contains('\x1b'), "{stderr}");
    for fine in ["--version", "--help"] {
        let output = continuity(&[fine]).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(output.stderr, b"");
    }
}

#[test]
fn a_full_disk_is_trouble() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full");
    let tree = path("tree", "pb");
    let output = continuity(&["ls", tree.to_str().unwrap()])
        .stdout(full.unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("No space left on device"), "{stderr}");
}

#[test]
fn man_pages_are_written() {
    let directory = tempfile::tempdir().unwrap();
    let output = continuity(&["man", directory.path().to_str().unwrap()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    for page in ["continuity.1", "continuity-ls.1", "continuity-dump.1"] {
        let page = fs::read_to_string(directory.path().join(page)).unwrap();
        assert!(page.contains(".SH SYNOPSIS"));
    }
}
