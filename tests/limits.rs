//! What runs short must not be what readers hear of.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod mounted;
mod tree;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use mounted::{Mount, run};
use tree::{continuity, scratch, set_mode, text};

#[test]
fn readers_do_not_hear_of_missing_descriptors() {
    let scratch = scratch();
    let root = scratch.path().join("tree");
    fs::create_dir(&root).unwrap();
    for number in 0..300 {
        fs::write(root.join(number.to_string()), format!("file {number}")).unwrap();
    }
    let manifest = scratch.path().join("manifest");
    let built = continuity([
        "build".as_ref(),
        "-o".as_ref(),
        manifest.as_os_str(),
        root.as_os_str(),
    ]);
    assert!(built.status.success());
    let mount = Mount::new(&manifest, &root);
    run(
        "prlimit",
        ["--pid", &mount.worker().to_string(), "--nofile=40:40"],
    );
    for number in 0..300 {
        let content = fs::read(mount.join(number.to_string())).unwrap();
        assert_eq!(content, format!("file {number}").into_bytes());
    }
}

/// Somebody may really be user 65534, as whom the kernel shows nobody.
#[test]
fn what_no_map_has_belongs_to_nobody() {
    let scratch = scratch();
    let root = scratch.path().join("tree");
    fs::create_dir(&root).unwrap();
    for (name, owner) in [("mapped", 0), ("unmapped", 5000)] {
        fs::write(root.join(name), name).unwrap();
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o600)).unwrap();
        chown(root.join(name), Some(owner), Some(owner)).unwrap();
    }
    let manifest = scratch.path().join("manifest");
    let built = continuity([
        "build".as_ref(),
        "-o".as_ref(),
        manifest.as_os_str(),
        root.as_os_str(),
    ]);
    assert!(built.status.success());
    let options = "allow_other,uidmap=0:65000:1000,gidmap=0:65000:1000";
    let mount = Mount::with(&manifest, &root, &["-o", options]);
    set_mode(mount.path().parent().unwrap(), 0o755);
    let read = |user: &str, name: &str| {
        let ids = ["--reuid", user, "--regid", user, "--clear-groups", "cat"];
        Command::new("setpriv")
            .args(ids)
            .arg(mount.join(name))
            .output()
            .unwrap()
    };
    let mapped = read("65000", "mapped");
    assert_eq!(mapped.stdout, b"mapped", "{}", text(&mapped.stderr));
    let unmapped = read("65534", "unmapped");
    assert!(text(&unmapped.stderr).contains("Permission denied"));
    assert_eq!(unmapped.stdout, b"");
}
