//! `continuity diff` and the options of all that compares, as a person uses
//! them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod tree;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use tree::{continuity, continuity_as_nobody, scratch, set_mode, sh, text};

/// Two copies of one tree.
fn twins(scratch: &TempDir) -> (PathBuf, PathBuf) {
    let one = scratch.path().join("one");
    fs::create_dir(&one).unwrap();
    sh(
        &one,
        "mkdir -p d/e; echo 1 >d/f; ln d/f d/g; echo 22 >h; ln -s h l
         mkfifo p; mknod n c 1 3; setfattr -n user.k -v v h
         head -c 5000000 /dev/zero >large
         touch -d @1600000000 h d",
    );
    sh(scratch.path(), "cp -a one two");
    (one, scratch.path().join("two"))
}

fn build(tree: &Path) -> PathBuf {
    let manifest = tree.with_extension("pb");
    let built = continuity(["build".as_ref(), "-o".as_ref(), &*manifest, tree]);
    assert!(built.status.success(), "{}", text(&built.stderr));
    manifest
}

fn diff(options: &[&str], one: &Path, other: &Path) -> (i32, String) {
    let options = options.iter().map(OsStr::new);
    let sides = [one.as_os_str(), other.as_os_str()];
    let output = continuity([OsStr::new("diff")].into_iter().chain(options).chain(sides));
    (output.status.code().unwrap(), text(&output.stdout))
}

fn prefixed(prefix: &str, path: &Path) -> PathBuf {
    let mut text = OsString::from(prefix);
    text.push(path);
    text.into()
}

#[test]
fn every_kind_of_side_tells_the_same() {
    let scratch = scratch();
    let (one, two) = twins(&scratch);
    assert_eq!(diff(&["--times"], &one, &two), (0, String::new()));
    sh(
        &two,
        "chmod 4755 h; chown 7:8 d/e; echo 2 >d/f; rm l; ln -s d l; setfattr -x user.k h
         setfattr -n user.x -v y large; rm n; mknod n c 1 5; rm p; mkdir p; echo x >p/q
         rm d/g; cp -a d/f d/g; printf 1 | dd of=large bs=1 seek=4500000 conv=notrunc status=none
         touch new; touch -d @1700000000.5 d",
    );
    let by_chunks = "M /large: xattr user.x added, content differs, 1 of 5 chunks differ, the first at byte 4194304\n";
    let wanted = "\
M /d/e/: uid 0 -> 7, gid 0 -> 8
M /d/f: content differs
M /d/g: content differs, link to /d/f -> none
M /h: mode 0644 -> 4755, xattr user.k removed
M /l: target h -> d
M /large: xattr user.x added, content differs
M /n: device 1:3 -> 1:5
A /new
T /p: fifo -> directory
A /p/q
";
    let with_chunks = wanted.replace("M /large: xattr user.x added, content differs\n", by_chunks);
    let (first, second) = (build(&one), build(&two));
    assert_eq!(diff(&[], &one, &two), (1, wanted.to_owned()));
    for (one, two) in [(&first, &second), (&first, &two), (&one, &second)] {
        assert_eq!(
            diff(&[], one, two),
            (1, with_chunks.clone()),
            "{one:?} {two:?}"
        );
    }
    let (_, times) = diff(&["--times"], &first, &two);
    let expected = "M /d/: mtime 1600000000.000000000 -> 1700000000.500000000\n";
    assert!(times.contains(expected), "{times}");
    for (flags, name) in [("", "two.tar"), ("z", "two.tgz")] {
        let pack = format!("tar --xattrs --xattrs-include='*' -c{flags}f {name} -C two .");
        sh(scratch.path(), &pack);
        let tar = scratch.path().join(name);
        assert_eq!(diff(&[], &first, &tar), (1, with_chunks.clone()), "{name}");
        assert_eq!(diff(&[], &tar, &two), (0, String::new()), "{name}");
        assert_eq!(
            diff(&[], &prefixed("tar:", &tar), &second),
            (0, String::new())
        );
        let (status, _) = diff(&["--ignore-attr=content"], &one, &tar);
        assert_eq!(status, 1);
    }
    let said = (prefixed("manifest:", &first), prefixed("dir:", &two));
    assert_eq!(diff(&[], &said.0, &said.1), (1, with_chunks.clone()));

    let mut child = Command::new(env!("CARGO_BIN_EXE_continuity"))
        .args([OsStr::new("diff"), OsStr::new("-"), two.as_os_str()])
        .stdin(Stdio::from(fs::File::open(&first).unwrap()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let piped = std::io::read_to_string(child.stdout.take().unwrap());
    assert_eq!(piped.unwrap(), with_chunks);
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn attributes_can_be_chosen() {
    let scratch = scratch();
    let (one, two) = twins(&scratch);
    sh(
        &two,
        "chmod 664 h; chown 7 h; touch -d @1600000001.5 h; setfattr -n user.k -v w h",
    );
    let manifest = build(&one);
    for (options, expected) in [
        (&["--only-attr=mode"][..], "M /h: mode 0644 -> 0664\n"),
        (&["--attrs=content"], ""),
        (
            &["--attrs=portable", "--ignore-attr=mtime"],
            "M /h: mode 0644 -> 0664, xattr user.k differs\n",
        ),
        (
            &["--ignore-attr=uid,xattr:user.*", "--ignore-mode-bits=0022"],
            "",
        ),
        (
            &["--only-attr=mtime"],
            "M /h: mtime 1600000000.000000000 -> 1600000001.500000000\n",
        ),
        (&["--only-attr=mtime", "--time-granularity=2s"], ""),
    ] {
        for first in [&one, &manifest] {
            let status = i32::from(!expected.is_empty());
            assert_eq!(
                diff(options, first, &two),
                (status, expected.to_owned()),
                "{options:?}"
            );
        }
    }
}

/// Nobody could read them.
#[test]
fn content_that_does_not_count_is_not_read() {
    let scratch = scratch();
    let (one, two) = twins(&scratch);
    for tree in [&one, &two] {
        set_mode(&tree.join("large"), 0o000);
    }
    let manifest = build(&one);
    fs::write(two.join("h"), "another size").unwrap();
    let by_nobody = |options: &[&str], first: &Path| {
        let sides = [first.as_os_str(), two.as_os_str()];
        let arguments = ["diff"].iter().chain(options).map(OsStr::new).chain(sides);
        continuity_as_nobody(&scratch, arguments)
    };
    for first in [&one, &manifest] {
        let ignoring = by_nobody(&["--ignore-attr=content,size"], first);
        assert_eq!(
            (ignoring.status.code(), text(&ignoring.stderr)),
            (Some(0), String::new())
        );
        let reading = by_nobody(&[], first);
        assert_eq!(reading.status.code(), Some(2));
        let said = text(&reading.stderr);
        assert!(
            said.contains("\"/large\" cannot be read: Permission denied"),
            "{said}"
        );
        // Its size tells enough.
        assert_eq!(text(&reading.stdout), "M /h: size 3 -> 12\n");
    }
}

#[test]
fn sockets_count_when_asked_for() {
    let scratch = scratch();
    let (one, two) = twins(&scratch);
    let _socket = UnixListener::bind(two.join("s")).unwrap();
    let manifest = build(&one);
    for first in [&one, &manifest] {
        assert_eq!(diff(&[], first, &two), (0, String::new()));
        assert_eq!(diff(&["--sockets"], first, &two), (1, "A /s\n".to_owned()));
    }
}

#[test]
fn verify_tells_of_what_is_not_listed_when_asked() {
    let scratch = scratch();
    let (one, two) = twins(&scratch);
    let manifest = build(&one);
    sh(
        &two,
        "mkdir new; touch new/x; ln h h2; setfattr -n user.y -v 1 d",
    );
    let verify = |options: &[&str]| {
        let paths = [two.as_os_str(), manifest.as_os_str()];
        let options = ["verify"].iter().chain(options).map(OsStr::new);
        let output = continuity(options.chain(paths));
        (output.status.code().unwrap(), text(&output.stdout))
    };
    assert_eq!(verify(&[]), (0, String::new()));
    let unlisted = r#"xattr "user.y" of resource "/d" is not in the manifest
resource "/h2" is not in the manifest
resource "/new" is not in the manifest
resource "/new/x" is not in the manifest
"#;
    assert_eq!(verify(&["--strict"]), (1, unlisted.to_owned()));
    let ignoring = verify(&["--strict", "--ignore-attr=xattr", "--format=paths0"]);
    assert_eq!(ignoring, (1, "/h2\0/new\0/new/x\0".to_owned()));
}

/// A manifest that leads through a directory does not have to list it.
#[test]
fn a_directory_that_is_only_led_through_is_not_added() {
    let scratch = scratch();
    let tree = scratch.path().join("tree");
    fs::create_dir_all(tree.join("a/b")).unwrap();
    fs::write(tree.join("a/b/c"), "").unwrap();
    let full = build(&tree);
    let mut manifest = continuity::manifest::Manifest::read(
        &fs::read(&full).unwrap(),
        &continuity::manifest::Limits::default(),
    )
    .unwrap();
    manifest
        .resources
        .retain(|one| one.path().as_bytes() == b"/a/b/c");
    let bytes = manifest.encode(continuity::manifest::Form::Full).unwrap();
    let led_through = scratch.path().join("led-through.pb");
    fs::write(&led_through, bytes).unwrap();
    for second in [&tree, &full] {
        assert_eq!(diff(&[], &led_through, second), (0, String::new()));
        assert_eq!(diff(&[], second, &led_through), (0, String::new()));
    }
    fs::remove_dir_all(tree.join("a/b")).unwrap();
    fs::write(tree.join("a/b"), "").unwrap();
    let wanted = "T /a/b/: directory -> regular file\nD /a/b/c\n".to_owned();
    assert_eq!(diff(&[], &led_through, &tree), (1, wanted.clone()));
    assert_eq!(diff(&[], &led_through, &build(&tree)), (1, wanted));
}

#[test]
fn json_tells_everything() {
    let scratch = scratch();
    let (one, two) = twins(&scratch);
    sh(
        &two,
        "chmod 600 h; chown 5:6 h; touch -d @-1.5 h; setfattr -n user.k -v w h; rm -r d
         printf 2 >\"$(printf 'raw\\377')\"; rm n; mknod n c 1 5; ln -sfn \"$(printf '\\376')\" l
         printf y | dd of=large bs=1 conv=notrunc status=none; ln h h2",
    );
    let manifest = build(&one);
    let (status, array) = diff(
        &["--json", "--times", "--ignore-attr=mtime"],
        &manifest,
        &two,
    );
    assert_eq!(status, 1);
    let (_, array_with_times) = diff(&["--format=json", "--times"], &manifest, &two);
    let (_, lines) = diff(&["--format=ndjson", "--times"], &manifest, &two);
    let array_with_times: Value = serde_json::from_str(&array_with_times).unwrap();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(array_with_times, Value::Array(lines.clone()));
    assert!(array.starts_with("[\n{\"finding\":"), "{array}");

    let find = |path: &str| lines.iter().find(|line| line["path"] == path).unwrap();
    let last_change = |path: &str| find(path)["changes"].as_array().unwrap().last().unwrap();
    assert_eq!(
        *find("/h"),
        json!({ "finding": "changed", "path": "/h", "type": "file", "changes": [
            { "attribute": "mode", "wanted": "0644", "found": "0600" },
            { "attribute": "uid", "wanted": 0, "found": 5 },
            { "attribute": "gid", "wanted": 0, "found": 6 },
            { "attribute": "mtime",
              "wanted": { "seconds": 1_600_000_000, "nanoseconds": 0 },
              "found": { "seconds": -2, "nanoseconds": 500_000_000 } },
            { "attribute": "xattr", "name": "user.k", "wanted": "76", "found": "77" },
        ] })
    );
    assert_eq!(
        *find("/d"),
        json!({ "finding": "missing", "path": "/d", "type": "directory" })
    );
    assert_eq!(
        *find("/raw\\xff"),
        json!({ "finding": "added", "path": "/raw\\xff", "path_hex": "2f726177ff", "type": "file" })
    );
    assert_eq!(
        *last_change("/n"),
        json!({ "attribute": "device", "wanted": { "major": 1, "minor": 3 },
                "found": { "major": 1, "minor": 5 } })
    );
    assert_eq!(
        *last_change("/l"),
        json!({ "attribute": "target", "wanted": "h", "found": "\\xfe", "found_hex": "fe" })
    );
    let large = find("/large")["changes"].as_array().unwrap();
    let [.., whole, chunks] = &large[..] else {
        panic!("{large:?}");
    };
    assert_eq!(
        chunks["chunks"],
        json!({ "bad": 1, "count": 5, "offset": 0 })
    );
    assert!(whole["wanted"][0].as_str().unwrap().starts_with("sha256:"));
    let array: Value = serde_json::from_str(&array).unwrap();
    assert_eq!(
        *array.as_array().unwrap().last().unwrap(),
        json!({ "finding": "summary", "resources": 9, "missing": 4, "added": 2, "changed": 4,
                "content": 1, "differences": 14, "troubles": 0 })
    );
}

#[test]
fn nothing_that_differs_is_an_empty_list() {
    let scratch = scratch();
    let (one, two) = twins(&scratch);
    let (status, array) = diff(&["--json"], &one, &two);
    let array: Value = serde_json::from_str(&array).unwrap();
    assert_eq!((status, array.as_array().unwrap().len()), (0, 1));
    assert_eq!(array[0]["finding"], "summary");
    assert_eq!(diff(&["--format=paths0"], &one, &two), (0, String::new()));
}

#[test]
fn trouble_is_told_in_every_form() {
    let scratch = scratch();
    let (one, two) = twins(&scratch);
    let manifest = build(&one);
    set_mode(&two.join("d"), 0o700);
    let by_nobody = |form: &str| {
        let form = format!("--format={form}");
        let options = ["diff", "--ignore-attr=mode", &form];
        let sides = [manifest.as_os_str(), two.as_os_str()];
        let output = continuity_as_nobody(&scratch, options.iter().map(OsStr::new).chain(sides));
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        (text(&output.stdout), text(&output.stderr))
    };
    let (_, said) = by_nobody("text");
    assert!(
        said.contains(r#""/d" cannot be listed: Permission denied"#),
        "{said}"
    );
    assert!(
        said.contains(r#""/d/f" cannot be looked at: Permission denied"#),
        "{said}"
    );
    let (lines, said) = by_nobody("ndjson");
    assert_eq!(said, "");
    let trouble = r#"{"finding":"trouble","path":"/d/f","message":"cannot be looked at: Permission denied (os error 13)"}"#;
    assert!(lines.lines().any(|line| line == trouble), "{lines}");
}

#[test]
fn a_terminal_shows_colours_unless_they_are_not_wanted() {
    let scratch = scratch();
    let (one, two) = twins(&scratch);
    fs::remove_file(two.join("h")).unwrap();
    let shown = |variables: &[(&str, &str)]| {
        let program = env!("CARGO_BIN_EXE_continuity");
        let command = format!("{program} diff {} {}", one.display(), two.display());
        let output = Command::new("script")
            .args(["-qec", &command, "/dev/null"])
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        text(&output.stdout)
    };
    assert!(shown(&[]).contains("\x1b[31mD /h\x1b[0m\r\n"));
    for variable in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let shown = shown(&[variable]);
        assert!(
            !shown.contains("\x1b[31m") && shown.contains("D /h\r\n"),
            "{shown:?}"
        );
    }
}

#[test]
fn sides_that_cannot_be_read_are_named() {
    let scratch = scratch();
    let (one, two) = twins(&scratch);
    let broken = scratch.path().join("broken");
    fs::write(&broken, b"\x0a\x05\x0a").unwrap();
    let good = build(&two);
    for (first, second, said) in [
        (
            &scratch.path().join("missing"),
            &two,
            "missing: No such file or directory",
        ),
        (
            &one,
            &broken,
            "broken: cannot parse invalid wire-format data at byte 0",
        ),
        (&broken, &good, "broken: cannot parse"),
        (&prefixed("dir:", &good), &one, "cannot open directory"),
        (&prefixed("tar:", &good), &two, "two.pb: "),
        (&prefixed("manifest:", &one), &good, "one: Is a directory"),
        (
            &PathBuf::from("-"),
            &PathBuf::from("-"),
            "standard input can be one side only",
        ),
    ] {
        let output = continuity(["diff".as_ref(), first.as_os_str(), second.as_os_str()]);
        assert_eq!(
            (output.status.code(), text(&output.stdout)),
            (Some(2), String::new())
        );
        assert!(
            text(&output.stderr).contains(said),
            "{}",
            text(&output.stderr)
        );
    }
}
