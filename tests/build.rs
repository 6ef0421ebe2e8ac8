//! `continuity build`, held against the Go tool's bytes and against the tree.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod tree;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use continuity::build::{BuildError, Cause, Options, build};
use continuity::digest::Algorithm;
use continuity::manifest::{Chunks, Form, Kind, Limits, Manifest, Metadata, Resource, Timestamp};
use continuity::path::ManifestPath;
use continuity::tree::ReadError;
use tree::{continuity, continuity_as_nobody, interop, make, scratch, set_mode, sh, text};

fn native(root: &Path) -> Manifest {
    let bytes = build(root, &Options::default()).unwrap().encode();
    Manifest::read(&bytes, &Limits::default()).unwrap()
}

fn path(text: &str) -> ManifestPath {
    ManifestPath::parse(text.as_bytes()).unwrap()
}

fn find<'a>(manifest: &'a Manifest, wanted: &[u8]) -> &'a Resource {
    let wanted = ManifestPath::parse(wanted).unwrap();
    let mut resources = manifest.resources.iter();
    resources.find(|one| one.paths.contains(&wanted)).unwrap()
}

#[test]
fn the_compatible_form_is_the_go_tools_byte_for_byte() {
    let scratch = scratch();
    let root = make(&scratch, &[]);
    let compare = |name: &str, root: &Path| {
        let built = continuity(["build".as_ref(), "--compat".as_ref(), root.as_os_str()]);
        assert!(built.status.success(), "{name}: {}", text(&built.stderr));
        let expected = fs::read(interop(&format!("{name}.pb"))).unwrap();
        assert!(built.stdout == expected, "{name}.pb differs");
    };
    compare("tree", &root);
    // Each section by itself is what make-tree.sh would have made of it alone.
    for name in [
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
    ] {
        let alone = scratch.path().join(name);
        fs::create_dir(&alone).unwrap();
        fs::rename(root.join(name), alone.join(name)).unwrap();
        compare(name, &alone);
    }
}

#[test]
fn an_empty_directory_is_no_bytes_to_the_go_tool() {
    let scratch = scratch();
    let built = continuity([
        OsStr::new("build"),
        OsStr::new("--format=pb"),
        OsStr::new("--compat"),
        scratch.path().as_os_str(),
    ]);
    assert!(built.status.success());
    assert_eq!(built.stdout, fs::read(interop("empty.pb")).unwrap());
    let refused = continuity([
        OsStr::new("build"),
        OsStr::new("--format=json"),
        scratch.path().as_os_str(),
    ]);
    assert!(!refused.status.success());
}

/// All paths below `root`, found without any code of ours.
fn walk(root: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                pending.push(entry.path());
            }
            paths.push(entry.path());
        }
    }
    paths
}

/// Names and hexadecimal values of attributes.
type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// The attributes of every file that has any, by its path, found without any
/// code of ours.
fn xattrs_of(root: &Path) -> BTreeMap<Vec<u8>, Xattrs> {
    let script = r"
import os, sys
out = sys.stdout.buffer
root = os.fsencode(sys.argv[1])
def tell(path):
    for name in sorted(map(os.fsencode, os.listxattr(path, follow_symlinks=False))):
        value = os.getxattr(path, name, follow_symlinks=False)
        out.write(b'\0'.join([path[len(root):] or b'/', name, value.hex().encode()]) + b'\0')
tell(root)
for top, dirs, files in os.walk(root):
    for name in dirs + files:
        tell(os.path.join(top, name))
";
    let output = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut found = BTreeMap::<_, Xattrs>::new();
    let fields: Vec<&[u8]> = output.stdout.split(|byte| *byte == 0).collect();
    for entry in fields.chunks_exact(3) {
        let xattr = (entry[1].to_vec(), entry[2].to_vec());
        found.entry(entry[0].to_vec()).or_default().push(xattr);
    }
    found
}

fn compare_metadata(shown: &Path, declared: &Metadata, found: &fs::Metadata) {
    assert_eq!(declared.mode.to_stat(), found.mode(), "{shown:?}");
    assert_eq!(
        (declared.uid, declared.gid),
        (found.uid(), found.gid()),
        "{shown:?}"
    );
    let time = Timestamp::new(found.mtime(), found.mtime_nsec().try_into().unwrap());
    assert_eq!(declared.mtime, time, "{shown:?}");
    assert_eq!(declared.ctime, None, "{shown:?}");
}

fn compare_kind(real: &Path, declared: &Resource, found: &fs::Metadata) {
    match &declared.kind {
        Kind::Regular(content) => {
            let data = fs::read(real).unwrap();
            assert_eq!(content.size, found.size());
            assert_eq!(content.digests, [Algorithm::Sha256.hash(&data)], "{real:?}");
            assert_eq!(content.chunks.is_some(), data.len() >= 4 << 20, "{real:?}");
            if let Some(table) = &content.chunks {
                assert_eq!(table.chunks, Chunks::Fixed(1 << 20));
                let chunks = data.chunks(1 << 20).flat_map(|chunk| {
                    let digest = table.algorithm.hash(chunk);
                    digest.as_raw().to_vec()
                });
                assert_eq!(table.digests, chunks.collect::<Vec<u8>>(), "{real:?}");
            }
        }
        Kind::Symlink(target) => {
            let found = fs::read_link(real).unwrap();
            assert_eq!(**target, *found.as_os_str().as_bytes(), "{real:?}");
        }
        Kind::CharDevice(number) | Kind::BlockDevice(number) => {
            assert_eq!(u64::from(number.encode()), found.rdev(), "{real:?}");
        }
        Kind::Directory | Kind::Fifo | Kind::Socket => {}
    }
}

#[test]
fn the_native_form_is_the_tree() {
    let scratch = scratch();
    let root = make(&scratch, &[]);
    // More than the Go tool can hold.
    let bytes = |name: &[u8]| root.join(OsStr::from_bytes(name));
    fs::write(bytes(b"raw-\xff\xfe"), "content").unwrap();
    fs::hard_link(bytes(b"raw-\xff\xfe"), bytes(b"plain-link-of-raw")).unwrap();
    symlink(OsStr::from_bytes(b"\xff"), bytes(b"raw-target")).unwrap();
    symlink(OsStr::from_bytes(b"\xfe"), bytes(b"raw-target-\xfd")).unwrap();
    fs::create_dir(bytes(b"raw-dir-\x80")).unwrap();
    fs::write(bytes(b"raw-dir-\x80/inside"), "").unwrap();
    sh(
        &root,
        "setfattr -n trusted.root -v value .
         setfattr -n \"$(printf 'user.\\377')\" -v raw regular/one-byte
         touch -h -d '1969-12-31T23:59:58.123456789Z' regular/empty symlinks/self
         touch -d '2200-01-01T00:00:00.000000001Z' .",
    );
    let manifest = native(&root);
    assert_eq!(manifest.info.version, 1);
    assert_eq!(
        manifest.info.generator,
        concat!("continuity ", env!("CARGO_PKG_VERSION"))
    );

    let xattrs = xattrs_of(&root);
    assert!(xattrs.len() > 12, "{}", xattrs.len());
    let compare_xattrs = |path: &[u8], declared: &Metadata| {
        let hex = |bytes: &[u8]| -> Vec<u8> {
            bytes
                .iter()
                .flat_map(|byte| format!("{byte:02x}").into_bytes())
                .collect()
        };
        let declared: Vec<_> = declared
            .xattrs
            .iter()
            .map(|xattr| (xattr.name.to_vec(), hex(&xattr.value)))
            .collect();
        let found = xattrs.get(path).cloned().unwrap_or_default();
        assert_eq!(declared, found, "{:?}", OsString::from_vec(path.to_vec()));
    };

    let root_metadata = manifest.root.as_ref().unwrap();
    compare_metadata(&root, root_metadata, &fs::symlink_metadata(&root).unwrap());
    compare_xattrs(b"/", root_metadata);
    let paths = walk(&root);
    for real in &paths {
        let relative = real.strip_prefix(&root).unwrap().as_os_str().as_bytes();
        let inside = [b"/", relative].concat();
        let declared = find(&manifest, &inside);
        let found = fs::symlink_metadata(real).unwrap();
        compare_metadata(real, &declared.metadata, &found);
        compare_xattrs(&inside, &declared.metadata);
        compare_kind(real, declared, &found);
        let can_be_linked = !found.is_dir() && !found.is_symlink();
        let names = if can_be_linked { found.nlink() } else { 1 };
        assert_eq!(declared.paths.len() as u64, names, "{real:?}");
    }
    let declared: usize = manifest.resources.iter().map(|one| one.paths.len()).sum();
    assert_eq!(declared, paths.len());
}

#[test]
fn the_compatible_form_refuses_raw_names_by_name() {
    for (script, shown) in [
        (r"touch $(printf 'raw-\377')", r#""/raw-\xff""#),
        (r"ln -s $(printf '\377') link", r#""/link""#),
        (
            r"touch file; setfattr -n $(printf 'user.\377') file",
            r#""/file""#,
        ),
    ] {
        let scratch = scratch();
        let tree = scratch.path().join("tree");
        fs::create_dir(&tree).unwrap();
        sh(&tree, script);
        let out = scratch.path().join("out");
        let refused = continuity([
            "build".as_ref(),
            "--compat".as_ref(),
            "-o".as_ref(),
            out.as_os_str(),
            tree.as_os_str(),
        ]);
        assert_eq!(refused.status.code(), Some(2));
        let stderr = text(&refused.stderr);
        assert!(
            stderr.contains(shown) && stderr.contains("UTF-8"),
            "{stderr}"
        );
        assert!(!out.exists());
    }
}

#[test]
fn sockets_are_counted_or_taken() {
    let scratch = scratch();
    let root = scratch.path();
    fs::write(root.join("file"), "").unwrap();
    let _one = UnixListener::bind(root.join("one")).unwrap();
    let _two = UnixListener::bind(root.join("two")).unwrap();
    fs::hard_link(root.join("two"), root.join("three")).unwrap();
    for form in [Form::Full, Form::Compat] {
        let options = Options {
            form,
            ..Options::default()
        };
        let built = build(root, &options).unwrap();
        assert_eq!((built.left_out.sockets, built.count()), (3, 1));
    }
    let mut options = Options::default();
    options.selection.sockets = true;
    let built = build(root, &options).unwrap();
    assert_eq!(built.left_out.sockets, 0);
    assert_eq!(
        find(
            &Manifest::read(&built.encode(), &Limits::default()).unwrap(),
            b"/two"
        )
        .paths,
        [path("/three"), path("/two")]
    );
    assert_eq!(
        find(
            &Manifest::read(&built.encode(), &Limits::default()).unwrap(),
            b"/one"
        )
        .kind,
        Kind::Socket
    );

    let warned = continuity(["build".as_ref(), root.as_os_str()]);
    assert!(warned.status.success());
    assert!(text(&warned.stderr).contains("left out 3 sockets"));
}

#[test]
fn what_cannot_be_read_is_named_and_nothing_is_written() {
    let scratch = scratch();
    let tree = scratch.path().join("tree");
    let out_directory = scratch.path().join("public");
    fs::create_dir(&out_directory).unwrap();
    set_mode(&out_directory, 0o777);
    fs::create_dir(&tree).unwrap();
    let run = || {
        let out = out_directory.join("manifest");
        let refused = continuity_as_nobody(
            &scratch,
            [
                "build".as_ref(),
                "-o".as_ref(),
                out.as_os_str(),
                tree.as_os_str(),
            ],
        );
        assert_eq!(refused.status.code(), Some(2));
        assert_eq!(refused.stdout, b"");
        assert_eq!(fs::read_dir(&out_directory).unwrap().count(), 0);
        text(&refused.stderr)
    };
    fs::create_dir(tree.join("directory")).unwrap();
    set_mode(&tree.join("directory"), 0o700);
    let stderr = run();
    assert!(
        stderr.contains(r#""/directory" cannot be listed: Permission denied"#),
        "{stderr}"
    );
    set_mode(&tree.join("directory"), 0o755);

    fs::write(tree.join("directory/file"), "").unwrap();
    set_mode(&tree.join("directory/file"), 0o600);
    fs::write(tree.join("another\n"), "").unwrap();
    set_mode(&tree.join("another\n"), 0o000);
    let stderr = run();
    let another = stderr.find(r#""/another\n" cannot be read: Permission denied"#);
    let file = stderr.find(r#""/directory/file" cannot be read: Permission denied"#);
    assert!(
        another.is_some() && file.is_some() && another < file,
        "{stderr}"
    );

    // What may be read but not entered is not empty either.
    set_mode(&tree.join("directory"), 0o744);
    let stderr = run();
    assert!(
        stderr.contains(r#""/directory/file" cannot be read"#),
        "{stderr}"
    );
}

#[test]
fn the_output_file_is_replaced_whole() {
    let scratch = scratch();
    let tree = make(&scratch, &["hardlinks"]);
    let out = scratch.path().join("manifest");
    fs::write(&out, "old").unwrap();
    let missing = scratch.path().join("missing");
    let arguments = |root: &Path| {
        [
            "build".into(),
            "--compat".into(),
            "-o".into(),
            out.clone(),
            root.to_owned(),
        ]
    };
    let refused = continuity(arguments(&missing));
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("missing"));
    assert_eq!(fs::read(&out).unwrap(), b"old");

    assert!(continuity(arguments(&tree)).status.success());
    assert_eq!(
        fs::read(&out).unwrap(),
        fs::read(interop("hardlinks.pb")).unwrap()
    );
    assert_eq!(fs::metadata(&out).unwrap().mode() & 0o7777, 0o644);
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 2);
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let scratch = scratch();
    let root = make(&scratch, &[]);
    let copy = scratch.path().join("copy");
    sh(scratch.path(), "cp -a tree copy");
    let mut outputs = Vec::new();
    for (root, jobs) in [(&root, "1"), (&root, "4"), (&root, "1024"), (&copy, "3")] {
        let built = continuity([
            "build".as_ref(),
            "-j".as_ref(),
            jobs.as_ref(),
            root.as_os_str(),
        ]);
        assert!(built.status.success());
        outputs.push(built.stdout);
    }
    assert!(outputs.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_deep_tree_takes_no_more_descriptors_than_a_flat_one() {
    let scratch = scratch();
    let deep = scratch.path().join("d/".repeat(500));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("bottom"), "bottom").unwrap();
    let built = std::process::Command::new("sh")
        .args(["-c", r#"ulimit -n 32; exec "$0" build "$1""#])
        .arg(env!("CARGO_BIN_EXE_continuity"))
        .arg(scratch.path())
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", text(&built.stderr));
    let manifest = Manifest::read(&built.stdout, &Limits::default()).unwrap();
    assert_eq!(manifest.resources.len(), 501);
}

#[test]
fn a_wide_tree_is_listed_whole() {
    let scratch = scratch();
    for number in 0..5_000 {
        fs::write(scratch.path().join(format!("{number}")), "").unwrap();
    }
    assert_eq!(native(scratch.path()).resources.len(), 5_000);
}

#[test]
fn the_root_may_be_a_symlink() {
    let scratch = scratch();
    let root = make(&scratch, &["sort"]);
    let at = |name| scratch.path().join(name);
    fs::create_dir(at("elsewhere")).unwrap();
    symlink("../tree", at("elsewhere/relative")).unwrap();
    symlink("elsewhere/relative", at("chained")).unwrap();
    symlink(&root, at("absolute")).unwrap();
    let expected = fs::read(interop("sort.pb")).unwrap();
    for name in [
        "elsewhere/relative",
        "chained",
        "absolute",
        "tree/../chained",
    ] {
        let built = continuity(["build".as_ref(), "--compat".as_ref(), at(name).as_os_str()]);
        assert!(built.stdout == expected, "{name}: {}", text(&built.stderr));
    }
    symlink("nowhere", at("dangling")).unwrap();
    let file = root.join("sort/b");
    for bad in [at("dangling"), file] {
        let refused = continuity(["build".as_ref(), bad.as_os_str()]);
        assert_eq!(refused.status.code(), Some(2), "{bad:?}");
        assert_eq!(refused.stdout, b"");
    }
}

/// Builds manifests of `root` while `change` goes on, until one is refused: on a
/// busy machine nothing may change just while one is made.
fn refused_while(root: &Path, change: impl Fn() + Sync) -> BuildError {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                change();
            }
        });
        let refused = (0..100).find_map(|_| build(root, &Options::default()).err());
        done.store(true, Ordering::Relaxed);
        refused.expect("a tree that changes without a pause is refused once")
    })
}

#[test]
fn a_file_that_grows_while_it_is_read_is_named() {
    use std::io::Write;
    let scratch = scratch();
    let growing = scratch.path().join("growing");
    let file = fs::File::create(&growing).unwrap();
    file.set_len(256 << 20).unwrap();
    let error = refused_while(scratch.path(), || (&file).write_all(b"more").unwrap());
    assert_eq!(error.to_string(), r#""/growing" changed while it was read"#);
    let BuildError::Files(failures) = error else {
        panic!("another error: {error:?}");
    };
    assert!(matches!(
        failures.first[0].cause,
        Cause::Read(ReadError::Changed)
    ));
    assert!(build(scratch.path(), &Options::default()).is_ok());
}

#[test]
fn a_directory_that_does_not_hold_still_is_named() {
    let scratch = scratch();
    let busy = scratch.path().join("busy");
    fs::create_dir(&busy).unwrap();
    for number in 0..2000 {
        fs::write(busy.join(format!("{number}")), "").unwrap();
    }
    let error = refused_while(scratch.path(), || {
        fs::write(busy.join("new"), "").unwrap();
        fs::remove_file(busy.join("new")).unwrap();
    });
    assert_eq!(error.to_string(), r#""/busy" changed while it was listed"#);
}

#[test]
fn a_reader_that_leaves_is_not_told_about_it() {
    let scratch = scratch();
    let root = make(&scratch, &["names"]);
    let built = std::process::Command::new("bash")
        .args(["-c", r#""$0" build "$1" | :; exit "${PIPESTATUS[0]}""#])
        .arg(env!("CARGO_BIN_EXE_continuity"))
        .arg(&root)
        .output()
        .unwrap();
    let stderr = text(&built.stderr);
    assert!(
        !stderr.contains("pipe") && !stderr.contains("closed"),
        "{stderr}"
    );
}
