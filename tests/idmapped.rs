//! An idmapped mount of the mount (mount_setattr(2)), as container engines use
//! it for user namespaces.
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
use std::path::{Path, PathBuf};
use std::process::Command;

use mounted::{Mount, run};
use tree::{build, scratch, set_mode, sh};

/// Mounts `from` on `to` with ids from 0 on shown as those from 100000 on. Not
/// every mount(8) can.
const IDMAP: &str = r#"
import ctypes, os, struct, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def syscall(*arguments):
    result = libc.syscall(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), 'system call %d' % arguments[0])
    return result
OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442
OPEN_TREE_CLONE, AT_EMPTY_PATH, MOVE_MOUNT_F_EMPTY_PATH = 1, 0x1000, 4
MOUNT_ATTR_IDMAP, AT_FDCWD = 0x100000, -100
holder = subprocess.Popen(['unshare', '--user', 'sleep', '60'])
namespace = '/proc/%d/ns/user' % holder.pid
while os.readlink(namespace) == os.readlink('/proc/self/ns/user'):
    time.sleep(0.005)
for ids in 'uid_map', 'gid_map':
    with open('/proc/%d/%s' % (holder.pid, ids), 'w') as f:
        f.write('0 100000 1000\n')
tree = syscall(OPEN_TREE, AT_FDCWD, sys.argv[1].encode(), OPEN_TREE_CLONE)
with open(namespace) as user:
    attributes = struct.pack('QQQQ', MOUNT_ATTR_IDMAP, 0, 0, user.fileno())
    syscall(MOUNT_SETATTR, tree, b'', AT_EMPTY_PATH, attributes, len(attributes))
holder.kill()
syscall(MOVE_MOUNT, tree, b'', AT_FDCWD, sys.argv[2].encode(), MOVE_MOUNT_F_EMPTY_PATH)
"#;

struct Idmapped(PathBuf);

impl Drop for Idmapped {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

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
         echo acl > acl; chmod 600 acl; setfacl -m u:7:r acl; chmod 755 .",
    );
    let manifest = build(&scratch, &tree, &[]);
    let mount = Mount::with(&manifest, &tree, &["-o", "allow_other"]);
    set_mode(mount.path().parent().unwrap(), 0o755);
    let place = scratch.path().join("idmapped");
    fs::create_dir(&place).unwrap();
    run(
        "python3",
        ["-c".as_ref(), Path::new(IDMAP), mount.path(), &place],
    );
    let idmapped = Idmapped(place.clone());

    for (name, shown) in [("0", 100_000), ("5", 100_005), ("2000", 65534)] {
        let metadata = fs::metadata(place.join(name)).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (shown, shown));
    }
    let acl = run("getfacl", ["-n".as_ref(), place.join("acl").as_os_str()]);
    assert!(acl.contains("user:100007:r--"), "{acl}");
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
