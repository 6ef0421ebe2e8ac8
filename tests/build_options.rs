//! What `build` takes, what it leaves out, and in which words it tells of it.

// The functions that tests share are tests too; clippy does not see that.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use continuity::digest::Algorithm;
use continuity::manifest::{Kind, Limits, Manifest, Resource};
use tempfile::TempDir;

mod tree;
use tree::{continuity, scratch, sh, text};

/// A tree that a script makes.
fn tree(scratch: &TempDir, script: &str) -> PathBuf {
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).unwrap();
    sh(&tree, script);
    tree
}

fn run(tree: &Path, arguments: &[&str]) -> Output {
    let mut all = vec!["build"];
    all.extend(arguments);
    all.push(tree.to_str().unwrap());
    continuity(all)
}

fn manifest(tree: &Path, arguments: &[&str]) -> Manifest {
    let built = run(tree, arguments);
    assert!(built.status.success(), "{}", text(&built.stderr));
    Manifest::read(&built.stdout, &Limits::default()).unwrap()
}

/// The first paths of all resources.
fn paths(tree: &Path, arguments: &[&str]) -> Vec<String> {
    let manifest = manifest(tree, arguments);
    let paths = manifest.resources.iter();
    paths.map(|resource| resource.path().to_string()).collect()
}

fn find<'a>(manifest: &'a Manifest, path: &str) -> &'a Resource {
    let mut resources = manifest.resources.iter();
    let found = resources.find(|resource| resource.path().to_string() == path);
    found.unwrap_or_else(|| panic!("no {path}"))
}

fn xattrs(resource: &Resource) -> Vec<String> {
    let names = resource.metadata.xattrs.iter();
    names
        .map(|xattr| String::from_utf8_lossy(&xattr.name).into_owned())
        .collect()
}

#[test]
fn ignored_names_are_those_that_git_ignores() {
    let scratch = scratch();
    let tree = tree(
        &scratch,
        r#"git init -q .
          mkdir -p src/sub target/debug docs
          touch a.o src/a.o src/keep.o src/sub/b.o src/sub/c.rs target/debug/x docs/x
          touch '#hash' 'sp ' "$(printf 'raw\377.o')" "$(printf 'new\nline')"
          printf '*.o\n/target/\n\\#hash\nsp\\ \ndocs/*\n!docs/y\n*line\n' > .gitignore
          printf '!keep.o\nsub/b*\n' > src/.gitignore
          cp .gitignore .continuityignore; cp src/.gitignore src/.continuityignore"#,
    );
    let listed = Command::new("git")
        .args(["-c", "safe.directory=*", "-c", "core.quotePath=false"])
        .args(["ls-files", "-z", "--others", "--exclude-standard"])
        .current_dir(&tree)
        .output()
        .unwrap();
    let mut wanted: Vec<String> = text(&listed.stdout)
        .split_terminator('\0')
        .map(|path| format!("/{path}"))
        .collect();
    wanted.sort();
    assert_eq!(wanted.len(), 6, "{wanted:?}");
    let files = |arguments: &[&str]| -> Vec<String> {
        let manifest = manifest(&tree, arguments);
        let resources = manifest.resources.iter();
        resources
            .filter(|resource| resource.kind != Kind::Directory)
            .map(|resource| resource.path().to_string())
            .collect()
    };
    assert_eq!(files(&["--ignore", "/.git"]), wanted);
    let all = files(&["--ignore", "/.git", "--no-ignore-files"]);
    assert_eq!(all.len(), 15, "{all:?}");
    // What is said on the command line comes first.
    let first = files(&["--ignore", "/.git", "--ignore", "!src/a.o"]);
    assert!(first.contains(&"/src/a.o".to_owned()), "{first:?}");

    let from = scratch.path().join("patterns");
    fs::write(&from, "*\n!*/\n").unwrap();
    let from = ["--ignore-from", from.to_str().unwrap()];
    let nothing = files(&[&from[..], &["--no-ignore-files"]].concat());
    assert_eq!(nothing, [""; 0]);
    let one = files(&[&from[..], &["--ignore", "!keep.o"]].concat());
    assert_eq!(one, ["/src/keep.o"]);
    let counted = run(&tree, &["-v", "--ignore", "src", "--no-ignore-files"]);
    let stderr = text(&counted.stderr);
    assert!(stderr.contains("left out 1 ignored names"), "{stderr}");
}

#[test]
fn patterns_that_are_none_are_named() {
    let scratch = scratch();
    let tree = tree(
        &scratch,
        "mkdir d; printf 'a\n[z-a]\n' > d/.continuityignore",
    );
    let refused = |arguments: &[&str]| {
        let refused = run(&tree, arguments);
        assert_eq!((refused.status.code(), refused.stdout.len()), (Some(2), 0));
        text(&refused.stderr)
    };
    let stderr = refused(&[]);
    assert!(
        stderr.contains(r#""/d" cannot be used: line 2: "#)
            || stderr.contains(r#""/d/.continuityignore" cannot be used: line 2: "#),
        "{stderr}"
    );
    let stderr = refused(&["--no-ignore-files", "--ignore", "[z-a]"]);
    assert!(stderr.contains(r#"--ignore "[z-a]": "#), "{stderr}");
    let stderr = refused(&["--ignore-from", "/nowhere"]);
    assert!(stderr.contains("/nowhere"), "{stderr}");
    // As for git, a symlink does not say what is ignored.
    sh(
        &tree,
        "rm d/.continuityignore; ln -s /etc/passwd d/.continuityignore; touch d/root",
    );
    assert_eq!(paths(&tree, &[]), ["/d", "/d/.continuityignore", "/d/root"]);
}

#[test]
fn other_filesystems_and_caches_are_taken_without_content() {
    let scratch = scratch();
    let tree = tree(
        &scratch,
        "mkdir -p mnt cache/sub fake
         echo 'Signature: 8a477f597d28d172789f06886806bc55 and more' > cache/CACHEDIR.TAG
         touch cache/x cache/sub/y fake/x; echo no > fake/CACHEDIR.TAG",
    );
    assert_eq!(
        paths(&tree, &["--exclude-caches"]),
        [
            "/cache",
            "/cache/CACHEDIR.TAG",
            "/fake",
            "/fake/CACHEDIR.TAG",
            "/fake/x",
            "/mnt"
        ]
    );
    // The mount is gone with the namespace.
    let script = r#"mount -t tmpfs none "$1/mnt" && touch "$1/mnt/in" && exec "$0" build $2 "$1""#;
    let build = |option: &str| {
        let out = Command::new("unshare")
            .args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_continuity")])
            .args([tree.to_str().unwrap(), option])
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", text(&out.stderr));
        let manifest = Manifest::read(&out.stdout, &Limits::default()).unwrap();
        let paths = manifest.resources.iter().map(|one| one.path().to_string());
        paths
            .filter(|path| path.starts_with("/mnt"))
            .collect::<Vec<_>>()
    };
    assert_eq!(build("--sockets"), ["/mnt", "/mnt/in"]);
    assert_eq!(build("-x"), ["/mnt"]);
}

#[test]
fn metadata_is_taken_as_asked() {
    let scratch = scratch();
    let tree = tree(
        &scratch,
        "echo x > f; touch -d @1000 f; touch -d @3000 g; mknod c c 1 3; mknod b b 7 0
         setfattr -n user.a -v 1 f; setfattr -n user.b -v 1 f; setfattr -n trusted.a -v 1 f
         touch -d @5000 .",
    );
    let seconds = |manifest: &Manifest, path| {
        let time = find(manifest, path).metadata.mtime;
        time.map(|time| time.seconds())
    };
    let clamped = manifest(&tree, &["--clamp-mtime", "2000"]);
    assert_eq!(
        (seconds(&clamped, "/f"), seconds(&clamped, "/g")),
        (Some(1000), Some(2000))
    );
    let root = clamped.root.as_ref().unwrap();
    assert_eq!(root.mtime.unwrap().seconds(), 2000);
    let dropped = manifest(&tree, &["--no-times"]);
    assert_eq!(seconds(&dropped, "/f"), None);
    assert_eq!(dropped.root.unwrap().mtime, None);

    let by_environment = |value: &str, arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_continuity"))
            .env("SOURCE_DATE_EPOCH", value)
            .arg("build")
            .args(arguments)
            .arg(&tree)
            .output()
            .unwrap()
    };
    let same = by_environment("2000", &[]);
    assert_eq!(same.stdout, run(&tree, &["--clamp-mtime", "2000"]).stdout);
    let given = by_environment("2000", &["--clamp-mtime", "1500"]);
    assert_eq!(given.stdout, run(&tree, &["--clamp-mtime", "1500"]).stdout);
    assert_eq!(by_environment("soon", &[]).status.code(), Some(2));

    assert_eq!(paths(&tree, &["--skip-devices"]), ["/f", "/g"]);
    assert_eq!(
        xattrs(find(&clamped, "/f")),
        ["trusted.a", "user.a", "user.b"]
    );
    let some = manifest(&tree, &["--xattr-include", "user.*"]);
    assert_eq!(xattrs(find(&some, "/f")), ["user.a", "user.b"]);
    let none = manifest(&tree, &["--skip-xattrs"]);
    assert_eq!(xattrs(find(&none, "/f")), [""; 0]);
}

#[test]
fn several_digests_are_made_in_one_pass() {
    let scratch = scratch();
    let tree = tree(
        &scratch,
        "echo small > small; truncate -s 9M large; ln small other",
    );
    let built = manifest(
        &tree,
        &[
            "--digest", "blake3", "--digest", "sha256", "--digest", "sha512",
        ],
    );
    for path in ["/large", "/other"] {
        let data = fs::read(tree.join(&path[1..])).unwrap();
        let Kind::Regular(content) = &find(&built, path).kind else {
            panic!("no file");
        };
        let wanted = [Algorithm::Sha256, Algorithm::Sha512, Algorithm::Blake3];
        assert_eq!(
            content.digests,
            wanted.map(|algorithm| algorithm.hash(&data))
        );
    }
    let built = run(&tree, &["--digest", "md5"]);
    assert_eq!(built.status.code(), Some(2));
}

#[test]
fn whiteouts_of_both_conventions_are_one() {
    let scratch = scratch();
    let aufs = tree(
        &scratch,
        "mkdir dir both opq; touch -d @1 .wh.gone; ln .wh.gone .wh.too; ln .wh.gone dir/.wh..x
         touch -d @1 opq/.wh..wh..opq .wh.both .wh.here here opq/kept; mkdir .wh..wh.plnk
         touch .wh..wh.aufs; touch -d @1 dir both opq here opq/kept .",
    );
    let overlay = scratch.path().join("overlay");
    fs::create_dir(&overlay).unwrap();
    sh(
        &overlay,
        "mkdir dir both opq; mknod -m 0 gone c 0 0; ln gone too; mknod -m 0 dir/.x c 0 0
         touch here opq/kept; touch -d @1 gone dir/.x
         setfattr -n trusted.overlay.opaque -v y both; setfattr -n trusted.overlay.opaque -v y opq
         touch -d @1 dir both opq here opq/kept .",
    );
    let from_aufs = run(&aufs, &["--whiteouts", "aufs", "--skip-devices"]);
    assert!(from_aufs.status.success(), "{}", text(&from_aufs.stderr));
    let from_overlay = run(&overlay, &["--whiteouts", "overlay", "--skip-xattrs"]);
    assert_eq!(from_aufs.stdout, from_overlay.stdout);

    let manifest = manifest(&aufs, &["--whiteouts", "aufs"]);
    let shown: Vec<String> = manifest
        .resources
        .iter()
        .map(|one| {
            let metadata = &one.metadata;
            let names = one.paths.len();
            format!(
                "{} {names} {} {}",
                one.path(),
                metadata.whiteout,
                metadata.opaque
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            "/both 1 false true",
            "/dir 1 false false",
            "/dir/.x 1 true false",
            "/gone 1 true false",
            "/here 1 false false",
            "/opq 1 false true",
            "/opq/kept 1 false false",
            "/too 1 true false",
        ]
    );
    assert_eq!(xattrs(find(&manifest, "/opq")), ["trusted.overlay.opaque"]);
    let gone = find(&manifest, "/gone");
    assert!(matches!(gone.kind, Kind::CharDevice(number) if number.encode() == 0));

    // Without being told, a whiteout is a device and a file is a file.
    assert!(
        !find(&self::manifest(&overlay, &[]), "/gone")
            .metadata
            .whiteout
    );
    assert!(paths(&aufs, &[]).contains(&"/.wh.gone".to_owned()));
}

#[test]
fn what_overlayfs_left_below_is_refused() {
    let scratch = scratch();
    let tree = tree(
        &scratch,
        "mkdir moved; setfattr -n trusted.overlay.redirect -v other moved
         touch empty; setfattr -n user.overlay.whiteout -v y empty",
    );
    let refused = run(&tree, &["--whiteouts", "overlay"]);
    assert_eq!(refused.status.code(), Some(2));
    let stderr = text(&refused.stderr);
    assert!(
        stderr.contains(r#""/moved" has the attribute "trusted.overlay.redirect""#),
        "{stderr}"
    );
    fs::remove_dir(tree.join("moved")).unwrap();
    let built = manifest(&tree, &["--whiteouts", "overlay"]);
    assert!(find(&built, "/empty").metadata.whiteout);
}

#[test]
fn appledouble_is_warned_of_or_left_out() {
    let scratch = scratch();
    let tree = tree(
        &scratch,
        r"touch f ._not; printf '\0\005\026\007\0\002\0\0' > ._f; mkdir __MACOSX; touch __MACOSX/x",
    );
    let taken = run(&tree, &[]);
    let stderr = text(&taken.stderr);
    assert!(
        stderr.contains(r#"took AppleDouble files, the first is "/__MACOSX""#),
        "{stderr}"
    );
    assert_eq!(paths(&tree, &["--strip-appledouble"]), ["/._not", "/f"]);
    let left = run(&tree, &["--strip-appledouble", "-v"]);
    let stderr = text(&left.stderr);
    assert!(stderr.contains("left out 2 AppleDouble"), "{stderr}");
}

#[test]
fn digests_are_taken_from_an_older_manifest() {
    let scratch = scratch();
    let tree = tree(
        &scratch,
        "echo old > old; truncate -s 5M large; echo one > changed; echo linked > a; ln a b
         echo name > renamed; sleep 2.1; echo new > new",
    );
    let old = scratch.path().join("old");
    let at = |path: &Path| path.to_str().unwrap().to_owned();
    let built = run(&tree, &["--ctimes", "-o", &at(&old)]);
    assert!(built.status.success(), "{}", text(&built.stderr));
    // Digests that no content has tell what was not read.
    let dump = text(&continuity(["dump", &at(&old)]).stdout);
    let forged: String = dump
        .lines()
        .map(|line| match line.split_once("\"sha256:") {
            Some((before, digest)) => {
                format!("{before}\"sha256:{}\"\n", "0".repeat(digest.len() - 1))
            }
            None => format!("{line}\n"),
        })
        .collect();
    let text_file = scratch.path().join("text");
    fs::write(&text_file, forged).unwrap();
    let forged = continuity(["build", "-o", &at(&old), "--from-dump", &at(&text_file)]);
    assert!(forged.status.success(), "{}", text(&forged.stderr));

    let reused = |arguments: &[&str]| {
        let built = run(&tree, &[arguments, &["-v", "--reuse", &at(&old)]].concat());
        let stderr = text(&built.stderr);
        assert!(built.status.success(), "{stderr}");
        let manifest = Manifest::read(&built.stdout, &Limits::default()).unwrap();
        let resources = manifest.resources.iter();
        let paths: Vec<String> = resources
            .filter(|one| matches!(&one.kind, Kind::Regular(content) if content.digests[0].as_raw() == [0; 32]))
            .map(|one| one.path().to_string())
            .collect();
        let said = format!("took the digests of {} files", paths.len());
        assert!(stderr.contains(&said), "{stderr}");
        paths
    };
    // What was as new as the manifest may have changed again in the same tick.
    assert_eq!(
        reused(&[]),
        ["/a", "/changed", "/large", "/old", "/renamed"]
    );
    // The same name, size and time, and still another file.
    sh(
        &tree,
        "touch -r changed stamp; echo two > changed; touch -r stamp changed; rm stamp",
    );
    sh(
        &tree,
        "touch -r renamed stamp; echo nome > x; touch -r stamp x; mv x renamed; rm stamp",
    );
    assert_eq!(reused(&[]), ["/a", "/large", "/old"]);
    // What the old one does not tell must be read.
    assert_eq!(reused(&["--chunk-size", "4096"]), ["/a", "/old"]);
    assert_eq!(
        reused(&["--digest", "sha256", "--digest", "blake3"]),
        [""; 0]
    );

    let without = run(&tree, &["-o", &at(&old)]);
    assert!(without.status.success());
    assert_eq!(reused(&[]), [""; 0]);
}
