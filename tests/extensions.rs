//! What is shown of a manifest that has everything which the Go tool does not
//! know.

// The functions that tests share are tests too; clippy does not see that.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use continuity::digest::Algorithm;
use continuity::list::{self, Names, Stats};
use continuity::manifest::{
    ChunkTable, Chunks, Content, Form, HeaderCarried, Info, Kind, Limits, Manifest, Metadata,
    Resource, Timestamp, Xattr,
};
use continuity::mode::FileMode;
use continuity::path::ManifestPath;

fn resource(path: &[u8], mode: u32, kind: Kind) -> Resource {
    Resource {
        paths: vec![ManifestPath::parse(path).unwrap()],
        metadata: Metadata::new(FileMode::from_stat(mode).unwrap()),
        kind,
        carried: None,
    }
}

fn manifest() -> Vec<u8> {
    let chunks = ChunkTable {
        algorithm: Algorithm::Sha256,
        chunks: Chunks::Lengths(vec![1, 2]),
        digests: [[0xaa; 32], [0xbb; 32]].concat(),
    };
    let mut file = resource(
        b"/f",
        0o100_644,
        Kind::Regular(Content {
            size: 3,
            digests: vec![Algorithm::Sha256.hash(b"abc")],
            unknown_digests: Vec::new(),
            chunks: Some(chunks),
        }),
    );
    file.metadata.mtime = Timestamp::new(-1, 500);
    let mut link = resource(b"/l", 0o120_777, Kind::Symlink(Box::from(*b"t\xff")));
    link.metadata.xattrs = vec![Xattr {
        name: Box::from(*b"trusted.a"),
        value: Box::from(*b"\x01"),
    }];
    let mut latin = resource(b"/caf\xe9", 0o010_600, Kind::Fifo);
    latin
        .paths
        .push(ManifestPath::parse(b"/caf\xc3\xa9").unwrap());
    latin.paths.sort();
    let mut root = Metadata::new(FileMode::from_stat(0o041_777).unwrap());
    root.user = "adm".into();
    root.opaque = true;
    Manifest {
        root: Some(root),
        info: Info {
            version: 1,
            generator: "test".into(),
            base: String::new(),
        },
        resources: vec![file, link, latin, resource(b"/s", 0o140_755, Kind::Socket)],
        carried: HeaderCarried::default(),
    }
    .encode(Form::Full)
    .unwrap()
}

#[test]
fn ls_lists_special_resources_last_and_no_root() {
    let mut out = Vec::new();
    list::ls(&manifest(), Names::Escaped, &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "\
-rw-r--r--  0  0  3 B  /f
prw-------  0  0  0 B  /caf\u{e9}
prw-------  0  0  0 B  /caf\\xe9
Lrwxrwxrwx  0  0  0 B  /l -> t\\xff
Srwxr-xr-x  0  0  0 B  /s
"
    );
    let mut out = Vec::new();
    list::ls(&manifest(), Names::Raw, &mut out).unwrap();
    let raw = b"\nprw-------  0  0  0 B  /caf\xe9\n";
    assert!(out.windows(raw.len()).any(|window| window == raw));
}

#[test]
fn ls_json_has_it_all() {
    let mut out = Vec::new();
    list::ls_json(&manifest(), &mut out).unwrap();
    let found: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let abc = Algorithm::Sha256.hash(b"abc").to_string();
    let wanted = serde_json::json!([
        { "path": "/", "section": "root", "index": 0, "type": "directory", "mode": "1777",
          "mode_string": "dtrwxrwxrwx", "uid": 0, "gid": 0, "user": "adm", "opaque": true },
        { "path": "/f", "section": "resource", "index": 0, "type": "file", "mode": "0644",
          "mode_string": "-rw-r--r--", "uid": 0, "gid": 0, "size": 3, "digests": [abc],
          "mtime": { "seconds": -1, "nanoseconds": 500 },
          "chunks": { "algorithm": "sha256", "chunk_size": 0, "lengths": 2, "digest_bytes": 64 } },
        { "path": "/caf\u{e9}", "section": "special", "index": 0, "type": "fifo", "mode": "0600",
          "mode_string": "prw-------", "uid": 0, "gid": 0, "links": 2 },
        { "path": "/caf\\xe9", "path_hex": "2f636166e9", "section": "special", "index": 0,
          "type": "fifo", "mode": "0600", "mode_string": "prw-------", "uid": 0, "gid": 0,
          "links": 2 },
        { "path": "/l", "section": "special", "index": 1, "type": "symlink", "mode": "0777",
          "mode_string": "Lrwxrwxrwx", "uid": 0, "gid": 0, "target": "t\\xff",
          "target_hex": "74ff", "xattrs": [{ "name": "trusted.a", "value": "01" }] },
        { "path": "/s", "section": "special", "index": 2, "type": "socket", "mode": "0755",
          "mode_string": "Srwxr-xr-x", "uid": 0, "gid": 0 },
    ]);
    assert_eq!(found, wanted);
}

#[test]
fn stats_counts_special_resources() {
    let stats = Stats::of(&manifest()).unwrap();
    let wanted = Stats {
        resources: 4,
        paths: 5,
        files: 1,
        symlinks: 1,
        fifos: 1,
        sockets: 1,
        size: 3,
        xattrs: 1,
        chunk_tables: 1,
        ..Stats::default()
    };
    assert_eq!(stats, wanted);
}

#[test]
fn dump_knows_the_extensions_by_name() {
    let mut out = Vec::new();
    list::dump(&manifest(), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    for line in [
        "  path: \"/f\"\n",
        "    mtime: {\n      seconds: -1\n      nanos: 500\n    }\n",
        "      length: 1\n      length: 2\n",
        "info: {\n  version: 1\n  generator: \"test\"\n}\n",
        "root: {\n  mode: 2148532735\n  extension: {\n    opaque: true\n    user: \"adm\"\n  }\n}\n",
        "    raw_path: \"/caf\u{e9}\"\n    raw_path: \"/caf\\xe9\"\n",
        "    raw_target: \"t\\xff\"\n",
        "    raw_xattr: {\n      name: \"trusted.a\"\n      data: \"\\x01\"\n    }\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }

    let mut out = Vec::new();
    list::dump_json(&manifest(), &mut out).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let extension = &json["resource"][0]["extension"];
    assert_eq!(extension["chunks"]["length"], serde_json::json!([1, 2]));
    assert_eq!(extension["mtime"]["seconds"], -1);
    let special = json["special"].as_array().unwrap();
    assert_eq!(special.len(), 3);
    assert_eq!(special[1]["extension"]["raw_target"], "74ff");
    assert_eq!(json["info"]["generator"], "test");
}

/// A length-delimited field with a number below 16, or 100.
fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let key = match number {
        100 => vec![0xa2, 6],
        number => vec![number << 3 | 2],
    };
    [&key[..], &[value.len() as u8], value].concat()
}

#[test]
fn what_nobody_knows_is_not_lost() {
    // An unknown field, and a table by an algorithm that is to come.
    let table = [&field(1, b"sha9")[..], &[0x10, 4], &field(4, b"12")].concat();
    let extension = [
        &field(1, &[0x08, 2])[..],
        &field(3, &table),
        &field(15, b"later"),
    ]
    .concat();
    let stream = |digest: &str| {
        field(
            13,
            &[
                field(1, b"s"),
                field(2, b"abc"),
                field(3, digest.as_bytes()),
            ]
            .concat(),
        )
    };
    let resource = |digest| {
        [
            &field(1, b"/f")[..],
            &field(4, b"user"),
            &field(5, b"group"),
            &[0x30, 0xa4, 3],
            &stream(digest),
            &field(100, &extension),
            &field(15, b"unknown"),
        ]
        .concat()
    };
    let manifest = |digest| [field(1, &resource(digest)), field(14, b"of the manifest")].concat();
    for good in ["none", "md5:x", "sha256"] {
        let bytes = manifest(good);
        let read = Manifest::read(&bytes, &Limits::default()).unwrap();
        let Kind::Regular(content) = &read.resources[0].kind else {
            panic!("no file");
        };
        assert_eq!(content.chunks, None);
        assert_eq!(read.encode(Form::Full).unwrap(), bytes);
    }
    // The digest of "abd".
    let other = Algorithm::Sha256.hash(b"abd").to_string();
    let long = stream(&other[..71]);
    let resource = [&field(1, b"/f")[..], &[0x30, 0xa4, 3], &long].concat();
    let refused = Manifest::read(&field(1, &resource), &Limits::default());
    let error = refused.unwrap_err().to_string();
    assert!(
        error.contains("alternate data stream \"s\" has a digest"),
        "{error}"
    );
}
