//! An idmapped mount of the mount (mount_setattr(2)), as container engines use
//! it for user namespaces.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod idmap;
mod mounted;
mod tree;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use idmap::Idmapped;
use mounted::{Mount, run};
use tree::{build, scratch, set_mode, sh};

/// Whether somebody can read a file.
fn can_read(user: u32, path: &Path) -> bool {
    let id = user.to_string();
    let output = Command::new("setpriv")
        .args(["--reuid", &id, "--regid", &id, "--clear-groups", "cat"])
        .arg(path)
        .current_dir("/")
        .output()
        .expect("setpriv (util-linux) is needed");
    output.status.success()
}

#[test]
fn owners_and_acls_are_shifted() {
    let scratch = scratch();
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).unwrap();
    sh(
        &tree,
        "for id in 0 5 2000; do echo $id > $id; chown $id:$id $id; chmod 600 $id; done
         echo acl > acl; chmod 600 acl; setfacl -m u:7:r acl; chmod 755 .
         cp /bin/true capable; setcap cap_net_raw=ep capable",
    );
    let manifest = build(&scratch, &tree, &[]);
    let mount = Mount::with(&manifest, &tree, &["-o", "allow_other"]);
    set_mode(mount.path().parent().unwrap(), 0o755);
    let place = scratch.path().join("idmapped");
    fs::create_dir(&place).unwrap();
    let idmapped = Idmapped::new(mount.path(), &place, (100_000, 1000));

    for (name, shown) in [("0", 100_000), ("5", 100_005), ("2000", 65534)] {
        let metadata = fs::metadata(place.join(name)).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (shown, shown));
    }
    let acl = run("getfacl", ["-n".as_ref(), place.join("acl").as_os_str()]);
    assert!(acl.contains("user:100007:r--"), "{acl}");
    // As uidmap= does it (tests/ids.rs).
    let capable = run("getcap", ["-n".as_ref(), place.join("capable").as_os_str()]);
    assert!(
        capable.ends_with(" cap_net_raw=ep [rootid=100000]\n"),
        "{capable}"
    );
    for (user, name, can) in [
        (100_000, "0", true),
        (100_005, "5", true),
        (100_007, "acl", true),
        (100_008, "acl", false),
        (5, "5", false),
        (7, "acl", false),
        (2000, "2000", false),
    ] {
        assert_eq!(can_read(user, &place.join(name)), can, "{user} {name}");
    }
    assert!(can_read(5, &mount.join("5")));
    drop(idmapped);
    assert!(mount.unmount().success());
}
