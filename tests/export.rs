//! `export --tar`: what others unpack is the tree, what we read again is the
//! manifest, and nothing is in it that was not verified.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod tree;

use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::process::{Command, Stdio};

use continuity::archive::{self, WriteOptions};
use continuity::build::{Convention, Options};
use continuity::digest::Algorithm;
use continuity::manifest::{
    Content, DeviceNumber, Form, Kind, Manifest, Metadata, Resource, Timestamp, Xattr,
};
use continuity::mode::{FileMode, FileType};
use continuity::path::ManifestPath;
use continuity::progress::Progress;
use continuity::source::MemorySource;
use continuity::tar::{EntryKind, Member, MemberKind, Owners, Reader, Stream, Writer};
use continuity::verify::{self, Verifier};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use tree::{build, continuity, make, scratch, sh, text};

fn arguments<'a>(words: &[&'a str], paths: &[&'a Path]) -> Vec<&'a std::ffi::OsStr> {
    let words = words.iter().map(|word| std::ffi::OsStr::new(*word));
    words
        .chain(paths.iter().map(|path| path.as_os_str()))
        .collect()
}

#[test]
fn what_other_tools_unpack_is_the_tree() {
    let scratch = scratch();
    let tree = make(&scratch, &[]);
    let manifest = build(&scratch, &tree, &[]);
    let wanted = fs::read(&manifest).unwrap();
    let at = |name: &str| scratch.path().join(name);
    let exported = continuity(arguments(
        &[
            "export",
            "--tar",
            "--whiteouts=overlay",
            "--source",
            tree.to_str().unwrap(),
            "-o",
        ],
        &[&at("x.tar"), &manifest],
    ));
    assert!(exported.status.success(), "{}", text(&exported.stderr));
    let again = continuity(arguments(
        &[
            "export",
            "--tar",
            "--whiteouts=overlay",
            "--source",
            tree.to_str().unwrap(),
        ],
        &[&manifest],
    ));
    assert!(
        again.stdout == fs::read(at("x.tar")).unwrap(),
        "not the same bytes twice"
    );
    for unpack in [
        "tar -xpf ../x.tar --numeric-owner --xattrs --xattrs-include='*' --acls",
        // It leaves the time of the directory that it is in as it is.
        "bsdtar -xpf ../x.tar --numeric-owner --xattrs --acls; touch -r ../tree .",
    ] {
        sh(scratch.path(), "rm -rf out; mkdir out");
        sh(&at("out"), unpack);
        let found = fs::read(build(&scratch, &at("out"), &[])).unwrap();
        if found != wanted {
            fs::write(at("wanted"), &wanted).unwrap();
            let told = continuity(arguments(&["diff"], &[&at("wanted"), &at("out")]));
            panic!("{unpack}: {}", text(&told.stdout));
        }
    }
}

#[test]
fn content_that_does_not_match_ends_it() {
    let scratch = scratch();
    let at = |name: &str| scratch.path().join(name);
    sh(
        scratch.path(),
        "mkdir tree; echo good > tree/a; head -c 3000000 /dev/zero > tree/b; echo c > tree/c",
    );
    let manifest = build(&scratch, &at("tree"), &[]);
    sh(
        scratch.path(),
        "printf x | dd of=tree/b bs=1 seek=2000000 conv=notrunc status=none",
    );
    let export = |more: &[&str]| {
        let tree = at("tree");
        let words = [
            &["export", "--tar", "--source", tree.to_str().unwrap()],
            more,
        ]
        .concat();
        continuity(arguments(&words, &[&manifest]))
    };
    let out = at("x.tar");
    let refused = export(&["-o", out.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2));
    let said = text(&refused.stderr);
    assert!(
        said.starts_with("continuity: \"/b\" is refused: its digest is sha256:"),
        "{said}"
    );
    assert_eq!(
        fs::read_dir(scratch.path()).unwrap().count(),
        2,
        "something is left"
    );
    let refused = export(&[]);
    assert_eq!(refused.status.code(), Some(2));
    let listed = Command::new("tar")
        .arg("-tf-")
        .stdin(Stdio::piped())
        .output()
        .unwrap();
    assert!(!listed.status.success());
    assert!(refused.stdout.len() < 3_000_000);
    fs::write(at("cut.tar"), &refused.stdout).unwrap();
    let read = continuity(arguments(&["build", "--from-tar"], &[&at("cut.tar")]));
    assert!(text(&read.stderr).contains("cut off"));

    // Without a source there is only what has no content.
    fs::remove_file(at("tree/b")).unwrap();
    let missing = export(&[]);
    assert!(text(&missing.stderr).contains("\"/b\" is refused: missing in the source"));
    sh(scratch.path(), "rm -r tree; mkdir -p tree/d; : > tree/e");
    let manifest = build(&scratch, &at("tree"), &[]);
    let empty = continuity(arguments(&["export", "--tar"], &[&manifest]));
    assert!(empty.status.success(), "{}", text(&empty.stderr));
    // "./", "d/" and "e", each with a header for its time, and the end.
    assert_eq!(empty.stdout.len(), 3 * 3 * 512 + 1024);
}

#[test]
fn it_is_the_same_on_any_number_of_threads() {
    let scratch = scratch();
    let tree = scratch.path().join("tree");
    fs::create_dir_all(tree.join("d")).unwrap();
    for number in 0..300 {
        fs::write(tree.join(format!("d/{number}")), vec![1; number * 50]).unwrap();
    }
    for mib in [1, 3, 5, 9] {
        let content: Vec<u8> = (0..mib << 20).map(|at| (at % 251) as u8).collect();
        fs::write(tree.join(format!("{mib}")), content).unwrap();
    }
    for more in [&[][..], &["--chunk-threshold", "99999999"]] {
        let manifest = build(&scratch, &tree, more);
        let export = |jobs: &str| {
            let words = [
                "export",
                "--tar",
                "-j",
                jobs,
                "--source",
                tree.to_str().unwrap(),
            ];
            let done = continuity(arguments(&words, &[&manifest]));
            assert!(done.status.success(), "{}", text(&done.stderr));
            done.stdout
        };
        let one = export("1");
        assert!(one.len() > 18 << 20);
        assert!(export("7") == one);
    }
}

#[test]
fn a_reader_that_goes_and_a_full_disk() {
    let scratch = scratch();
    let at = |name: &str| scratch.path().join(name);
    sh(
        scratch.path(),
        "mkdir tree small; head -c 9000000 /dev/urandom > tree/a; mount -t tmpfs -o size=2m t small",
    );
    let manifest = build(&scratch, &at("tree"), &[]);
    let program = env!("CARGO_BIN_EXE_continuity");
    let piped = Command::new("sh")
        .args([
            "-c",
            "\"$0\" export --tar --source tree \"$1\" | head -c 5",
            program,
        ])
        .arg(&manifest)
        .current_dir(scratch.path())
        .output()
        .unwrap();
    assert_eq!(
        (piped.stdout.len(), text(&piped.stderr)),
        (5, String::new())
    );
    let full = Command::new(program)
        .args(["export", "--tar", "--source", "tree", "-o", "small/x.tar"])
        .arg(&manifest)
        .current_dir(scratch.path())
        .output()
        .unwrap();
    let left = fs::read_dir(at("small")).unwrap().count();
    sh(scratch.path(), "umount small");
    assert_eq!(full.status.code(), Some(2));
    assert!(
        text(&full.stderr).contains("No space left on device"),
        "{}",
        text(&full.stderr)
    );
    assert_eq!(left, 0);
}

#[test]
fn sockets_are_told_and_left_out() {
    let scratch = scratch();
    let at = |name: &str| scratch.path().join(name);
    fs::create_dir(at("tree")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("tree/s\n")).unwrap();
    let manifest = build(&scratch, &at("tree"), &["--sockets"]);
    let exported = continuity(arguments(&["export", "--tar"], &[&manifest]));
    assert!(exported.status.success());
    let said = text(&exported.stderr);
    assert!(
        said.contains(
            r#"left out 1 sockets, for which an archive has no place; the first is "/s\n""#
        ),
        "{said}"
    );
}

#[test]
fn an_archive_can_be_the_source() {
    let scratch = scratch();
    let at = |name: &str| scratch.path().join(name);
    sh(
        scratch.path(),
        "mkdir -p tree/d; seq 500000 > tree/d/large; echo small > tree/small; ln tree/small tree/linked
         truncate -s 3M tree/holes; echo end >> tree/holes; ln -s small tree/link
         tar --sparse --format=pax --sparse-version=1.0 -cf x.tar -C tree .; gzip -k x.tar",
    );
    let manifest = build(&scratch, &at("tree"), &[]);
    let export = |source: &str| {
        let source = source.replace("@", scratch.path().to_str().unwrap());
        continuity(arguments(
            &["export", "--tar", "--source", &source],
            &[&manifest],
        ))
    };
    let wanted = export("dir:@/tree");
    assert!(wanted.status.success(), "{}", text(&wanted.stderr));
    for source in ["tar:@/x.tar", "tar:@/x.tar.gz"] {
        let found = export(source);
        assert!(found.status.success(), "{}", text(&found.stderr));
        assert!(found.stdout == wanted.stdout);
        let spec = source.replace("@", scratch.path().to_str().unwrap());
        let cat = continuity([
            "cat",
            "--source",
            &spec,
            manifest.to_str().unwrap(),
            "/link",
            "/d/large",
        ]);
        assert_eq!(text(&cat.stdout).lines().nth(1), Some("1"));
        sh(scratch.path(), "rm -rf out");
        let applied = continuity(arguments(
            &["apply", "--source", &spec],
            &[&at("out"), &manifest],
        ));
        assert!(applied.status.success(), "{}", text(&applied.stderr));
        let same = continuity(arguments(
            &["verify", "--strict", "--times"],
            &[&at("out"), &manifest],
        ));
        assert!(same.status.success(), "{}", text(&same.stdout));
    }
    // It is trusted as little as any other source.
    let mut bytes = fs::read(at("x.tar")).unwrap();
    let place = bytes
        .windows(6)
        .position(|part| part == b"small\n")
        .unwrap();
    bytes[place] = b'S';
    fs::write(at("x.tar"), bytes).unwrap();
    let refused = export("tar:@/x.tar");
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        text(&refused.stderr).contains("\"/linked\" is refused: its digest is"),
        "{}",
        text(&refused.stderr)
    );
    for (source, said) in [
        ("tar:@/missing", "cannot open the source archive"),
        ("tar:@/manifest", "the archive is cut off"),
        ("tar:@/tree", "cannot open the source archive"),
    ] {
        let refused = export(source);
        assert_eq!(refused.status.code(), Some(2), "{source}");
        assert!(
            text(&refused.stderr).contains(said),
            "{}",
            text(&refused.stderr)
        );
    }
}

#[test]
fn sizes_beyond_a_header_are_extended() {
    let metadata = Metadata::new(FileMode::new(FileType::Regular, 0o644));
    for size in [0, 1, (8 << 30) - 1, 8 << 30, u64::MAX >> 1] {
        let mut bytes = Vec::new();
        let member = Member {
            name: b"f",
            metadata: &metadata,
            xattrs: &[],
            kind: MemberKind::Regular(size),
        };
        Writer::new(&mut bytes).begin(&member).unwrap();
        assert_eq!(bytes.len() > 512, size >= 8 << 30);
        let stream = Stream::open(Cursor::new(bytes)).unwrap();
        let entry = Reader::new(stream, None).next_entry().unwrap().unwrap();
        assert!(matches!(entry.kind, EntryKind::Regular(extents) if extents.size == size));
    }
}

fn name() -> BoxedStrategy<Vec<u8>> {
    prop_oneof![
        4 => "[a-d]{1,2}".prop_map(String::into_bytes),
        1 => "[a-zé]{90,120}".prop_map(String::into_bytes),
        1 => Just(vec![b'n'; 255]),
        1 => vec(prop_oneof![Just(0xff_u8), Just(b'\n'), Just(b' '), Just(0x1b), 0x80..0xff_u8], 1..5),
    ]
    .prop_filter("a mark of aufs", |name| !name.starts_with(b".wh."))
        .boxed()
}

fn path() -> BoxedStrategy<ManifestPath> {
    vec(name(), 1..4)
        .prop_map(|names| {
            let root = ManifestPath::root();
            names
                .iter()
                .fold(root, |path, name| path.join(name).unwrap())
        })
        .boxed()
}

fn xattr() -> BoxedStrategy<Xattr> {
    let acl = |name: &'static str| {
        (0..8_u8, 1..5_u32).prop_map(move |(rights, id)| {
            let mut value = vec![2, 0, 0, 0];
            for (tag, rights, id) in [
                (1_u8, rights, u32::MAX),
                (2, 7, id),
                (4, 0, u32::MAX),
                (0x10, 7, u32::MAX),
                (0x20, 1, u32::MAX),
            ] {
                value.extend_from_slice(&[tag, 0, rights, 0]);
                value.extend_from_slice(&id.to_le_bytes());
            }
            (name.as_bytes().to_vec(), value)
        })
    };
    prop_oneof![
        3 => (prop_oneof![
                Just("user.a".as_bytes()), Just("user.%41=b".as_bytes()), Just(&b"user.\xff"[..]), Just("user.%".as_bytes()),
                Just("security.capability".as_bytes()), Just(&b"user.\n"[..]), Just("system.posix_acl_access".as_bytes())
            ].prop_map(<[u8]>::to_vec), vec(any::<u8>(), 0..20)),
        1 => acl("system.posix_acl_access"),
        1 => acl("system.posix_acl_default"),
    ]
    .prop_map(|(name, value)| Xattr {
        name: name.into_boxed_slice(),
        value: value.into_boxed_slice(),
    })
        .boxed()
}

fn metadata(file_type: FileType) -> BoxedStrategy<Metadata> {
    let id = || {
        prop_oneof![
            0..10_u32,
            (1_u32 << 21) - 1..(1 << 21) + 2,
            Just(u32::MAX - 1)
        ]
    };
    let seconds = prop_oneof![
        0..10_i64,
        -10..0_i64,
        Just(i64::MIN),
        Just(i64::MAX),
        (1_i64 << 33) - 1..(1 << 33) + 1
    ];
    let owner = || prop_oneof![Just(String::new()), "[a-zé]{1,40}"];
    (
        0..0o10000_u32,
        (id(), id()),
        (seconds, prop_oneof![Just(0), Just(1), 0..1_000_000_000_u32]),
        vec(xattr(), 0..4),
        (owner(), owner()),
    )
        .prop_map(
            move |(permissions, (uid, gid), (seconds, nanoseconds), mut xattrs, (user, group))| {
                xattrs.sort();
                xattrs.dedup_by(|one, two| one.name == two.name);
                Metadata {
                    uid,
                    gid,
                    mtime: Timestamp::new(seconds, nanoseconds),
                    xattrs,
                    user,
                    group,
                    ..Metadata::new(FileMode::new(file_type, permissions))
                }
            },
        )
        .boxed()
}

/// A resource without its paths, and what its file holds.
fn node() -> BoxedStrategy<(Metadata, Kind, Vec<u8>)> {
    let number = (0..4096_u64, 0..1_048_576_u64)
        .prop_map(|(major, minor)| DeviceNumber::new(major.max(1), minor).unwrap());
    prop_oneof![
        4 => (metadata(FileType::Regular), vec(any::<u8>(), 0..1500)).prop_map(|(metadata, bytes)| {
            let content = Content {
                size: bytes.len() as u64,
                digests: vec![Algorithm::Sha256.hash(&bytes)],
                ..Content::default()
            };
            (metadata, Kind::Regular(content), bytes)
        }),
        3 => (metadata(FileType::Directory), any::<bool>()).prop_map(|(mut metadata, opaque)| {
            if opaque {
                continuity::build::whiteout::make_opaque(&mut metadata);
            }
            (metadata, Kind::Directory, Vec::new())
        }),
        2 => (metadata(FileType::Symlink), vec(1..=255_u8, 1..200))
            .prop_map(|(metadata, target)| (metadata, Kind::Symlink(target.into()), Vec::new())),
        1 => metadata(FileType::Fifo).prop_map(|metadata| (metadata, Kind::Fifo, Vec::new())),
        1 => (metadata(FileType::CharDevice), number.clone())
            .prop_map(|(metadata, number)| (metadata, Kind::CharDevice(number), Vec::new())),
        1 => (metadata(FileType::BlockDevice), number)
            .prop_map(|(metadata, number)| (metadata, Kind::BlockDevice(number), Vec::new())),
        1 => metadata(FileType::CharDevice).prop_map(|mut metadata| {
            let mut kind = Kind::Fifo;
            continuity::build::whiteout::make_whiteout(&mut metadata, &mut kind);
            (metadata, kind, Vec::new())
        }),
    ]
    .boxed()
}

/// A tree: what would be below a file is left out. Some files have two names.
fn manifest() -> BoxedStrategy<(Manifest, MemorySource)> {
    let nodes = btree_map(path(), (node(), any::<bool>()), 0..12);
    (prop::option::of(metadata(FileType::Directory)), nodes)
        .prop_map(|(root, nodes)| {
            let source = MemorySource::default();
            let mut files: Vec<ManifestPath> = Vec::new();
            let mut resources: Vec<Resource> = Vec::new();
            for (path, ((metadata, kind, bytes), link)) in nodes {
                let is_below = |file: &ManifestPath| {
                    let below = [file.as_bytes(), b"/"].concat();
                    path.as_bytes().starts_with(&below)
                };
                if files.iter().any(is_below) {
                    continue;
                }
                if metadata.whiteout && path.name().len() > 251 {
                    // It has no name in the form of aufs.
                    continue;
                }
                if !matches!(kind, Kind::Directory) {
                    files.push(path.clone());
                }
                let last = resources.last_mut().filter(|last| {
                    let is_linked = matches!(
                        last.kind,
                        Kind::Regular(_) | Kind::Fifo | Kind::BlockDevice(_)
                    );
                    is_linked && link && kind != Kind::Directory
                });
                if let Some(last) = last {
                    last.paths.push(path);
                    continue;
                }
                source.write(path.clone(), bytes);
                resources.push(Resource {
                    paths: vec![path],
                    metadata,
                    kind,
                    carried: None,
                });
            }
            let info = continuity::build::info();
            (
                Manifest {
                    root,
                    info,
                    resources,
                    ..Manifest::default()
                },
                source,
            )
        })
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_exported_and_read_again_is_the_manifest(
        (manifest, source) in manifest(),
        aufs in any::<bool>(),
    ) {
        let whiteouts = Some(if aufs { Convention::Aufs } else { Convention::Overlay });
        let bytes = manifest.encode(Form::Full).unwrap();
        let verifier = Verifier::new(Box::new(source), verify::Options::default()).unwrap();
        let options = WriteOptions { whiteouts, jobs: 3, ..WriteOptions::default() };
        let mut tar = Vec::new();
        let written = archive::write(&bytes, &verifier, &options, &Progress::default(), &mut tar).unwrap();
        prop_assert_eq!(written.sockets_left_out, []);
        let options = Options { whiteouts, ..Options::default() };
        let stream = Stream::open(Cursor::new(tar)).unwrap();
        let found = archive::read(stream, Owners::default(), &options).unwrap().manifest;
        prop_assert_eq!(found, manifest);
    }
}
