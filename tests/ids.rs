//! Owners of the manifest made into others: of files, inside ACLs, and the root to whom
//! capabilities belong; as getfacl(1), getcap(8) and the kernel see them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod mounted;
mod tree;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use mounted::{Mount, run};
use tempfile::TempDir;
use tree::{build, scratch, set_mode, sh};

/// Files that are somebody's, in every way that a manifest knows.
fn tree(scratch: &TempDir) -> std::path::PathBuf {
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).unwrap();
    sh(
        &tree,
        "chmod 755 .; mkdir directory; setfacl -d -m u:5:rwx,u:2000:r directory
         echo acl >acl; chown 3:3 acl; chmod 600 acl; setfacl -m u:5:r,u:2000:r,g:6:r,g:2000:r acl
         for root in 7 2000; do
             cp /bin/true capable-$root; setcap -n $root cap_net_raw=ep capable-$root
         done
         cp /bin/true capable; setcap cap_net_raw=ep capable",
    );
    tree
}

/// A program and what it must print of a file, line for line without what follows a
/// comment's sign.
fn shows(program: &str, arguments: &[&str], path: &Path, wanted: &[&str]) {
    let printed = run(
        program,
        arguments
            .iter()
            .map(AsRef::as_ref)
            .chain([path.as_os_str()]),
    );
    let prefix = format!("{} ", path.display());
    let lines: Vec<_> = printed
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim_end())
        .map(|line| line.strip_prefix(&prefix).unwrap_or(line))
        .filter(|line| !line.is_empty())
        .collect();
    assert_eq!(lines, wanted, "{program} {}", path.display());
}

fn acl(path: &Path, wanted: &[&str]) {
    shows("getfacl", &["-p", "-n", "-c"], path, wanted);
}

fn capabilities(path: &Path, wanted: &[&str]) {
    shows("getcap", &["-n"], path, wanted);
}

/// Whether somebody, alone or in a group, can read a file.
fn can_read((user, group): (u32, u32), path: &Path) -> bool {
    let output = Command::new("setpriv")
        .args(["--reuid", &user.to_string(), "--regid", &group.to_string()])
        .args(["--clear-groups", "cat"])
        .arg(path)
        .current_dir("/")
        .output()
        .expect("setpriv (util-linux) is needed");
    output.status.success()
}

fn names(path: &Path) -> String {
    run(
        "getfattr",
        ["-h".as_ref(), "-m".as_ref(), "-".as_ref(), path.as_os_str()],
    )
}

#[test]
fn by_ranges() {
    let scratch = scratch();
    let tree = tree(&scratch);
    let manifest = build(&scratch, &tree, &[]);
    let options = "allow_other,uidmap=0:100000:1000,gidmap=0:200000:1000";
    let mount = Mount::with(&manifest, &tree, &["-o", options]);
    set_mode(mount.path().parent().unwrap(), 0o755);

    let file = fs::metadata(mount.join("acl")).unwrap();
    assert_eq!((file.uid(), file.gid()), (100_003, 200_003));
    acl(
        &mount.join("acl"),
        &[
            "user::rw-",
            "user:100005:r--",
            "group::---",
            "group:200006:r--",
            "mask::r--",
            "other::---",
        ],
    );
    acl(
        &mount.join("directory"),
        &[
            "user::rwx",
            "group::r-x",
            "other::r-x",
            "default:user::rwx",
            "default:user:100005:rwx",
            "default:group::r-x",
            "default:mask::rwx",
            "default:other::r-x",
        ],
    );
    for (who, can) in [
        ((100_003, 1), true),
        ((100_005, 1), true),
        ((1, 200_006), true),
        ((1, 200_003), false),
        ((3, 1), false),
        ((5, 1), false),
        ((1, 6), false),
        ((2000, 2000), false),
        ((102_000, 202_000), false),
    ] {
        assert_eq!(can_read(who, &mount.join("acl")), can, "{who:?}");
    }

    // Without a root of their own they are those of root.
    for (name, wanted) in [
        ("capable", "cap_net_raw=ep [rootid=100000]"),
        ("capable-7", "cap_net_raw=ep [rootid=100007]"),
    ] {
        capabilities(&mount.join(name), &[wanted]);
        assert!(names(&mount.join(name)).contains("security.capability"));
    }
    capabilities(&mount.join("capable-2000"), &[]);
    assert_eq!(names(&mount.join("capable-2000")), "");
    assert!(mount.unmount().success());
}

#[test]
fn as_one_owner() {
    let scratch = scratch();
    let tree = tree(&scratch);
    let manifest = build(&scratch, &tree, &[]);
    let mount = Mount::with(&manifest, &tree, &["-o", "allow_other,uid=1000,gid=1001"]);
    set_mode(mount.path().parent().unwrap(), 0o755);

    let file = fs::metadata(mount.join("acl")).unwrap();
    assert_eq!((file.uid(), file.gid()), (1000, 1001));
    acl(
        &mount.join("acl"),
        &["user::rw-", "group::---", "mask::r--", "other::---"],
    );
    for (who, can) in [
        ((1000, 1), true),
        ((1, 1001), false),
        ((5, 1), false),
        ((1, 6), false),
    ] {
        assert_eq!(can_read(who, &mount.join("acl")), can, "{who:?}");
    }
    capabilities(&mount.join("capable"), &["cap_net_raw=ep [rootid=1000]"]);
    capabilities(&mount.join("capable-7"), &[]);
    assert!(mount.unmount().success());
}

/// Whom the kernel lets run with capabilities: the root of a user namespace, by its
/// number outside.
#[test]
fn capabilities_count_where_their_root_is_root() {
    let scratch = scratch();
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).unwrap();
    sh(
        &tree,
        "chmod 755 .; cp /bin/cat show; setcap cap_net_raw=ep show",
    );
    let manifest = build(&scratch, &tree, &[]);
    // What somebody has who is not root, since root needs no capabilities of files.
    let effective = |mount: &Mount, root: u32| {
        let script = format!(
            r#"unshare --user sleep 60 & holder=$!
               tries=0
               while [ "$(readlink /proc/$holder/ns/user)" = "$(readlink /proc/self/ns/user)" ]; do
                   [ $((tries += 1)) -lt 1000 ]; sleep 0.01
               done
               echo 0 {root} 10 >/proc/$holder/uid_map
               echo 0 {root} 10 >/proc/$holder/gid_map
               nsenter --user=/proc/$holder/ns/user --setuid 5 --setgid 5 \
                   ./show /proc/self/status; status=$?
               kill $holder; exit $status"#
        );
        let output = Command::new("sh")
            .args(["-euc", &script])
            .current_dir(mount.path())
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        let line = printed
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"));
        let line = line.unwrap_or_else(|| panic!("{output:?}"));
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    const NET_RAW: u64 = 1 << 13;
    for (options, root, wanted) in [
        // The root of the machine is above all others.
        ("suid,allow_other", 100_000, NET_RAW),
        ("suid,allow_other,uidmap=0:100000:1000", 100_000, NET_RAW),
        ("suid,allow_other,uidmap=0:100000:1000", 200_000, 0),
        ("suid,allow_other,uidmap=0:100000:1000", 0, 0),
        ("suid,allow_other,uid=200000", 200_000, NET_RAW),
        ("nosuid,allow_other,uidmap=0:100000:1000", 100_000, 0),
    ] {
        let mount = Mount::with(&manifest, &tree, &["-o", options]);
        set_mode(mount.path().parent().unwrap(), 0o755);
        assert_eq!(effective(&mount, root), wanted, "{options} {root}");
        assert!(mount.unmount().success());
    }
}
