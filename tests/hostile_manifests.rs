//! Manifests that nobody honest wrote: each is refused, and the error says
//! which entry and why.

// The functions that tests share are tests too; clippy does not see that.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use continuity::list::{self, Names, Stats};
use continuity::manifest::{Limits, Manifest, ManifestError};

const RESOURCE: u32 = 1;
const INFO: u32 = 100;
const ROOT: u32 = 101;
const SPECIAL: u32 = 102;
const EXTENSION: u32 = 100;

const FILE: u64 = 0o644;
const DIRECTORY: u64 = 1 << 31 | 0o755;
const SYMLINK: u64 = 1 << 27 | 0o777;
const FIFO: u64 = 1 << 25 | 0o644;
const DEVICE: u64 = 1 << 26 | 0o644;
const SHA256: &str = "sha256:98ea6e4f216f2fb4b69fff9b3a44842c38686ca685f3f55dc48c5d3fb1107be4";

/// A message, field by field.
#[derive(Clone, Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(mut self, field: u32, value: u64) -> Self {
        varint(u64::from(field) << 3, &mut self.0);
        varint(value, &mut self.0);
        self
    }

    fn bytes(mut self, field: u32, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        varint(u64::from(field) << 3 | 2, &mut self.0);
        varint(value.len() as u64, &mut self.0);
        self.0.extend_from_slice(value);
        self
    }

    fn message(self, field: u32, value: Self) -> Self {
        self.bytes(field, value.0)
    }
}

fn varint(mut value: u64, bytes: &mut Vec<u8>) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// A resource with one path.
fn at(path: impl AsRef<[u8]>, mode: u64) -> Message {
    Message::default().bytes(1, path).number(6, mode)
}

fn alone(resource: Message) -> Vec<u8> {
    in_section(RESOURCE, resource)
}

fn in_section(section: u32, resource: Message) -> Vec<u8> {
    Message::default().message(section, resource).0
}

/// A file `/f` of 10 bytes with this chunk table.
fn with_chunks(table: Message) -> Vec<u8> {
    alone(
        at("/f", FILE)
            .number(7, 10)
            .message(EXTENSION, Message::default().message(3, table)),
    )
}

fn with_xattr(name: &str, value: &[u8]) -> Message {
    let xattr = Message::default().bytes(1, name).bytes(2, value);
    at("/f", FILE).message(12, xattr)
}

fn refusal(manifest: &[u8], limits: &Limits) -> String {
    match Manifest::read(manifest, limits) {
        Ok(manifest) => panic!("accepted: {manifest:?}"),
        Err(error) => {
            assert!(error.to_string().len() < 20_000, "a message like a book");
            error.to_string()
        }
    }
}

fn assert_refused(table: &[(Vec<u8>, &str, &str)]) {
    for (manifest, entry, reason) in table {
        let error = refusal(manifest, &Limits::default());
        assert!(error.contains(entry), "{error} does not name {entry}");
        assert!(error.contains(reason), "{error} does not say {reason}");
    }
}

#[test]
fn paths_that_lead_elsewhere() {
    let long = format!("/{}", "n".repeat(256));
    let longer = "/n".repeat(2048);
    let deep = "/n".repeat(1025);
    assert_refused(&[
        (
            alone(at("/../etc/shadow", FILE)),
            r#""/../etc/shadow""#,
            "\"..\"",
        ),
        (alone(at("/a/..", DIRECTORY)), r#""/a/..""#, "\"..\""),
        (alone(at("/./a", FILE)), r#""/./a""#, "\".\""),
        (
            alone(at("etc/passwd", FILE)),
            r#""etc/passwd""#,
            "not absolute",
        ),
        (alone(at("..", FILE)), r#""..""#, "not absolute"),
        (alone(at(".", FILE)), r#"".""#, "not absolute"),
        (alone(at("", FILE)), r#"resource 0 """#, "not absolute"),
        (alone(at("//", FILE)), r#""//""#, "empty component"),
        (alone(at("/a//b", FILE)), r#""/a//b""#, "empty component"),
        (alone(at("/a/", DIRECTORY)), r#""/a/""#, "empty component"),
        (alone(at("/a\0b", FILE)), r#""/a\x00b""#, "NUL"),
        (alone(at("/", FILE)), r#""/""#, "the root is a regular file"),
        (
            alone(at("/", SYMLINK).bytes(9, "/etc")),
            r#""/""#,
            "the root is a symlink",
        ),
        (alone(at(&long, FILE)), "/nnnnnn", "component of 256 bytes"),
        (alone(at(&longer, FILE)), "/n/n/n", "4096 bytes"),
        (
            alone(at(&deep, FILE)),
            "/n/n/n",
            "1025 levels deep, more than 1024",
        ),
        (
            alone(at("/\x1b[2Jhidden\n", 0o644 | 1 << 12)),
            r#""/\x1b[2Jhidden\n""#,
            "no meaning",
        ),
    ]);
}

#[test]
fn names_of_two_forms() {
    let raw = Message::default().bytes(8, b"/\xff");
    let none = Message::default().number(6, FILE);
    let twice = Message::default().bytes(8, b"/\xff").bytes(8, b"/\xff");
    assert_refused(&[
        (
            in_section(SPECIAL, at("/a", FILE).message(EXTENSION, raw.clone())),
            r#"special resource 0 "/a""#,
            "both forms",
        ),
        (
            alone(none.clone().message(EXTENSION, raw)),
            r#"resource 0 "/\xff""#,
            "raw paths outside",
        ),
        (
            in_section(SPECIAL, none.clone().message(EXTENSION, twice)),
            r#"special resource 0 "/\xff""#,
            r#""/\xff" stands in it twice"#,
        ),
        (
            in_section(
                SPECIAL,
                none.message(EXTENSION, Message::default().bytes(8, b"/\xff/..")),
            ),
            r#""/\xff/..""#,
            "\"..\"",
        ),
    ]);
}

#[test]
fn kinds_that_contradict_themselves() {
    assert_refused(&[
        (alone(Message::default()), "resource 0 at byte 0", "no path"),
        (
            alone(at("/d", DIRECTORY).bytes(1, "/e")),
            r#""/d""#,
            "a directory cannot have several paths",
        ),
        (
            alone(at("/f", FILE).bytes(1, "/g").bytes(1, "/f")),
            r#""/f""#,
            r#""/f" stands in it twice"#,
        ),
        (alone(at("/x", DIRECTORY | SYMLINK)), r#""/x""#, "or two"),
        (alone(at("/x", FIFO | 1 << 24)), r#""/x""#, "or two"),
        (
            alone(at("/x", 1 << 21 | 0o644)),
            r#""/x""#,
            "no kind of file",
        ),
        (
            alone(at("/x", 1 << 19 | 0o644)),
            r#""/x""#,
            "no kind of file",
        ),
        (alone(at("/x", 0o100_644)), r#""/x""#, "no meaning"),
        (alone(at("/x", 1 << 40)), r#""/x""#, "does not fit 32 bits"),
        (alone(at("/l", SYMLINK)), r#""/l""#, "target has 0 bytes"),
        (
            alone(at("/l", SYMLINK).bytes(9, "a\0b")),
            r#""/l""#,
            "no NUL",
        ),
        (
            alone(at("/l", SYMLINK).bytes(9, "t".repeat(4096))),
            r#""/l""#,
            "target has 4096 bytes",
        ),
        (
            alone(at("/c", DEVICE).number(10, 4096)),
            r#""/c""#,
            "4096:0 is out of range",
        ),
        (
            alone(at("/c", DEVICE).number(11, 1 << 20)),
            r#""/c""#,
            "0:1048576 is out of",
        ),
        (
            alone(at("/c", DEVICE).number(10, (1 << 32) | 1)),
            r#""/c""#,
            "4294967297:0 is out of range",
        ),
        (
            in_section(ROOT, Message::default().number(6, FILE)),
            "root at byte 0",
            "the root is a regular file",
        ),
        (
            [(); 2]
                .map(|()| in_section(ROOT, Message::default().number(6, DIRECTORY)))
                .concat(),
            "root at byte",
            "declared twice",
        ),
    ]);
}

#[test]
fn numbers_that_no_inode_can_have() {
    assert_refused(&[
        (
            alone(at("/f", FILE).number(7, 1 << 63)),
            r#""/f""#,
            "size 9223372036854775808",
        ),
        (
            alone(at("/f", FILE).number(7, u64::MAX)),
            r#""/f""#,
            "is more than 9223372036854775807",
        ),
        (
            alone(at("/f", FILE).number(2, u64::MAX)),
            r#""/f""#,
            "uid -1",
        ),
        (
            alone(at("/f", FILE).number(2, u64::from(u32::MAX))),
            r#""/f""#,
            "uid 4294967295",
        ),
        (
            alone(at("/f", FILE).number(3, 1 << 32)),
            r#""/f""#,
            "gid 4294967296",
        ),
        (
            alone(at("/f", FILE).message(
                EXTENSION,
                Message::default().message(1, Message::default().number(2, 1_000_000_000)),
            )),
            r#""/f""#,
            "1000000000 nanoseconds",
        ),
    ]);
}

#[test]
fn digests_that_are_none() {
    let many = (0..17).fold(at("/f", FILE), |file, _| file.bytes(8, SHA256));
    assert_refused(&[
        (
            alone(at("/f", FILE).bytes(8, "")),
            r#""/f""#,
            "no algorithm",
        ),
        (
            alone(at("/f", FILE).bytes(8, "sha256")),
            r#""/f""#,
            "no algorithm",
        ),
        (
            alone(at("/f", FILE).bytes(8, "sha256:")),
            r#""/f""#,
            "0 characters, not 64",
        ),
        (
            alone(at("/f", FILE).bytes(8, "sha256:abc")),
            r#""/f""#,
            "3 characters, not 64",
        ),
        (
            alone(at("/f", FILE).bytes(8, SHA256.to_uppercase().replace("SHA", "sha"))),
            r#""/f""#,
            "other than 0-9 and a-f",
        ),
        (alone(many), r#""/f""#, "more than 16 digests"),
    ]);
}

#[test]
fn attributes_that_no_inode_can_have() {
    let twice = with_xattr("user.a", b"1").message(
        EXTENSION,
        Message::default().message(10, Message::default().bytes(1, "user.a")),
    );
    // 260 names of 255 bytes and their NULs are more than 64 KiB.
    let list = (0..260).fold(at("/f", FILE), |file, number| {
        file.message(
            12,
            Message::default().bytes(1, format!("user.{number:0250}")),
        )
    });
    assert_refused(&[
        (alone(with_xattr("", b"v")), r#""/f""#, r#"attribute """#),
        (
            alone(with_xattr("user.\0", b"v")),
            r#""/f""#,
            r#""user.\x00""#,
        ),
        (
            alone(with_xattr(&"n".repeat(256), b"v")),
            r#""/f""#,
            "longer than 255",
        ),
        (
            alone(with_xattr("user.v", &[0; 65_537])),
            r#""/f""#,
            r#""user.v" has a value of 65537"#,
        ),
        (alone(twice), r#""/f""#, r#""user.a" stands in it twice"#),
        (alone(list), r#""/f""#, "more than 65536 bytes"),
    ]);
}

#[test]
fn chunk_tables_that_do_not_fit() {
    let table = |size, digests| {
        Message::default()
            .bytes(1, "sha256")
            .number(2, size)
            .bytes(4, vec![0; digests])
    };
    let lengths = |lengths: &[u8], digests| {
        Message::default()
            .bytes(1, "sha256")
            .bytes(3, lengths)
            .bytes(4, vec![0; digests])
    };
    let overflow = [vec![0xff; 9], vec![1], vec![10]].concat();
    assert_refused(
        &[
            (table(4, 64), "too few digests"),
            (table(4, 128), "too many"),
            (table(4, 95), "algorithm's length"),
            (table(0, 96), "no size"),
            (table(0, 0), "no size"),
            (lengths(&[5, 5], 32), "too many lengths"),
            (lengths(&[5, 4], 64), "do not add up"),
            (lengths(&[10], 64), "do not add up"),
            (lengths(&[5, 0, 5], 96), "one of 0"),
            (lengths(&overflow, 64), "overflow"),
            (lengths(&[0x80], 32), "wire-format"),
            (table(4, 96).bytes(3, [4, 4, 2]), "a chunk size and lengths"),
            (Message::default().bytes(1, b"\xff"), "UTF-8"),
        ]
        .map(|(table, reason)| (with_chunks(table), r#""/f""#, reason)),
    );
}

#[test]
fn features_from_the_future() {
    let info = Message::default().bytes(3, "time\x1btravel");
    let manifest = Message::default()
        .message(RESOURCE, at("/a", FILE))
        .message(INFO, info);
    assert_refused(&[(manifest.0, "", r#"feature "time\x1btravel""#)]);
}

#[test]
fn limits_are_kept() {
    let limits = Limits {
        resources: 2,
        depth: 3,
        links: 2,
        digests: 1,
    };
    let three = ["/a", "/b", "/c"]
        .iter()
        .fold(Message::default(), |m, path| {
            m.message(RESOURCE, at(path, FILE))
        });
    let links = at("/a", FILE).bytes(1, "/b").bytes(1, "/c");
    let digests = at("/a", FILE).bytes(8, SHA256).bytes(8, SHA256);
    for (manifest, reason) in [
        (three.0, "more than 2 resources"),
        (alone(at("/a/b/c/d", FILE)), "4 levels deep, more than 3"),
        (alone(links), "more than 2 paths"),
        (alone(digests), "more than 1 digests"),
    ] {
        let error = refusal(&manifest, &limits);
        assert!(error.contains(reason), "{error}");
    }
    let fine = Message::default()
        .message(RESOURCE, at("/a/b/c", FILE).bytes(1, "/d").bytes(8, SHA256))
        .message(SPECIAL, at("/s", 1 << 24 | 0o755));
    assert!(Manifest::read(&fine.0, &limits).is_ok());
}

#[test]
fn messages_that_are_cut_off() {
    let whole = Message::default()
        .message(RESOURCE, with_xattr("user.a", b"1").bytes(8, SHA256))
        .message(ROOT, Message::default().number(6, DIRECTORY))
        .0;
    assert!(Manifest::read(&whole, &Limits::default()).is_ok());
    let resource = alone(with_xattr("user.a", b"1").bytes(8, SHA256)).len();
    for end in (1..whole.len()).filter(|end| *end != resource) {
        let cut = &whole[..end];
        let error = Manifest::read(cut, &Limits::default()).unwrap_err();
        assert!(matches!(error, ManifestError::Wire(_)), "{end}: {error}");
        let mut out = Vec::new();
        assert!(list::ls(cut, Names::Raw, &mut out).is_err());
        assert!(list::ls_json(cut, &mut out).is_err());
        assert!(list::dump(cut, &mut out).is_err());
        assert!(list::dump_json(cut, &mut out).is_err());
        assert!(Stats::of(cut).is_err());
        assert_eq!(out, b"", "something was printed of a manifest cut off");
    }
}

/// Most memory that this process ever had, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kibibytes = line.unwrap().split_whitespace().nth(1).unwrap();
    kibibytes.parse::<u64>().unwrap() * 1024
}

/// Under nextest every test is a process, so that the peak is its own.
fn assert_takes_no_more(most: u64, work: impl FnOnce()) {
    let before = peak_memory();
    let start = Instant::now();
    work();
    let grown = peak_memory() - before;
    assert!(grown < most, "{grown} bytes of memory");
    let time = start.elapsed();
    assert!(time < Duration::from_secs(20), "{time:?}");
}

const MIB: u64 = 1 << 20;

#[test]
fn eight_million_empty_resources_are_refused_at_once() {
    let bomb = [0x0a, 0].repeat(8 << 20);
    // The header is looked for in all of it, and nothing else is.
    assert_takes_no_more(4 * MIB, || {
        let error = refusal(&bomb, &Limits::default());
        assert!(error.starts_with("resource 0 at byte 0"), "{error}");
    });
}

#[test]
fn a_million_empty_parts_take_no_memory() {
    let extension = [0x1a_u8, 0, 0x42, 0, 0x52, 0].repeat(1 << 18);
    let parts = [0x62_u8, 0, 0x6a, 0, 0x42, 0].repeat(1 << 18);
    let raw_paths = [0x42_u8, 0].repeat(1 << 19);
    for manifest in [
        in_section(SPECIAL, at("/f", FILE).bytes(EXTENSION, extension)),
        in_section(
            SPECIAL,
            Message::default()
                .number(6, FILE)
                .bytes(EXTENSION, raw_paths),
        ),
        alone(Message(parts)),
    ] {
        assert_takes_no_more(4 * MIB, || {
            refusal(&manifest, &Limits::default());
        });
        assert_takes_no_more(4 * MIB, || {
            Stats::of(&manifest).unwrap();
        });
    }
}
