//! What was applied builds into the manifest that was applied, whatever was
//! there before.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the functions that tests share are tests too"
)]

mod generated;
mod tree;

use std::collections::BTreeMap;
use std::path::Path;

use continuity::apply::{self, Event, apply};
use continuity::build::{self, build};
use continuity::digest::Algorithm;
use continuity::inode::{InodeTable, RootOwner};
use continuity::manifest::{
    Content, DeviceNumber, Form, Info, Kind, Limits, Manifest, Metadata, Resource, Timestamp, Xattr,
};
use continuity::mode::FileMode;
use continuity::path::ManifestPath;
use continuity::source::MemorySource;
use proptest::prelude::*;

/// The manifest with content that exists, and the content.
fn with_content(mut manifest: Manifest) -> (Manifest, MemorySource) {
    let source = MemorySource::default();
    for resource in &mut manifest.resources {
        resource.carried = None;
        let paths = resource.paths.clone();
        if let Kind::Regular(content) = &mut resource.kind {
            let size = (content.size % 9000) as usize;
            let seed = Algorithm::Sha256.hash(paths[0].as_bytes());
            let data: Vec<u8> = seed.as_raw().iter().copied().cycle().take(size).collect();
            *content = Content {
                size: size as u64,
                digests: vec![Algorithm::Sha256.hash(&data)],
                ..Content::default()
            };
            for path in paths {
                source.write(path, data.clone());
            }
        }
        possible(&mut resource.metadata, &resource.kind);
    }
    manifest.info = Info::default();
    if let Some(root) = &mut manifest.root {
        possible(root, &Kind::Directory);
    }
    (manifest, source)
}

/// Only what a filesystem can hold.
fn possible(metadata: &mut Metadata, kind: &Kind) {
    metadata.ctime = None;
    metadata.whiteout &= !matches!(kind, Kind::Directory);
    metadata.opaque &= matches!(kind, Kind::Directory);
    metadata.user.clear();
    metadata.group.clear();
    metadata.mtime = metadata.mtime.map(|time| {
        let seconds = time.seconds().rem_euclid(8_000_000_000) - 1_000_000_000;
        Timestamp::new(seconds, time.nanoseconds()).unwrap()
    });
    // Which kinds of files can have attributes of users: xattr(7).
    let has_user = matches!(kind, Kind::Regular(_) | Kind::Directory) && !metadata.whiteout;
    metadata.xattrs.retain(|xattr| {
        (xattr.name.starts_with(b"user.") && has_user || xattr.name.starts_with(b"trusted."))
            && std::str::from_utf8(&xattr.name).is_ok()
            && xattr.name.len() < 20
    });
}

/// The one form of all manifests that declare the same tree, by path.
fn plain(manifest: Manifest) -> BTreeMap<ManifestPath, Resource> {
    let mut resources = BTreeMap::new();
    for mut resource in manifest.resources {
        if resource.metadata.whiteout {
            resource.kind = Kind::CharDevice(DeviceNumber::new(0, 0).unwrap());
            resource.metadata.mode = FileMode::from_stat(0o020_000).unwrap();
            resource.metadata.whiteout = false;
        }
        if resource.metadata.opaque {
            for name in [&b"trusted.overlay.opaque"[..], b"user.overlay.opaque"] {
                resource.metadata.xattrs.push(Xattr {
                    name: name.into(),
                    value: (*b"y").into(),
                });
            }
            resource.metadata.xattrs.sort();
            resource.metadata.opaque = false;
        }
        if matches!(resource.kind, Kind::Symlink(_)) {
            resource.metadata.mode = FileMode::from_stat(0o120_777).unwrap();
            for path in std::mem::take(&mut resource.paths) {
                let paths = vec![path.clone()];
                resources.insert(
                    path,
                    Resource {
                        paths,
                        ..resource.clone()
                    },
                );
            }
        } else {
            resources.insert(resource.path().clone(), resource);
        }
    }
    if let Some(metadata) = manifest.root {
        let root = Resource {
            paths: vec![ManifestPath::root()],
            metadata,
            kind: Kind::Directory,
            carried: None,
        };
        let rest = Manifest {
            root: None,
            resources: vec![root],
            ..Manifest::default()
        };
        resources.extend(plain(rest));
    }
    resources
}

/// What cannot be declared is not compared: times that are not, and
/// directories that are only led through.
fn compare(found: Manifest, wanted: Manifest) {
    let (mut found, wanted) = (plain(found), plain(wanted));
    for (path, wanted) in &wanted {
        let mut one = found
            .remove(path)
            .unwrap_or_else(|| panic!("{path:?} is missing"));
        if wanted.metadata.mtime.is_none() {
            one.metadata.mtime = None;
        }
        assert_eq!(one, *wanted);
    }
    for (path, extra) in found {
        let leads = |other: &ManifestPath| other.as_bytes().starts_with(path.as_bytes());
        let is_implied = wanted.values().flat_map(|one| &one.paths).any(leads);
        assert!(is_implied || path.is_root(), "{path:?} was not declared");
        assert_eq!(extra.kind, Kind::Directory);
        if !path.is_root() {
            assert_eq!(extra.metadata.mode, FileMode::DEFAULT_DIRECTORY);
        }
    }
}

fn bring_about(root: &Path, manifest: &Manifest, source: Option<&MemorySource>) {
    let bytes = manifest.encode(Form::Full).unwrap();
    let options = apply::Options {
        delete: true,
        sockets: true,
        ..apply::Options::default()
    };
    let mut failures = Vec::new();
    let source = source.map(|source| source as &dyn continuity::source::Source);
    let on_event = |event: &Event| {
        if let Event::Failure(failure) = event {
            failures.push(failure.to_string());
        }
    };
    apply(root, &bytes, source, &options, on_event).unwrap();
    assert!(failures.is_empty(), "{failures:#?}");
}

fn build_again(root: &Path) -> Manifest {
    let options = build::Options {
        selection: build::Selection {
            sockets: true,
            ignore_files: false,
            ..build::Selection::default()
        },
        ..build::Options::default()
    };
    let bytes = build(root, &options).unwrap().encode();
    Manifest::read(&bytes, &Limits::default()).unwrap()
}

/// Whether its paths make a tree.
fn is_tree(manifest: &Manifest) -> bool {
    let bytes = manifest.encode(Form::Full).unwrap();
    InodeTable::build(&bytes, &Limits::default(), RootOwner::default()).is_ok()
}

/// Those of which no path leads through something that is no directory.
fn manifest() -> impl Strategy<Value = (Manifest, MemorySource)> {
    generated::manifest().prop_map(|mut manifest| {
        let mut kept = Manifest::default();
        for resource in manifest.resources.drain(..) {
            kept.resources.push(resource);
            if !is_tree(&kept) {
                kept.resources.pop();
            }
        }
        kept.root = manifest.root.take();
        with_content(kept)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_was_applied_is_what_is_built(one in manifest(), two in manifest()) {
        let scratch = tree::scratch();
        let root = scratch.path().join("root");
        for (manifest, source) in [&one, &two] {
            bring_about(&root, manifest, Some(source));
            compare(build_again(&root), manifest.clone());
            // In place there is nothing left to do.
            bring_about(&root, manifest, None);
            compare(build_again(&root), manifest.clone());
        }
    }
}
