//! The forms that `dump` writes: text that becomes the same bytes again, and
//! specifications for mtree(8).

// The functions that tests share are tests too; clippy does not see that.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

mod tree;
use tree::{build, continuity, interop, make, scratch, sh, text};

fn from_dump(file: &Path) -> std::process::Output {
    continuity(["build".as_ref(), "--from-dump".as_ref(), file.as_os_str()])
}

#[test]
fn text_becomes_the_same_bytes_again() {
    let scratch = scratch();
    let dump = scratch.path().join("dump");
    let mut manifests: Vec<_> = fs::read_dir(interop(""))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension() == Some(OsStr::new("pb")))
        .collect();
    assert_eq!(manifests.len(), 13);
    let tree = make(&scratch, &[]);
    fs::write(tree.join(OsStr::from_bytes(b"raw-\xff")), vec![7; 5 << 20]).unwrap();
    manifests.push(build(&scratch, &tree, &[]));
    for manifest in manifests {
        let bytes = fs::read(&manifest).unwrap();
        let dumped = continuity(["dump".as_ref(), manifest.as_os_str()]);
        fs::write(&dump, dumped.stdout).unwrap();
        let again = from_dump(&dump);
        assert!(
            again.stdout == bytes,
            "{manifest:?}: {}",
            text(&again.stderr)
        );
        // What the Go tool itself wrote.
        let go = manifest.with_extension("dump");
        if go.exists() {
            assert!(from_dump(&go).stdout == bytes, "{go:?}");
        }
    }
}

#[test]
fn text_that_is_none_is_refused() {
    let scratch = scratch();
    let dump = scratch.path().join("dump");
    let out = scratch.path().join("out");
    fs::write(&dump, "resource: {\n  path: \"/a\"\n  pth: \"/b\"\n}\n").unwrap();
    let refused = continuity([
        "build".as_ref(),
        "-o".as_ref(),
        out.as_os_str(),
        "--from-dump".as_ref(),
        dump.as_os_str(),
    ]);
    assert_eq!(refused.status.code(), Some(2));
    let stderr = text(&refused.stderr);
    assert!(
        stderr.ends_with("line 3: no field is named \"pth\" here\n"),
        "{stderr}"
    );
    assert!(!out.exists());
    let both = continuity(["build", "--from-dump", "-", "/"]);
    assert_eq!(both.status.code(), Some(2));
}

#[test]
fn mtree_finds_no_difference() {
    let scratch = scratch();
    let tree = make(&scratch, &[]);
    // Of '*' and '?' in one directory, each is a pattern that fits the other.
    sh(
        &tree,
        r#"rm names/'*'; mkdir odd; cd odd; mkdir 'd d' '[d]'; touch 'd d/*' '[d]/x' '*' a b '[a]' '?b' '#c' 'e=f'
           touch -- "$(printf 'n\nl\tt\\b')" "$(printf 'raw\377')" -x '~' 'caf\303\251'
           ln -s "$(printf ' \n\\=#\377')" link; mknod c c 300 70000; mkfifo 'fi fo'
           touch -d '1969-12-31T23:59:58.5Z' old; chmod 4755 a; echo content > b"#,
    );
    let _socket = UnixListener::bind(tree.join("odd/so cket")).unwrap();
    let manifest = build(&scratch, &tree, &["--sockets"]);
    let spec = scratch.path().join("spec");
    let dumped = continuity([
        "dump".as_ref(),
        "--format=mtree".as_ref(),
        manifest.as_os_str(),
    ]);
    assert!(dumped.status.success(), "{}", text(&dumped.stderr));
    fs::write(&spec, &dumped.stdout).unwrap();
    let check = || {
        let checked = Command::new("mtree")
            .args([
                OsStr::new("-f"),
                spec.as_ref(),
                OsStr::new("-p"),
                tree.as_ref(),
            ])
            .output()
            .unwrap();
        let shown = String::from_utf8_lossy(&checked.stdout).into_owned();
        (checked.status.code(), shown, text(&checked.stderr))
    };
    assert_eq!(check(), (Some(0), String::new(), String::new()));

    // libarchive reads the same names.
    let listed = Command::new("bsdtar")
        .arg("-tf")
        .arg(&spec)
        .output()
        .unwrap();
    let lines = text(&dumped.stdout).lines().count() - 1;
    assert_eq!(text(&listed.stdout).lines().count(), lines);

    fs::write(tree.join("odd/b"), "CONTENT\n").unwrap();
    sh(
        &tree,
        "chmod 600 odd/old; rm odd/link; ln -s elsewhere odd/link",
    );
    let (status, shown, _) = check();
    assert_eq!(status, Some(2));
    for difference in ["sha256", "permissions", "link ref"] {
        assert!(shown.contains(difference), "{difference}: {shown}");
    }
}
