//! `continuity verify`, held against what the Go tool says of the same trees.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod tree;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Output;

use continuity::build::{Options, build};
use continuity::digest::Algorithm;
use continuity::manifest::{ChunkTable, Chunks, Form, Kind, Limits, Manifest};
use rayon::prelude::*;
use tempfile::TempDir;
use tree::{continuity, continuity_as_nobody, interop, make, scratch, set_mode, sh, text};

fn verify(root: &Path, manifest: &Path, options: &[&str]) -> Output {
    let paths = [root.as_os_str(), manifest.as_os_str()];
    let options = options.iter().map(OsStr::new);
    continuity(
        std::iter::once(OsStr::new("verify"))
            .chain(options)
            .chain(paths),
    )
}

/// The exit status and the lines on standard output.
fn findings(root: &Path, manifest: &Path, options: &[&str]) -> (i32, Vec<String>) {
    let output = verify(root, manifest, options);
    let lines = text(&output.stdout).lines().map(str::to_owned).collect();
    (output.status.code().unwrap(), lines)
}

fn write_manifest(scratch: &TempDir, manifest: &Manifest) -> PathBuf {
    let path = scratch.path().join("manifest");
    fs::write(&path, manifest.encode(Form::Full).unwrap()).unwrap();
    path
}

fn native(root: &Path) -> Manifest {
    Manifest::read(
        &build(root, &Options::default()).unwrap().encode(),
        &Limits::default(),
    )
    .unwrap()
}

/// A change of the tree, and what the Go tool says of it; nothing if the tree
/// is still good.
struct Case {
    mutation: String,
    error: Option<String>,
}

fn cases() -> Vec<Case> {
    let text = fs::read_to_string(interop("verify-errors.txt")).unwrap();
    let mut cases = Vec::new();
    let mut mutation = String::new();
    let mut exit = String::new();
    for line in text.lines() {
        if let Some(value) = line.strip_prefix("mutation: ") {
            value.clone_into(&mut mutation);
        } else if let Some(value) = line.strip_prefix("exit: ") {
            value.clone_into(&mut exit);
        } else if let Some(value) = line.strip_prefix("error: ") {
            let said = value.strip_prefix("error verifying manifest: ");
            assert_eq!(said.is_some(), exit == "1", "{mutation}");
            cases.push(Case {
                mutation: mutation.clone(),
                error: said.map(str::to_owned),
            });
        }
    }
    assert_eq!(cases.len(), 46);
    cases
}

/// What we say instead, where the Go tool is wrong.
fn corrected(error: &str) -> &str {
    match error {
        // It prints the gid of the manifest.
        r#"unexpected uid for "/owners/1000-100": 7 != 100"# => {
            r#"unexpected uid for "/owners/1000-100": 7 != 1000"#
        }
        // It does not tell which.
        "invalid hardlink" => r#""/hardlinks/c/three" is not a hardlink to "/hardlinks/a/three""#,
        right => right,
    }
}

#[test]
fn says_what_the_go_tool_says() {
    let scratch = scratch();
    make(&scratch, &[]);
    let wrong: Vec<String> = cases()
        .par_iter()
        .enumerate()
        .filter_map(|(number, case)| {
            let mutation = &case.mutation;
            let copy = scratch.path().join(format!("copy{number}"));
            sh(scratch.path(), &format!("cp -a tree {}", copy.display()));
            sh(&copy, mutation);
            let (status, lines) = findings(&copy, &interop("tree.pb"), &[]);
            fs::remove_dir_all(&copy).unwrap();
            let right = match &case.error {
                None => status == 0 && lines.is_empty(),
                Some(error) => {
                    let wanted = corrected(error).replace("ROOT", copy.to_str().unwrap());
                    status == 1 && lines.iter().any(|line| line.starts_with(&wanted))
                }
            };
            (!right).then(|| format!("{mutation}\n  {:?}\n  {status} {lines:?}", case.error))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn says_nothing_of_a_good_tree() {
    let scratch = scratch();
    let root = make(&scratch, &[]);
    let _socket = UnixListener::bind(root.join("socket")).unwrap();
    symlink(
        <OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff"),
        root.join(<OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(
            b"raw-\xfe",
        )),
    )
    .unwrap();
    let mut options = Options::default();
    options.selection.sockets = true;
    let manifest = write_manifest(
        &scratch,
        &Manifest::read(
            &build(&root, &options).unwrap().encode(),
            &Limits::default(),
        )
        .unwrap(),
    );
    for manifest in [manifest, interop("tree.pb")] {
        let output = verify(&root, &manifest, &["--times"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
        assert_eq!(
            (text(&output.stdout), text(&output.stderr)),
            Default::default()
        );
    }
}

#[test]
fn tells_all_differences_in_the_order_of_the_manifest() {
    let scratch = scratch();
    let root = make(&scratch, &[]);
    sh(
        &root,
        "chmod 600 regular/b4096
         chown 5:6 regular/b4096
         printf y >regular/one-byte
         rm hardlinks/two-1 hardlinks/c/three
         rm -r many
         ln -sfn elsewhere symlinks/relative
         setfattr -x user.comment xattrs/user
         rm devices/null
         mknod -m 666 devices/null c 1 5
         chown 7 devices/null",
    );
    let manifest = interop("tree.pb");
    let (status, lines) = findings(&root, &manifest, &["-j1"]);
    assert_eq!(status, 1);
    let at = root.display();
    let expected = [
        r#"resource "/devices/null" has incorrect mode: Dcrw-rw-rw- != Ducrw-rw-rw-"#,
        r#"unexpected uid for "/devices/null": 7 != 0"#,
        r#"resource "/devices/null" has mismatched major/minor numbers: 1,5 != 1,3"#,
        r#""/hardlinks/c/three" is not a hardlink to "/hardlinks/a/three": no such file or directory"#,
        &format!("lstat {at}/hardlinks/two-1: no such file or directory"),
    ];
    assert_eq!(lines[..expected.len()], expected);
    let many = &lines[expected.len()..expected.len() + 501];
    assert_eq!(
        many[0],
        format!("lstat {at}/many: no such file or directory")
    );
    assert_eq!(
        many[500],
        format!("lstat {at}/many/f499: no such file or directory")
    );
    assert_eq!(
        lines[expected.len() + 501..],
        [
            r#"resource "/regular/b4096" has incorrect mode: -rw------- != -rw-r--r--"#,
            r#"unexpected uid for "/regular/b4096": 5 != 0"#,
            r#"unexpected gid for "/regular/b4096": 6 != 0"#,
            r#"digests for resource "/regular/one-byte" do not match: [sha256:a1fce4363854ff888cff4b8e7875d600c2682390412a8cf79b37d0b11148b0fa] != [sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881]"#,
            r#"resource "/symlinks/relative" target has mismatched target: "elsewhere" != "target""#,
            r#"resource "/xattrs/user" target missing xattr "user.comment""#,
        ]
    );
    for jobs in ["-j2", "-j5"] {
        assert_eq!(findings(&root, &manifest, &[jobs]), (1, lines.clone()));
    }
    let quiet = verify(&root, &manifest, &["-q"]);
    assert_eq!(quiet.status.code(), Some(1));
    assert_eq!((quiet.stdout, quiet.stderr), Default::default());
    let told = verify(&root, &manifest, &[]);
    assert!(
        text(&told.stderr).contains("differences: 512"),
        "{}",
        text(&told.stderr)
    );
}

#[test]
fn a_symlink_on_the_way_is_not_followed() {
    let scratch = scratch();
    let root = scratch.path().join("tree");
    fs::create_dir_all(root.join("directory")).unwrap();
    fs::write(root.join("directory/file"), "content").unwrap();
    let manifest = write_manifest(&scratch, &native(&root));
    // The same content elsewhere: the Go tool takes it.
    fs::rename(root.join("directory"), scratch.path().join("elsewhere")).unwrap();
    symlink("../elsewhere", root.join("directory")).unwrap();
    let (status, lines) = findings(&root, &manifest, &[]);
    assert_eq!(status, 1);
    assert_eq!(
        lines,
        [
            r#"resource "/directory" has incorrect mode: Lrwxrwxrwx != drwxr-xr-x"#.to_owned(),
            format!(
                "lstat {}/directory/file: too many levels of symbolic links",
                root.display()
            ),
        ]
    );
    fs::remove_file(root.join("directory")).unwrap();
    fs::write(root.join("directory"), "").unwrap();
    let (_, lines) = findings(&root, &manifest, &[]);
    assert!(
        lines[1].ends_with("/directory/file: not a directory"),
        "{lines:?}"
    );
}

#[test]
fn the_root_itself_is_compared_where_it_is_declared() {
    let scratch = scratch();
    let root = make(&scratch, &["sort"]);
    sh(&root, "setfattr -n user.k -v 1 .");
    let manifest = write_manifest(&scratch, &native(&root));
    sh(
        &root,
        "setfattr -n user.k -v 2 .
         chmod 700 .
         chown 5:6 .",
    );
    let expected = [
        r#"resource "/" has incorrect mode: drwx------ != drwxr-xr-x"#,
        r#"unexpected uid for "/": 5 != 0"#,
        r#"unexpected gid for "/": 6 != 0"#,
        r#"xattr "user.k" value differs for resource "/""#,
    ];
    let (status, lines) = findings(&root, &manifest, &[]);
    assert_eq!(status, 1);
    assert_eq!(lines, expected);
    assert_eq!(findings(&root, &interop("sort.pb"), &[]), (0, Vec::new()));
}

#[test]
fn times_are_compared_when_asked() {
    let scratch = scratch();
    let root = scratch.path().join("tree");
    fs::create_dir(&root).unwrap();
    sh(&root, "touch -d @1600000000 file .");
    let manifest = write_manifest(&scratch, &native(&root));
    assert_eq!(findings(&root, &manifest, &["--times"]), (0, Vec::new()));
    sh(&root, "touch -d @1600000000.000000001 file");
    assert_eq!(findings(&root, &manifest, &[]), (0, Vec::new()));
    let expected =
        r#"resource "/file" has incorrect mtime: 1600000000.000000001 != 1600000000.000000000"#;
    assert_eq!(
        findings(&root, &manifest, &["--times"]),
        (1, vec![expected.to_owned()])
    );
}

/// A tree with one file, and a manifest of it in which `change` was made.
fn with_content(change: impl FnOnce(&mut continuity::manifest::Content)) -> (i32, Vec<String>) {
    let scratch = scratch();
    let root = scratch.path().join("tree");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("f"), "12345").unwrap();
    let mut manifest = native(&root);
    let Kind::Regular(content) = &mut manifest.resources[0].kind else {
        panic!("no file: {manifest:?}");
    };
    change(content);
    findings(&root, &write_manifest(&scratch, &manifest), &[])
}

#[test]
fn any_known_digest_will_do_and_an_unknown_one_will_not() {
    for algorithm in Algorithm::ALL {
        let same = with_content(|content| content.digests = vec![algorithm.hash(b"12345")]);
        assert_eq!(same, (0, Vec::new()), "{algorithm}");
        let (status, _) = with_content(|content| content.digests = vec![algorithm.hash(b"54321")]);
        assert_eq!(status, 1, "{algorithm}");
    }
    let none = with_content(|content| {
        content.digests.clear();
        content.unknown_digests = vec!["crc32:0".into()];
    });
    let expected = r#"resource "/f" has no digest that can be checked"#;
    assert_eq!(none, (1, vec![expected.to_owned()]));
}

#[test]
fn a_chunk_table_is_checked_too() {
    let (status, lines) = with_content(|content| {
        let digest = Algorithm::Blake3.hash(b"45 is not what is there");
        content.chunks = Some(ChunkTable {
            algorithm: Algorithm::Blake3,
            chunks: Chunks::Lengths(vec![3, 2]),
            digests: [Algorithm::Blake3.hash(b"123").as_raw(), digest.as_raw()].concat(),
        });
    });
    let expected = r#"chunks of resource "/f" do not match: 1 of 2, the first at byte 3"#;
    assert_eq!((status, lines), (1, vec![expected.to_owned()]));
}

#[test]
fn what_cannot_be_told_is_trouble() {
    let scratch = scratch();
    let root = scratch.path().join("tree");
    fs::create_dir_all(root.join("closed")).unwrap();
    fs::write(root.join("closed/inside"), "").unwrap();
    fs::write(root.join("secret"), "secret").unwrap();
    fs::write(root.join("zz"), "one").unwrap();
    set_mode(&root.join("closed"), 0o700);
    set_mode(&root.join("secret"), 0o600);
    let manifest = write_manifest(&scratch, &native(&root));
    fs::write(root.join("zz"), "two").unwrap();
    let output = continuity_as_nobody(
        &scratch,
        ["verify".as_ref(), root.as_os_str(), manifest.as_os_str()],
    );
    assert_eq!(output.status.code(), Some(2));
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    assert!(stdout.contains(r#"digests for resource "/zz""#), "{stdout}");
    for shown in [
        r#""/closed/inside" cannot be looked at: Permission denied"#,
        r#""/secret" cannot be read: Permission denied"#,
        "differences: 1, could not be checked: 2, resources: 5",
    ] {
        assert!(stderr.contains(shown), "{stderr}");
    }
}

#[test]
fn a_file_that_does_not_hold_still_is_trouble() {
    use continuity::check;
    use std::os::unix::fs::FileExt;
    use std::sync::atomic::{AtomicBool, Ordering};

    let scratch = scratch();
    let root = scratch.path().join("tree");
    fs::create_dir(&root).unwrap();
    let file = fs::File::create(root.join("file")).unwrap();
    file.set_len(256 << 20).unwrap();
    let manifest = native(&root).encode(Form::Full).unwrap();
    let done = AtomicBool::new(false);
    let mut told = Vec::new();
    let summary = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // The same byte that is there, but who could know.
                file.write_all_at(&[0], 0).unwrap();
            }
        });
        let options = check::Options::default();
        // On a busy machine nothing may change just while it is read.
        let mut tries = (0..100).map(|_| {
            told.clear();
            let tell = |finding: &check::Finding| {
                told.push(match finding {
                    check::Finding::Trouble(trouble) => trouble.to_string(),
                    check::Finding::Different(difference) => format!("{difference:?}"),
                });
                Ok(())
            };
            check::verify(&root, &manifest, &options, tell).unwrap()
        });
        let summary = tries.find(|summary| summary.troubles > 0);
        drop(tries);
        done.store(true, Ordering::Relaxed);
        summary.unwrap()
    });
    assert_eq!(told, [r#""/file" changed while it was read"#]);
    // The root is declared too.
    assert_eq!(
        (summary.resources, summary.differences, summary.troubles),
        (2, 0, 1)
    );
}

#[test]
fn the_order_holds_for_any_number_of_resources() {
    let scratch = scratch();
    let root = scratch.path().join("tree");
    fs::create_dir(&root).unwrap();
    for number in 0..3000 {
        fs::write(root.join(format!("{number:04}")), "").unwrap();
    }
    let manifest = write_manifest(&scratch, &native(&root));
    sh(&root, "find . -type f -name '*[13579]' -delete");
    let (status, lines) = findings(&root, &manifest, &[]);
    assert_eq!(status, 1);
    let missing = (1..3000).step_by(2).map(|number| {
        let root = root.display();
        format!("lstat {root}/{number:04}: no such file or directory")
    });
    assert_eq!(lines, missing.collect::<Vec<_>>());
}

#[test]
fn without_a_tree_or_a_manifest_there_is_trouble() {
    let scratch = scratch();
    let missing = scratch.path().join("missing");
    fs::write(scratch.path().join("broken"), b"\x0a\x05\x0a").unwrap();
    for (root, manifest) in [
        (missing.as_path(), interop("sort.pb")),
        (scratch.path(), missing.clone()),
        (scratch.path(), scratch.path().join("broken")),
    ] {
        let output = verify(root, &manifest, &[]);
        assert_eq!(output.status.code(), Some(2), "{root:?} {manifest:?}");
        assert_eq!(output.stdout, b"");
        assert!(!output.stderr.is_empty());
    }
}
