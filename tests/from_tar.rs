//! `build --from-tar`: the manifest of an archive is that of the tree that
//! unpacking it would leave, whoever made it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod tarball;
mod tree;

use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use continuity::archive;
use continuity::build::{Convention, Options};
use continuity::inode::{InodeTable, RootOwner};
use continuity::manifest::{Form, Kind, Limits, Manifest, Resource};
use continuity::tar::{Owners, Stream};
use proptest::prelude::*;
use tarball::{archive, extended, member, records_of, sized};
use tree::{build, continuity, make, scratch, sh, text};

fn read(path: &Path) -> Manifest {
    Manifest::read(&fs::read(path).unwrap(), &Limits::default()).unwrap()
}

/// What archives have in common with trees: they have names of owners, and no
/// tool links devices and pipes in them.
fn common(mut manifest: Manifest) -> Manifest {
    for metadata in manifest.root.iter_mut() {
        metadata.user.clear();
        metadata.group.clear();
    }
    let resources = manifest.resources.into_iter().flat_map(|mut resource| {
        resource.metadata.user.clear();
        resource.metadata.group.clear();
        let linked = matches!(resource.kind, Kind::Regular(_));
        let paths = if linked {
            vec![resource.paths.clone()]
        } else {
            resource
                .paths
                .iter()
                .map(|path| vec![path.clone()])
                .collect()
        };
        paths.into_iter().map(move |paths| Resource {
            paths,
            ..resource.clone()
        })
    });
    let mut resources: Vec<_> = resources.collect();
    resources.sort_by(|one, two| one.path().cmp(two.path()));
    Manifest {
        resources,
        ..manifest
    }
}

fn assert_same(one: Manifest, two: Manifest) {
    let (one, two) = (common(one), common(two));
    assert_eq!(one.root, two.root);
    for (one, two) in one.resources.iter().zip(&two.resources) {
        assert_eq!(one, two);
    }
    assert_eq!(one.resources.len(), two.resources.len());
}

fn from_tar(archive: &Path, arguments: &[&str]) -> Manifest {
    let manifest = archive.with_extension("pb");
    let built = continuity(
        [&["build", "-o", manifest.to_str().unwrap()], arguments]
            .concat()
            .into_iter()
            .chain(["--from-tar", archive.to_str().unwrap()]),
    );
    assert!(built.status.success(), "{}", text(&built.stderr));
    read(&manifest)
}

#[test]
fn what_other_tools_pack_is_the_tree() {
    let scratch = scratch();
    let tree = make(&scratch, &[]);
    let wanted = read(&build(&scratch, &tree, &[]));
    for (name, script) in [
        (
            "pax",
            "tar --format=pax --xattrs --xattrs-include='*' --acls -cf ../$0.tar .",
        ),
        (
            "gnu",
            "tar --format=gnu --xattrs --xattrs-include='*' --acls -cf ../$0.tar ./",
        ),
        ("bsd", "bsdtar --format=pax --xattrs --acls -cf ../$0.tar ."),
        (
            "numeric",
            "tar --format=pax --numeric-owner --xattrs --xattrs-include='*' --acls -cf ../$0.tar .",
        ),
    ] {
        sh(&tree, &script.replace("$0", name));
        let found = from_tar(&scratch.path().join(name).with_extension("tar"), &[]);
        assert_same(found, wanted.clone());
    }
}

#[test]
fn the_oldest_formats_are_read_too() {
    let scratch = scratch();
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).unwrap();
    sh(
        &tree,
        "mkdir -p a/$(printf %090d 1); echo x > a/$(printf %090d 1)/y; echo z > z; ln z zz
         ln -s z l; mkfifo p; chmod 4711 z; chown 12:34 z; touch -hd @1000000000 z l p
         find . -type d -exec touch -d @1000000001 {} + -o -name y -exec touch -d @5 {} +",
    );
    let wanted = read(&build(&scratch, &tree, &[]));
    for script in [
        "tar --format=ustar -cf ../x.tar .",
        "bsdtar --format=ustar -cf ../x.tar .",
        "tar --format=gnu -cf ../x.tar .",
        "tar --format=oldgnu -cf ../x.tar .",
        "bsdtar --format=gnutar -cf ../x.tar .",
        // Padded far beyond its end mark.
        "tar --format=ustar -b 2000 -cf ../x.tar .",
    ] {
        sh(&tree, script);
        assert_same(from_tar(&scratch.path().join("x.tar"), &[]), wanted.clone());
    }
    sh(
        &tree,
        "rm -r a p; touch -d @7 .; tar --format=v7 -cf ../x.tar .",
    );
    let wanted = read(&build(&scratch, &tree, &[]));
    assert_same(from_tar(&scratch.path().join("x.tar"), &[]), wanted);
}

#[test]
fn files_with_holes_are_what_their_readers_see() {
    let scratch = scratch();
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).unwrap();
    // One with more parts than a header has room for, one of holes alone, one
    // that ends in a hole, and a name that is not in the header.
    sh(
        &tree,
        "for i in $(seq 0 40); do printf $i | dd of=many bs=64k seek=$i conv=notrunc status=none; done
         truncate -s 3M holes; echo x > end; truncate -s 5M end
         truncate -s 1M start; echo y >> start; cp --sparse=always start $(printf %0200d 1); echo z > plain",
    );
    let wanted = read(&build(&scratch, &tree, &["--no-times"]));
    for script in [
        "tar --sparse --format=gnu -cf ../x.tar .",
        "tar --sparse --format=pax --sparse-version=0.0 -cf ../x.tar .",
        "tar --sparse --format=pax --sparse-version=0.1 -cf ../x.tar .",
        "tar --sparse --format=pax --sparse-version=1.0 -cf ../x.tar .",
        "bsdtar --format=pax --read-sparse -cf ../x.tar .",
    ] {
        sh(&tree, script);
        let found = from_tar(&scratch.path().join("x.tar"), &["--no-times"]);
        assert_same(found, wanted.clone());
        assert!(
            fs::metadata(scratch.path().join("x.tar")).unwrap().len() < 2 << 20,
            "{script}"
        );
    }
}

#[test]
fn packed_archives_are_known_by_their_beginning() {
    let scratch = scratch();
    sh(
        scratch.path(),
        "mkdir tree; seq 100000 > tree/numbers; bsdtar -cf plain.tar -C tree .
         for how in gzip zstd xz bzip2; do bsdtar --$how -cf $how.tar -C tree .; done
         head -c 300000 plain.tar | gzip > twice.tar; tail -c +300001 plain.tar | gzip >> twice.tar",
    );
    let wanted = from_tar(&scratch.path().join("plain.tar"), &[]);
    for name in ["gzip", "zstd", "xz", "bzip2", "twice"] {
        let path = scratch.path().join(name).with_extension("tar");
        assert_eq!(from_tar(&path, &[]), wanted, "{name}");
        // Standard input, too.
        let from = continuity_with(&fs::read(&path).unwrap());
        assert!(from.status.success());
        // Cut off anywhere, or with a wrong bit in the middle.
        let bytes = fs::read(&path).unwrap();
        for cut in [1, 10, bytes.len() / 2] {
            let cut = continuity_with(&bytes[..bytes.len() - cut]);
            assert_eq!(cut.status.code(), Some(2), "{name}");
            assert!(cut.stdout.is_empty());
        }
        let mut bytes = bytes;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        assert_eq!(continuity_with(&bytes).status.code(), Some(2), "{name}");
    }
}

/// Runs `build --from-tar -`.
fn continuity_with(archive: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_continuity"))
        .args(["build", "--from-tar", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // It may have seen enough.
            let _ = std::io::Write::write_all(&mut stdin, archive);
        });
        child.wait_with_output().unwrap()
    })
}

/// What the library says of an archive.
fn said(bytes: &[u8], options: &Options) -> Result<Manifest, String> {
    let stream = Stream::open(Cursor::new(bytes)).map_err(|error| error.to_string())?;
    let read = archive::read(stream, Owners::default(), options);
    Ok(read.map_err(|error| error.to_string())?.manifest)
}

#[test]
fn names_the_entry_that_is_refused() {
    let file = member("file", b'0', "", b"12345");
    let directory = member("dir/", b'5', "", b"");
    for (members, wanted) in [
        (
            vec![member("../x", b'0', "", b"")],
            r#""../x" at byte 0: its name has a component "..""#,
        ),
        (
            vec![member("/etc/x", b'0', "", b"")],
            r#""/etc/x" at byte 0: its name is absolute"#,
        ),
        (
            vec![file.clone(), member("file/x\n\x1b", b'0', "", b"")],
            r#""file/x\n\x1b" at byte 1024: "/file" is no directory, so nothing can be in it"#,
        ),
        (
            vec![
                member("l", b'2', "/etc", b""),
                member("l/passwd", b'0', "", b""),
            ],
            r#""l/passwd" at byte 512: "/l" is no directory, so nothing can be in it"#,
        ),
        (
            vec![member("h", b'1', "nowhere", b"")],
            r#""h" at byte 0: a hard link to "nowhere", which is not there before it"#,
        ),
        (
            vec![member("./", b'2', "/etc", b"")],
            r#""./" at byte 0: the root is a symlink, not a directory"#,
        ),
        (
            vec![member("d", b'5', "", b"content")],
            r#""d" at byte 0: a directory with content"#,
        ),
        (
            vec![member("d/", b'0', "", b"content")],
            r#""d/" at byte 0: a directory with content"#,
        ),
        (
            vec![
                directory.clone(),
                member("dir/x", b'0', "", b""),
                member("dir", b'2', "y", b""),
            ],
            r#""dir" at byte 1024: it replaces a directory that has something in it"#,
        ),
        (
            vec![member("M", b'M', "", b"")],
            r#""M" at byte 0: it is of type 'M', which is not supported"#,
        ),
        (
            vec![member("l", b'2', "", b"")],
            r#""l" at byte 0: its target has 0 bytes, or a NUL among them"#,
        ),
        (
            vec![extended(&[("uid", b"4294967295")]), file.clone()],
            r#""file" at byte 1024: its uid is 4294967295, which is out of range"#,
        ),
        (
            vec![
                extended(&[("uid", b"5")]),
                extended(&[("gid", b"5")]),
                file.clone(),
            ],
            "at byte 1024: it has two extended headers of one kind",
        ),
        (
            vec![extended(&[("size", b"x")]), file.clone()],
            r#"at byte 0: its record "size" cannot be read"#,
        ),
        (
            vec![member("pax", b'x', "", b"7 a=b\n"), file.clone()],
            "at byte 0: its extended header is malformed",
        ),
        (
            vec![extended(&[("uid", b"5")])],
            "at byte 1024: the archive is cut off",
        ),
        (
            vec![sized("pax", b'x', "", 1 << 40, b"")],
            "at byte 0: its extended header has 1099511627776 bytes, more than 16777216",
        ),
        (
            vec![sized("name", b'L', "", 1 << 50, b"")],
            "at byte 0: its extended header has 1125899906842624 bytes, more than 16777216",
        ),
        (
            vec![member(
                "g",
                b'g',
                "",
                &records_of(&[("comment", &[b'x'; 70_000])]),
            )],
            "at byte 0: its extended header has 70015 bytes, more than 65536",
        ),
        (
            vec![
                extended(&[("SCHILY.xattr.user.big", &[0; 65_537])]),
                file.clone(),
            ],
            r#""file" at byte 66560: its attribute "user.big" has a name or a value that is too long, or a NUL"#,
        ),
        (
            vec![
                extended(&[
                    ("GNU.sparse.major", b"1"),
                    ("GNU.sparse.minor", b"0"),
                    ("GNU.sparse.realsize", b"9"),
                ]),
                file.clone(),
            ],
            r#""file" at byte 1024: its map of holes is malformed, or is of an unknown form"#,
        ),
        (
            vec![
                extended(&[("GNU.sparse.size", b"9"), ("GNU.sparse.map", b"0,5,4,0")]),
                file.clone(),
            ],
            r#""file" at byte 1024: its map of holes is malformed, or is of an unknown form"#,
        ),
        (
            vec![
                extended(&[("SCHILY.acl.access", b"user:nobody-here:rwx")]),
                file.clone(),
            ],
            r#""file" at byte 1024: its ACL names "nobody-here" without a number, and no such name is known here"#,
        ),
        (
            vec![member(".wh..", b'0', "", b"")],
            r#"".wh.." at byte 0: its path has a component "." or "..""#,
        ),
    ] {
        let options = Options {
            whiteouts: Some(Convention::Aufs),
            ..Options::default()
        };
        assert_eq!(said(&archive(&members), &options).unwrap_err(), wanted);
    }
}

#[test]
fn an_archive_must_have_its_end_and_nothing_behind() {
    let members = [
        member("a", b'0', "", &[1; 1000]),
        member("b", b'5', "", b""),
    ];
    let whole = archive(&members);
    let options = Options::default();
    let all = said(&whole, &options).unwrap();
    assert_eq!(all.resources.len(), 2);
    // One block of zeros is enough.
    assert_eq!(said(&whole[..whole.len() - 512], &options), Ok(all));
    for cut in 0..whole.len() - 1023 {
        let error = said(&whole[..cut], &options).unwrap_err();
        assert!(error.contains("cut off"), "{cut}: {error}");
    }
    let twice = [&whole[..], &whole].concat();
    let error = said(&twice, &options).unwrap_err();
    assert!(
        error.ends_with("the archive goes on behind its end mark"),
        "{error}"
    );
    for place in [0, 100, 156, 511] {
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        let error = said(&bytes, &options).unwrap_err();
        assert!(error.contains("no header with a right checksum"), "{error}");
    }
}

#[test]
fn global_headers_hold_for_all_that_follow() {
    let bytes = archive(&[
        member(
            "g",
            b'g',
            "",
            &records_of(&[("uid", b"7"), ("mtime", b"-1.5")]),
        ),
        member("a", b'0', "", b""),
        extended(&[("uid", b"8")]),
        member("b", b'0', "", b""),
        extended(&[("uid", b"")]),
        member("c", b'0', "", b""),
    ]);
    let manifest = said(&bytes, &Options::default()).unwrap();
    let seen = manifest.resources.iter().map(|resource| {
        let time = resource.metadata.mtime.unwrap();
        (resource.metadata.uid, time.seconds(), time.nanoseconds())
    });
    let wanted = [7, 8, 0].map(|uid| (uid, -2, 500_000_000));
    assert_eq!(seen.collect::<Vec<_>>(), wanted);
}

#[test]
fn layers_say_what_is_gone() {
    let bytes = archive(&[
        member("d/", b'5', "", b""),
        member("d/.wh.gone", b'0', "", b""),
        member(".wh.d", b'0', "", b""),
        member("new", b'0', "", b"x"),
        member(".wh.new", b'0', "", b""),
        member("o/.wh..wh..opq", b'0', "", b""),
        member("o/", b'5', "", b""),
        member(".wh..wh.plnk/1", b'0', "", b""),
        member("new/.wh.x", b'0', "", b""),
        member("new/.wh..wh..opq", b'0', "", b""),
        member(".wh.z", b'0', "", b""),
        member("z/.wh.y", b'0', "", b""),
    ]);
    let seen = || {
        let options = Options {
            whiteouts: Some(Convention::Aufs),
            ..Options::default()
        };
        let manifest = said(&bytes, &options).unwrap();
        let seen = manifest.resources.into_iter().map(|resource| {
            let mark = match (resource.metadata.whiteout, resource.metadata.opaque) {
                (true, false) => "gone",
                (false, true) => "opaque",
                _ => "",
            };
            format!("{} {mark}", resource.path())
        });
        seen.collect::<Vec<_>>()
    };
    // What is gone and made anew hides what was below by itself, if it is a file.
    let wanted = ["/d opaque", "/d/gone gone", "/new ", "/o opaque", "/z gone"];
    assert_eq!(seen(), wanted);
    assert!(
        said(&bytes, &Options::default())
            .unwrap_err()
            .contains("\"/new\" is no directory")
    );
}

#[test]
fn verify_tells_what_an_archive_has_otherwise() {
    let scratch = scratch();
    let at = |name: &str| scratch.path().join(name);
    fs::create_dir(at("tree")).unwrap();
    sh(
        &at("tree"),
        "echo one > a; echo two > b; seq 1000000 > large; ln a c; mkdir d; tar -cf ../x.tar .",
    );
    let manifest = build(
        &scratch,
        &at("tree"),
        &["--digest=sha512", "--chunk-size=65536"],
    );
    let verify = |arguments: &[&str]| {
        let verified = continuity(
            ["verify", "--tar", at("x.tar").to_str().unwrap()]
                .into_iter()
                .chain(arguments.iter().copied())
                .chain([manifest.to_str().unwrap()]),
        );
        (
            verified.status.code(),
            text(&verified.stdout),
            text(&verified.stderr),
        )
    };
    let same = (Some(0), String::new(), String::new());
    assert_eq!(verify(&["--strict"]), same);
    sh(
        &at("tree"),
        "echo TWO > b; rm c; chmod 700 d; touch new; tar -cf ../x.tar .",
    );
    let (status, told, summary) = verify(&[]);
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(status, Some(1));
    assert!(
        lines[0].starts_with("digests for resource \"/b\" do not match: [sha512:"),
        "{told}"
    );
    assert!(lines[1].contains("/c: no such file or directory"), "{told}");
    assert!(
        lines[2].starts_with("resource \"/d\" has incorrect mode: drwx------ != "),
        "{told}"
    );
    assert_eq!(lines.len(), 3, "{told}");
    assert!(summary.contains("differences: 3"), "{summary}");
    assert_eq!(verify(&["--strict"]).1.lines().count(), 4);
    let usage = continuity(["verify", manifest.to_str().unwrap()]);
    assert_eq!(usage.status.code(), Some(2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever comes: no panic, and what is accepted is a good manifest.
    #[test]
    fn damaged_archives_make_no_bad_manifest(
        changes in prop::collection::vec((0..1000_usize, any::<u8>(), any::<bool>()), 1..6),
        aufs in any::<bool>(),
    ) {
        let mut bytes = archive(&[
            member("./", b'5', "", b""),
            extended(&[("path", b"a/b"), ("mtime", b"1.5"), ("SCHILY.xattr.user.a", b"b"), ("uid", b"70000")]),
            member("x", b'0', "", b"content"),
            extended(&[("GNU.sparse.size", b"700"), ("GNU.sparse.map", b"0,3,600,4")]),
            member("s", b'0', "", b"content"),
            member("a/.wh.c", b'0', "", b""),
            member("h", b'1', "a/b", b""),
            member("l", b'2', "a/b", b""),
            member("n", b'3', "", b""),
            member("a/", b'5', "", b""),
        ]);
        for (place, value, seal) in changes {
            // Mostly where something stands.
            let place = place * 8 % bytes.len();
            let block = place / 512 * 512;
            bytes[place] = value;
            if seal {
                tarball::seal(&mut bytes[block..]);
            }
        }
        let options = Options {
            whiteouts: aufs.then_some(Convention::Aufs),
            ..Options::default()
        };
        if let Ok(manifest) = said(&bytes, &options) {
            let encoded = manifest.encode(Form::Full).unwrap();
            let limits = Limits::default();
            let mut read = Manifest::read(&encoded, &limits).unwrap();
            // Names that are not UTF-8 come last there.
            read.resources.sort_by(|one, two| one.path().cmp(two.path()));
            prop_assert_eq!(read, manifest);
            InodeTable::build(&encoded, &limits, RootOwner::default()).unwrap();
        }
    }
}
