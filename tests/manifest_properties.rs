//! What holds for every manifest.

// The functions that tests share are tests too; clippy does not see that.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod generated;

use std::collections::{BTreeMap, BTreeSet};

use continuity::digest::Algorithm;
use continuity::list::{self, Names, Stats};
use continuity::manifest::{Form, Kind, Limits, Manifest, Records, Section, read_text};
use generated::{is_special, manifest};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;

/// Everything that reads, on bytes of any kind; the results do not matter.
fn read_in_every_way(bytes: &[u8]) {
    let strict = Manifest::read(bytes, &Limits::default());
    let mut out = Vec::new();
    let lenient = [
        list::ls(bytes, Names::Raw, &mut out).is_ok(),
        list::ls(bytes, Names::Escaped, &mut out).is_ok(),
        list::ls_json(bytes, &mut out).is_ok(),
        list::dump(bytes, &mut out).is_ok(),
        list::dump_json(bytes, &mut out).is_ok(),
        Stats::of(bytes).is_ok(),
    ];
    // What can be served can be shown, and showing it is all or nothing.
    if strict.is_ok() {
        assert_eq!(lenient, [true; 6]);
    }
    assert!(lenient == [true; 6] || lenient == [false; 6], "{lenient:?}");
    if lenient == [false; 6] {
        assert_eq!(out, b"");
    }
    if let Ok(manifest) = strict {
        let again = manifest.encode(Form::Full).unwrap();
        let read = Manifest::read(&again, &Limits::default()).unwrap();
        assert_eq!(read.encode(Form::Full).unwrap(), again);
    }
}

/// `Manifest` of containerd/continuity, written down once more.
#[derive(Clone, PartialEq, prost::Message)]
struct GoManifest {
    #[prost(message, repeated, tag = "1")]
    resource: Vec<GoResource>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct GoResource {
    #[prost(string, repeated, tag = "1")]
    path: Vec<String>,
    #[prost(int64, tag = "2")]
    uid: i64,
    #[prost(int64, tag = "3")]
    gid: i64,
    #[prost(string, tag = "4")]
    user: String,
    #[prost(string, tag = "5")]
    group: String,
    #[prost(uint32, tag = "6")]
    mode: u32,
    #[prost(uint64, tag = "7")]
    size: u64,
    #[prost(string, repeated, tag = "8")]
    digest: Vec<String>,
    #[prost(string, tag = "9")]
    target: String,
    #[prost(uint64, tag = "10")]
    major: u64,
    #[prost(uint64, tag = "11")]
    minor: u64,
    #[prost(message, repeated, tag = "12")]
    xattr: Vec<GoEntry>,
    #[prost(message, repeated, tag = "13")]
    ads: Vec<GoEntry>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct GoEntry {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "2")]
    data: Vec<u8>,
    #[prost(string, tag = "3")]
    digest: String,
}

/// What we read of the fields that the Go tool knows.
fn as_go_reads(bytes: &[u8]) -> GoManifest {
    let entry = |entry: continuity::manifest::Entry<'_>| GoEntry {
        name: entry.name.to_owned(),
        data: entry.data.to_vec(),
        digest: entry.digest.to_owned(),
    };
    let resource = Records::new(bytes)
        .map(Result::unwrap)
        .filter(|(section, _)| *section == Section::Resource)
        .map(|(_, record)| GoResource {
            path: record.paths().map(str::to_owned).collect(),
            uid: record.uid,
            gid: record.gid,
            user: record.user.to_owned(),
            group: record.group.to_owned(),
            mode: record.go_mode(),
            size: record.size,
            digest: record.digests().map(str::to_owned).collect(),
            target: record.target.to_owned(),
            major: record.major,
            minor: record.minor,
            xattr: record.xattrs().map(entry).collect(),
            ads: record.ads().map(entry).collect(),
        })
        .collect();
    GoManifest { resource }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_written_is_read_again(manifest in manifest()) {
        let bytes = manifest.encode(Form::Full).unwrap();
        let read = Manifest::read(&bytes, &Limits::default()).unwrap();
        prop_assert_eq!(&read, &manifest);
        prop_assert_eq!(read.encode(Form::Full).unwrap(), bytes);
    }

    #[test]
    fn the_order_in_memory_does_not_matter(manifest in manifest(), seed: u64) {
        let bytes = manifest.encode(Form::Full).unwrap();
        let mut shuffled = manifest;
        shuffled.resources.sort_by_cached_key(|resource| {
            let path = resource.path().as_bytes();
            Algorithm::Sha256.hash(&[path, &seed.to_le_bytes()].concat())
        });
        prop_assert_eq!(shuffled.encode(Form::Full).unwrap(), bytes);
    }

    #[test]
    fn older_readers_see_good_fields(manifest in manifest()) {
        let bytes = manifest.encode(Form::Full).unwrap();
        let go = GoManifest::decode(&bytes[..]).unwrap();
        prop_assert_eq!(&go, &as_go_reads(&bytes));
        let plain = manifest.resources.iter().filter(|resource| !is_special(resource));
        prop_assert_eq!(go.resource.len(), plain.clone().count());
        for (go, ours) in go.resource.iter().zip(plain) {
            prop_assert_eq!(go.path[0].as_bytes(), ours.path().as_bytes());
            prop_assert_eq!(go.mode, ours.metadata.mode.to_go());
            // Their verify fails when such a resource has any.
            let has_xattrs = matches!(ours.kind, Kind::Regular(_) | Kind::Directory);
            prop_assert!(has_xattrs || go.xattr.is_empty());
        }
    }

    #[test]
    fn the_compatible_form_has_nothing_else(manifest in manifest()) {
        if let Ok(bytes) = manifest.encode(Form::Compat) {
            let go = GoManifest::decode(&bytes[..]).unwrap();
            prop_assert_eq!(go.encode_to_vec(), bytes);
        }
    }

    #[test]
    fn text_becomes_the_same_bytes_again(manifest in manifest(), form: bool) {
        let form = if form { Form::Full } else { Form::Compat };
        if let Ok(bytes) = manifest.encode(form) {
            let mut text = Vec::new();
            list::dump(&bytes, &mut text).unwrap();
            prop_assert_eq!(read_text(&text).unwrap(), bytes);
        }
    }

    #[test]
    fn no_text_panics(text in "[a-z0-9{}:\"'\\\\\n# -]{0,80}") {
        let _ = read_text(text.as_bytes());
        let _ = read_text(format!("resource: {{ {text}").as_bytes());
    }

    #[test]
    fn listings_name_every_path(manifest in manifest()) {
        let bytes = manifest.encode(Form::Full).unwrap();
        let mut out = Vec::new();
        list::ls(&bytes, Names::Escaped, &mut out).unwrap();
        let lines = String::from_utf8(out).unwrap().lines().count();
        let paths: usize = manifest.resources.iter().map(|resource| resource.paths.len()).sum();
        prop_assert_eq!(lines, paths);

        let mut out = Vec::new();
        list::ls_json(&bytes, &mut out).unwrap();
        let json: Vec<BTreeMap<String, serde_json::Value>> = serde_json::from_slice(&out).unwrap();
        let listed: BTreeSet<Vec<u8>> = json
            .iter()
            .filter(|line| line["section"] != "root")
            .map(|line| match line.get("path_hex") {
                Some(hex) => unhex(hex.as_str().unwrap()),
                None => line["path"].as_str().unwrap().as_bytes().to_vec(),
            })
            .collect();
        let wanted: BTreeSet<Vec<u8>> = manifest
            .resources
            .iter()
            .flat_map(|resource| &resource.paths)
            .map(|path| path.as_bytes().to_vec())
            .collect();
        prop_assert_eq!(listed, wanted);
    }

    #[test]
    fn nothing_panics_on_a_changed_byte(
        manifest in manifest(),
        changes in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let bytes = manifest.encode(Form::Full).unwrap();
        prop_assume!(!bytes.is_empty());
        for (index, byte) in changes {
            let mut changed = bytes.clone();
            changed[index.index(bytes.len())] = byte;
            read_in_every_way(&changed);
        }
    }

    #[test]
    fn nothing_panics_on_any_bytes(bytes in vec(any::<u8>(), 0..200)) {
        read_in_every_way(&bytes);
        // And inside of a resource, and of an extension.
        let resource = [&[0x0a, bytes.len().min(127) as u8], &bytes[..bytes.len().min(127)]];
        read_in_every_way(&resource.concat());
        let inner = &bytes[..bytes.len().min(100)];
        let extension = [&[0xa2, 6, inner.len() as u8], inner].concat();
        read_in_every_way(&[&[0x0a, extension.len() as u8], &extension[..]].concat());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn nothing_panics_on_a_prefix(manifest in manifest()) {
        let bytes = manifest.encode(Form::Full).unwrap();
        let step = bytes.len() / 300 + 1;
        for end in (0..bytes.len()).step_by(step) {
            read_in_every_way(&bytes[..end]);
        }
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
