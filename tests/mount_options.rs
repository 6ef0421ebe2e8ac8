//! What mount options change, and whom the mount lets in.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod mounted;
mod snapshot;
mod tree;

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use continuity::digest::Algorithm;
use mounted::Mount;
use rustix::io::Errno;
use snapshot::{look, snapshot, xattr, xattrs};
use tempfile::TempDir;
use tree::{build, make, scratch, set_mode, sh};

/// A few files made by a shell script, and their manifest.
fn small(scratch: &TempDir, script: &str) -> (PathBuf, PathBuf) {
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).unwrap();
    sh(&tree, script);
    let manifest = build(scratch, &tree, &[]);
    (manifest, tree)
}

/// A line of the table of mounts: source, and all options.
fn in_table(mount: &Mount) -> (String, BTreeSet<String>) {
    let table = fs::read_to_string("/proc/self/mounts").unwrap();
    let place = mount.path().to_str().unwrap();
    let line = table
        .lines()
        .find(|line| line.split(' ').nth(1) == Some(place))
        .unwrap();
    let fields: Vec<&str> = line.split(' ').collect();
    assert_eq!(fields[2], "fuse.continuity");
    let options = fields[3].split(',').map(str::to_owned).collect();
    (fields[0].to_owned(), options)
}

/// Runs a shell script as somebody who may do nothing; tells whether it
/// succeeded.
fn nobody_can(directory: &Path, script: &str) -> bool {
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .args(["sh", "-c", script])
        .current_dir("/")
        .env("D", directory)
        .output()
        .expect("setpriv (util-linux) is needed");
    output.status.success()
}

#[test]
fn the_table_of_mounts() {
    let scratch = scratch();
    let (manifest, tree) = small(&scratch, "echo x > x");
    let usual = [
        "ro",
        "nosuid",
        "nodev",
        "relatime",
        "user_id=0",
        "group_id=0",
    ];
    let usual: BTreeSet<String> = usual.map(str::to_owned).into();
    // Nobody vouches for it.
    let unpinned = format!("continuity-unpinned:{}", manifest.to_str().unwrap());
    for (options, source, added, removed) in [
        ("", &*unpinned, vec![], vec![]),
        // Nothing makes it writable.
        ("rw", &*unpinned, vec![], vec![]),
        ("suid,dev", &*unpinned, vec![], vec!["nosuid", "nodev"]),
        (
            "noexec,allow_other,fsname=some",
            "some",
            vec!["noexec", "allow_other"],
            vec![],
        ),
    ] {
        let mount = Mount::with(&manifest, &tree, &["-o", options]);
        let (found_source, mut found) = in_table(&mount);
        assert!(found.remove("default_permissions"), "{found:?}");
        let mut wanted = usual.clone();
        wanted.extend(added.into_iter().map(str::to_owned));
        wanted.retain(|option| !removed.contains(&option.as_str()));
        assert_eq!((&*found_source, found), (source, wanted), "{options:?}");
        let written = fs::write(mount.join("x"), "y").unwrap_err();
        assert_eq!(written.kind(), ErrorKind::ReadOnlyFilesystem);
        assert!(mount.unmount().success());
    }
}

#[test]
fn suid_dev_and_exec_take_effect() {
    let scratch = scratch();
    let script = "cp /bin/true program; mknod -m 666 null c 1 3";
    let (manifest, tree) = small(&scratch, script);
    for (options, opens, runs) in [("", false, true), ("dev,noexec", true, false)] {
        let mount = Mount::with(&manifest, &tree, &["-o", options]);
        assert_eq!(fs::File::open(mount.join("null")).is_ok(), opens);
        let ran = Command::new(mount.join("program")).status();
        assert_eq!(ran.is_ok_and(|status| status.success()), runs);
        assert!(mount.unmount().success());
    }
}

#[test]
fn mtime_stands_in_for_a_time_that_is_not_declared() {
    let scratch = scratch();
    let (manifest, tree) = small(&scratch, "echo x > x; touch -d @77 x");
    let mount = Mount::with(&manifest, &tree, &["-o", "mtime=5.25"]);
    assert_eq!(look(&mount.join("x")).mtime, (77, 0));
    assert!(mount.unmount().success());

    let manifest = build(&scratch, &tree, &["--compat"]);
    for (option, time) in [("", (0, 0)), ("mtime=@5.25", (5, 250_000_000))] {
        let mount = Mount::with(&manifest, &tree, &["-o", option]);
        for path in ["", "x"] {
            assert_eq!(look(&mount.join(path)).mtime, time);
            let metadata = fs::metadata(mount.join(path)).unwrap();
            assert_eq!((metadata.ctime(), metadata.ctime_nsec()), time);
            assert_eq!((metadata.atime(), metadata.atime_nsec()), time);
        }
        assert!(mount.unmount().success());
    }
}

#[test]
fn owners_are_squashed_or_mapped() {
    let scratch = scratch();
    let script = "for id in 0 5 999 1000 70000; do touch $id; chown $id:$id $id; done
        chown 5:5 .; setfacl -m u:5:r,u:1000:r,g:999:r 0";
    let (manifest, tree) = small(&scratch, script);
    let owner = |mount: &Mount, name: &str| {
        let metadata = fs::metadata(mount.join(name)).unwrap();
        (metadata.uid(), metadata.gid())
    };

    let mount = Mount::with(&manifest, &tree, &["-o", "uid=7,gid=8"]);
    for name in ["", "0", "5", "70000"] {
        assert_eq!(owner(&mount, name), (7, 8));
    }
    assert!(mount.unmount().success());

    let maps = "uidmap=0:100000:1000,uidmap=1000:7:1,gidmap=0:200000:1000";
    let mount = Mount::with(&manifest, &tree, &["-o", maps]);
    for (name, shown) in [
        ("", (100_005, 200_005)),
        ("0", (100_000, 200_000)),
        ("5", (100_005, 200_005)),
        ("999", (100_999, 200_999)),
        ("1000", (7, 65534)),
        ("70000", (65534, 65534)),
    ] {
        assert_eq!(owner(&mount, name), shown, "{name:?}");
    }
    let acl = mounted::run("getfacl", ["-n".as_ref(), mount.join("0").as_os_str()]);
    for entry in ["user:100005:r--", "user:7:r--", "group:200999:r--"] {
        assert!(acl.lines().any(|line| line == entry), "{entry}: {acl}");
    }
    assert_eq!(acl.matches("user:").count(), 3, "{acl}");
    assert!(mount.unmount().success());
}

#[test]
fn absolute_symlinks_lead_below_the_mount() {
    let scratch = scratch();
    let script = "mkdir -p a/b etc; echo below > etc/here
        ln -s /etc/here top; ln -s /etc/here a/b/deep; ln -s / a/b/root; ln -s ../etc/here a/relative";
    let (manifest, tree) = small(&scratch, script);
    let mount = Mount::with(&manifest, &tree, &["-o", "transform_symlinks"]);
    for (link, target) in [
        ("top", "etc/here"),
        ("a/b/deep", "../../etc/here"),
        ("a/b/root", "../.."),
        ("a/relative", "../etc/here"),
    ] {
        let path = mount.join(link);
        assert_eq!(fs::read_link(&path).unwrap(), Path::new(target));
        // As long as stat(2) says.
        let size = fs::symlink_metadata(&path).unwrap().size();
        assert_eq!(size, target.len() as u64);
        let led = fs::canonicalize(path).unwrap();
        assert!(led.starts_with(mount.path()), "{led:?}");
    }
    assert_eq!(fs::read(mount.join("a/b/deep")).unwrap(), b"below\n");
    assert!(mount.unmount().success());

    let mount = Mount::new(&manifest, &tree);
    let target = fs::read_link(mount.join("top")).unwrap();
    assert_eq!(target, Path::new("/etc/here"));
    assert!(mount.unmount().success());
}

#[test]
fn attributes_of_overlayfs_can_be_hidden() {
    let scratch = scratch();
    let tree = make(&scratch, &["xattrs"]);
    let manifest = build(&scratch, &tree, &[]);
    let mount = Mount::with(&manifest, &tree, &["-o", "no_overlay_xattrs"]);
    for (path, name) in [
        ("xattrs/opaque", "trusted.overlay.opaque"),
        ("xattrs/redirect", "trusted.overlay.redirect"),
    ] {
        assert!(xattrs(&tree.join(path)).contains_key(name.as_ref() as &std::ffi::OsStr));
        assert!(xattrs(&mount.join(path)).is_empty());
        assert_eq!(xattr(&mount.join(path), name), Err(Errno::NODATA));
    }
    let trusted = mount.join("xattrs/trusted");
    assert_eq!(xattr(&trusted, "trusted.secret").unwrap(), b"secret");
    assert!(mount.unmount().success());
}

#[test]
fn introspection_answers_by_name_and_lists_nothing() {
    let scratch = scratch();
    let (manifest, tree) = small(&scratch, "printf hello > x; mkdir d; printf good > bad");
    fs::write(tree.join("bad"), "evil").unwrap();
    let mount = Mount::with(&manifest, &tree, &["-o", "introspect"]);
    let get = |path: &str, name: &str| {
        xattr(&mount.join(path), &format!("user.continuity.{name}"))
            .map(|value| String::from_utf8(value).unwrap())
    };
    let digest = |bytes: &[u8]| Ok(Algorithm::Sha256.hash(bytes).to_string());
    assert_eq!(get("x", "digest"), digest(b"hello"));
    assert_eq!(get("d", "digest"), Err(Errno::NODATA));
    assert_eq!(get("x", "nothing"), Err(Errno::NODATA));
    let whole = digest(&fs::read(&manifest).unwrap());
    for path in ["", "x", "d"] {
        assert_eq!(get(path, "manifest_digest"), whole);
    }
    assert_eq!(get("", "refusals"), Ok("0".to_owned()));
    fs::read(mount.join("bad")).unwrap_err();
    let refusals: u32 = get("", "refusals").unwrap().parse().unwrap();
    assert!(refusals > 0);
    let counters = get("", "counters").unwrap();
    let counted = format!("continuity_refused_total{{reason=\"digest_mismatch\"}} {refusals}\n");
    assert!(counters.contains(&counted), "{counters}");
    let none = "continuity_refused_total{reason=\"backing_missing\"} 0\n";
    assert!(counters.contains(none), "{counters}");
    for seen in snapshot(mount.path()).values() {
        assert!(seen.xattrs.is_empty());
    }
    assert!(mount.unmount().success());

    let mount = Mount::new(&manifest, &tree);
    let asked = xattr(&mount.join("x"), "user.continuity.digest");
    assert_eq!(asked, Err(Errno::OPNOTSUPP));
    assert!(mount.unmount().success());
}

#[test]
fn others_get_in_only_when_they_are_let_in() {
    let scratch = scratch();
    let script = "echo secret > closed; chmod 600 closed
        echo public > open; chmod 644 open
        mkdir private; chmod 700 private; echo inside > private/x; chmod 644 private/x
        echo granted > granted; chmod 600 granted; setfacl -m u:65534:r granted
        echo denied > denied; chmod 644 denied; setfacl -m u:65534:- denied
        echo own > own; chown 65534 own; chmod 400 own
        chmod 755 .";
    let (manifest, tree) = small(&scratch, script);

    let mount = Mount::with(&manifest, &tree, &["-o", "allow_other"]);
    set_mode(mount.path().parent().unwrap(), 0o755);
    for (script, can) in [
        ("ls $D", true),
        ("cat $D/open", true),
        ("cat $D/closed", false),
        ("stat $D/closed", true),
        ("ls $D/private", false),
        ("cat $D/private/x", false),
        ("cat $D/granted", true),
        ("cat $D/denied", false),
        ("cat $D/own", true),
        ("chmod 644 $D/own", false),
    ] {
        assert_eq!(nobody_can(mount.path(), script), can, "{script}");
    }
    assert!(mount.unmount().success());

    let mount = Mount::new(&manifest, &tree);
    set_mode(mount.path().parent().unwrap(), 0o755);
    assert!(nobody_can(mount.path().parent().unwrap(), "ls -d $D"));
    for script in ["ls $D", "stat $D/open", "cat $D/open", "cat $D/own"] {
        assert!(!nobody_can(mount.path(), script), "{script}");
    }
    assert!(mount.unmount().success());
}

#[test]
fn without_any_acl_the_mode_decides() {
    let scratch = scratch();
    let script =
        "chmod 755 .; for mode in 640 604 600; do echo $mode > $mode; chmod $mode $mode; done
        chown 0:65534 640";
    let (manifest, tree) = small(&scratch, script);
    let mount = Mount::with(&manifest, &tree, &["-o", "allow_other"]);
    set_mode(mount.path().parent().unwrap(), 0o755);
    // The second time the kernel has stopped to ask for ACLs.
    for _ in 0..2 {
        for (name, can) in [("640", true), ("604", true), ("600", false)] {
            assert_eq!(nobody_can(&mount.join(name), "cat $D"), can, "{name}");
        }
    }
    assert!(mount.unmount().success());
}
