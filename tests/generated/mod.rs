//! Manifests as they may be.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::collections::BTreeSet;

use continuity::digest::{Algorithm, Digest};
use continuity::manifest::{
    AlternateStream, Carried, ChunkTable, Chunks, Content, DeviceNumber, HeaderCarried, Info, Kind,
    Manifest, Metadata, Resource, Timestamp, Xattr,
};
use continuity::mode::{FileMode, FileType};
use continuity::path::ManifestPath;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

/// Bytes of a name: mostly text, sometimes not UTF-8.
pub fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[a-z.]{1,8}".prop_map(String::into_bytes),
        1 => "\\PC{1,4}".prop_map(String::into_bytes),
        1 => vec(1_u8.., 1..6),
    ]
    .prop_map(|name| name.into_iter().filter(|byte| *byte != b'/').collect())
    .prop_filter("a name", |name: &Vec<u8>| {
        !name.is_empty() && name != b"." && name != b".."
    })
}

pub fn path() -> impl Strategy<Value = ManifestPath> {
    vec(name(), 1..4).prop_map(|names| {
        names
            .iter()
            .fold(ManifestPath::root(), |path, name| path.join(name).unwrap())
    })
}

pub fn time() -> impl Strategy<Value = Timestamp> {
    (any::<i64>(), 0..1_000_000_000_u32)
        .prop_map(|(seconds, nanoseconds)| Timestamp::new(seconds, nanoseconds).unwrap())
}

pub fn xattrs() -> impl Strategy<Value = Vec<Xattr>> {
    let name = prop_oneof![
        "(user|trusted|security)\\.[a-z]{1,8}".prop_map(String::into_bytes),
        vec(1_u8.., 1..255),
    ];
    btree_map(name, vec(any::<u8>(), 0..20), 0..3).prop_map(|xattrs| {
        xattrs
            .into_iter()
            .map(|(name, value)| Xattr {
                name: name.into(),
                value: value.into(),
            })
            .collect()
    })
}

prop_compose! {
    pub fn metadata(file_type: FileType)(
        permissions in 0..0o10000_u32,
        uid in 0..u32::MAX,
        gid in 0..u32::MAX,
        mtime in option::of(time()),
        ctime in option::of(time()),
        xattrs in xattrs(),
        whiteout: bool,
        opaque: bool,
        names in ("[a-z]{0,5}", "[a-z]{0,5}"),
    ) -> Metadata {
        let mode = stat_type(file_type) | permissions;
        Metadata {
            mode: FileMode::from_stat(mode).unwrap(),
            uid, gid, mtime, ctime, xattrs, whiteout, opaque,
            user: names.0,
            group: names.1,
        }
    }
}

pub const fn stat_type(file_type: FileType) -> u32 {
    match file_type {
        FileType::Regular => 0o100_000,
        FileType::Directory => 0o040_000,
        FileType::Symlink => 0o120_000,
        FileType::Fifo => 0o010_000,
        FileType::CharDevice => 0o020_000,
        FileType::BlockDevice => 0o060_000,
        FileType::Socket => 0o140_000,
    }
}

pub fn algorithm() -> impl Strategy<Value = Algorithm> {
    proptest::sample::select(Algorithm::ALL.to_vec())
}

pub fn digests() -> impl Strategy<Value = Vec<Digest>> {
    btree_set((algorithm(), any::<u64>()), 0..3).prop_map(|seeds| {
        let digests: BTreeSet<_> = seeds
            .into_iter()
            .map(|(algorithm, seed)| algorithm.hash(&seed.to_le_bytes()))
            .collect();
        digests.into_iter().collect()
    })
}

/// A file's size and a table for it, of either form.
pub fn chunks() -> impl Strategy<Value = (u64, Option<ChunkTable>)> {
    let table = |algorithm: Algorithm, chunks, count: usize| {
        Some(ChunkTable {
            algorithm,
            chunks,
            digests: (0..count * algorithm.size())
                .map(|byte| byte as u8)
                .collect(),
        })
    };
    prop_oneof![
        (0..=i64::MAX as u64).prop_map(|size| (size, None)),
        (algorithm(), 1..1000_u64, 0..5000_u64).prop_map(move |(algorithm, chunk, size)| {
            let count = size.div_ceil(chunk) as usize;
            (size, table(algorithm, Chunks::Fixed(chunk), count))
        }),
        (algorithm(), vec(1..1_000_000_u64, 0..5)).prop_map(move |(algorithm, lengths)| {
            let (size, count) = (lengths.iter().sum(), lengths.len());
            (size, table(algorithm, Chunks::Lengths(lengths), count))
        }),
    ]
}

pub fn kind() -> impl Strategy<Value = Kind> {
    let regular = (chunks(), digests(), vec("xxh3:[0-9a-f]{4}", 0..2)).prop_map(
        |((size, chunks), digests, unknown_digests)| {
            Kind::Regular(Content {
                size,
                digests,
                unknown_digests,
                chunks,
            })
        },
    );
    let device = || {
        (0..1_u64 << 12, 0..1_u64 << 20)
            .prop_map(|(major, minor)| DeviceNumber::new(major, minor).unwrap())
    };
    let target = prop_oneof![
        "\\PC{1,20}".prop_map(String::into_bytes),
        vec(1_u8.., 1..20)
    ];
    prop_oneof![
        3 => regular,
        1 => Just(Kind::Directory),
        1 => target.prop_map(|target| Kind::Symlink(target.into())),
        1 => Just(Kind::Fifo),
        1 => Just(Kind::Socket),
        1 => device().prop_map(Kind::CharDevice),
        1 => device().prop_map(Kind::BlockDevice),
    ]
}

/// Fields 2000, 2001, 2002 and 2003 of four wire types.
pub fn unknown() -> impl Strategy<Value = Vec<u8>> {
    let fields = vec![
        &[0x80_u8, 0x7d, 5][..],
        &[0x8a, 0x7d, 1, b'x'],
        &[0x93, 0x7d, 0x0a, 0, 0x94, 0x7d],
        &[0x9d, 0x7d, 1, 2, 3, 4],
    ];
    proptest::sample::subsequence(fields, 0..=4).prop_map(|fields| fields.concat())
}

pub fn header_carried() -> impl Strategy<Value = HeaderCarried> {
    (carried(), unknown(), unknown()).prop_map(|(root, info, unknown)| HeaderCarried {
        root: root.map(|root| *root).unwrap_or_default(),
        info,
        unknown,
    })
}

pub fn carried() -> impl Strategy<Value = Option<Box<Carried>>> {
    let stream = ("[a-z]{0,5}", vec(any::<u8>(), 0..5), "[a-z]{0,5}")
        .prop_map(|(name, data, digest)| AlternateStream { name, data, digest });
    (
        "[a-z]{0,5}",
        "[a-z]{0,5}",
        vec(stream, 0..2),
        unknown(),
        unknown(),
    )
        .prop_map(|(user, group, streams, unknown, extension)| {
            let carried = Carried {
                user,
                group,
                streams,
                unknown,
                extension,
            };
            (carried != Carried::default()).then(|| Box::new(carried))
        })
}

pub fn resource() -> impl Strategy<Value = (Metadata, Kind, Option<Box<Carried>>)> {
    kind().prop_flat_map(|kind| (metadata(kind.file_type()), Just(kind), carried()))
}

/// Manifests in the order in which they are read again.
pub fn manifest() -> impl Strategy<Value = Manifest> {
    let root = option::of(metadata(FileType::Directory));
    let info =
        (any::<u32>(), "[a-z]{0,5}", "[a-z]{0,5}").prop_map(|(version, generator, base)| Info {
            version,
            generator,
            base,
        });
    let entries = btree_map(path(), (resource(), any::<bool>()), 0..12);
    (root, info, entries, header_carried()).prop_map(|(root, info, entries, mut carried)| {
        if root.is_none() {
            carried.root = Carried::default();
        }
        let header = carried;
        let mut resources: Vec<Resource> = Vec::new();
        for (path, ((metadata, kind, carried), link)) in entries {
            match resources.last_mut() {
                // Another path of the one before.
                Some(last) if link && last.kind != Kind::Directory => last.paths.push(path),
                _ => resources.push(Resource {
                    paths: vec![path],
                    metadata,
                    kind,
                    carried,
                }),
            }
        }
        // Special ones stand behind the others.
        resources.sort_by_key(is_special);
        Manifest {
            root,
            info,
            resources,
            carried: header,
        }
    })
}

pub fn is_special(resource: &Resource) -> bool {
    let raw = |bytes: &[u8]| std::str::from_utf8(bytes).is_err();
    match &resource.kind {
        Kind::Socket => true,
        Kind::Symlink(target) if raw(target) => true,
        _ => resource.paths.iter().any(|path| raw(path.as_bytes())),
    }
}
