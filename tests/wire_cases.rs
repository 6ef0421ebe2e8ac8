//! Small manifests of `interop/wire-cases.txt`, and what the Go tool makes of
//! them.

// The functions that tests share are tests too; clippy does not see that.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use continuity::list::{self, Names};
use continuity::manifest::{Limits, Manifest};

/// What our strict reading decides, beside what the Go tool's `load` does.
enum Strict {
    /// Both accept it.
    Accepts,
    /// Both refuse it, with this in our message.
    Refuses(&'static str),
    /// The Go tool refuses it; for the reason given, we do not.
    Widens,
    /// The Go tool accepts it; we refuse it with this in the message.
    Narrows(&'static str),
}

use Strict::{Accepts, Narrows, Refuses, Widens};

/// Each with the reason for what we decide.
const DECISIONS: [(&str, Strict, &str); 41] = [
    ("empty", Accepts, "an empty tree"),
    (
        "empty-resource",
        Narrows("no path"),
        "nothing could be served of it",
    ),
    ("plain", Accepts, "the usual"),
    (
        "unsorted",
        Accepts,
        "order is no promise of the format; encoding sorts",
    ),
    (
        "paths-unsorted-and-repeated",
        Narrows("stands in it twice"),
        "one name is one link",
    ),
    (
        "dir-two-paths",
        Narrows("a directory cannot have"),
        "Linux has no such directory",
    ),
    ("symlink-two-paths", Accepts, "symlinks can have hard links"),
    (
        "symlink-xattr",
        Accepts,
        "Linux has trusted and security attributes there",
    ),
    (
        "symlink-no-target",
        Narrows("symlink target has 0 bytes"),
        "symlink(2) says ENOENT",
    ),
    (
        "dup-xattr",
        Narrows("stands in it twice"),
        "readers would differ on which counts",
    ),
    ("xattr-without-data", Accepts, "an empty value"),
    ("two-digests", Accepts, "all that we know must match"),
    (
        "no-digest",
        Accepts,
        "metadata can be served; reading will be refused",
    ),
    ("user-group", Accepts, "carried along"),
    ("ads", Accepts, "carried along"),
    (
        "negative-ids",
        Narrows("uid -1 is not in the range"),
        "no inode can have it",
    ),
    (
        "big-ids",
        Narrows("gid 1099511627776 is not in"),
        "no inode can have it",
    ),
    ("socket", Widens, "ls shows it, so a mount can"),
    (
        "irregular",
        Refuses("names no kind of file"),
        "no kind of file of Linux",
    ),
    (
        "char-without-device",
        Refuses("names no kind of file"),
        "half of a type",
    ),
    (
        "plan9-bits",
        Accepts,
        "known to Go; kept, without a meaning",
    ),
    (
        "unused-mode-bits",
        Narrows("no meaning for"),
        "nobody knows what they ask for",
    ),
    (
        "unix-mode",
        Narrows("no meaning for"),
        "a directory would be served as a file",
    ),
    ("block-device", Accepts, "the usual"),
    ("char-device", Accepts, "the usual"),
    ("whiteout", Accepts, "the usual"),
    ("setuid-setgid-sticky", Accepts, "the usual"),
    (
        "unknown-fields",
        Accepts,
        "skipped, so that the format can grow",
    ),
    ("unknown-group", Accepts, "skipped too"),
    (
        "wrong-wire-type",
        Accepts,
        "an unknown field, as the specification says",
    ),
    (
        "packed-mode",
        Accepts,
        "an unknown field; the mode is 0 then",
    ),
    (
        "repeated-scalars",
        Accepts,
        "the last one counts, as the specification says",
    ),
    (
        "mode-over-32-bits",
        Narrows("does not fit 32 bits"),
        "readers would differ on it",
    ),
    ("non-minimal-varint", Accepts, "valid by the specification"),
    ("fields-out-of-order", Accepts, "valid by the specification"),
    ("field-number-0", Refuses("wire-format"), "no protobuf"),
    ("end-group-alone", Refuses("wire-format"), "no protobuf"),
    ("group-unterminated", Refuses("wire-format"), "no protobuf"),
    ("varint-11-bytes", Refuses("wire-format"), "no protobuf"),
    ("length-past-end", Refuses("wire-format"), "no protobuf"),
    (
        "not-utf8-user",
        Refuses("invalid UTF-8"),
        "proto3 has no such string",
    ),
];

/// One case of the file.
#[derive(Debug, Default)]
struct Case {
    name: String,
    manifest: Vec<u8>,
    /// The outcomes, `ok` or an error.
    load: String,
    ls: String,
    dump: String,
    /// What `ls` and `dump` print.
    ls_prints: String,
    dump_prints: String,
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in include_str!("interop/wire-cases.txt").lines() {
        if let Some(name) = line.strip_prefix("case: ") {
            cases.push(Case {
                name: name.to_owned(),
                ..Case::default()
            });
            continue;
        }
        let Some(case) = cases.last_mut() else {
            continue;
        };
        if let Some(printed) = line.strip_prefix('|') {
            let printed = printed.strip_prefix(' ').unwrap_or(printed);
            let prints = if case.dump.is_empty() {
                &mut case.ls_prints
            } else {
                &mut case.dump_prints
            };
            prints.push_str(printed);
            prints.push('\n');
        } else if let Some((key, value)) = line.split_once(": ") {
            match key {
                "hex" => case.manifest = unhex(value),
                "load" => case.load = value.to_owned(),
                "ls" => case.ls = value.to_owned(),
                "dump" => case.dump = value.to_owned(),
                _ => {}
            }
        }
    }
    cases
}

fn unhex(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Our message has an offset more than that of the Go tool.
fn assert_like_go(ours: &dyn std::error::Error, go: &str, name: &str) {
    let go = go.rsplit(": ").next().unwrap();
    let ours = ours.to_string();
    assert!(ours.starts_with(go), "{name}: {ours}, but Go: {go}");
}

#[test]
fn every_case_is_read() {
    let names: Vec<_> = cases().into_iter().map(|case| case.name).collect();
    assert_eq!(names, DECISIONS.map(|(name, ..)| name));
}

#[test]
fn ls_and_dump_print_what_the_go_tool_prints() {
    for case in cases() {
        let name = &case.name;
        let mut out = Vec::new();
        match list::ls(&case.manifest, Names::Raw, &mut out) {
            Ok(()) => assert_eq!("ok", case.ls, "{name}"),
            Err(error) => assert_like_go(&error, &case.ls, name),
        }
        assert_eq!(String::from_utf8(out).unwrap(), case.ls_prints, "{name}");

        let mut out = Vec::new();
        match list::dump(&case.manifest, &mut out) {
            Ok(()) => assert_eq!("ok", case.dump, "{name}"),
            Err(error) => assert_like_go(&error, &case.dump, name),
        }
        // The file leaves empty lines at the end out.
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out.trim_end(), case.dump_prints.trim_end(), "{name}");
    }
}

#[test]
fn strict_reading_differs_where_it_is_meant_to() {
    for (case, (name, strict, reason)) in cases().into_iter().zip(DECISIONS) {
        let ours = Manifest::read(&case.manifest, &Limits::default());
        let go_accepts = case.load == "ok";
        let (we_accept, go_should_accept, says) = match strict {
            Accepts => (true, true, ""),
            Refuses(says) => (false, false, says),
            Widens => (true, false, ""),
            Narrows(says) => (false, true, says),
        };
        assert_eq!(go_accepts, go_should_accept, "{name}: {}", case.load);
        match ours {
            Ok(_) => assert!(we_accept, "{name} is accepted, but: {reason}"),
            Err(error) => {
                assert!(!we_accept, "{name}: {error}, but: {reason}");
                assert!(error.to_string().contains(says), "{name}: {error}");
            }
        }
    }
}
