//! An idmapped mount of a mount (mount_setattr(2)), as container engines use it
//! for user namespaces.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::mounted::run;

/// Mounts `from` on `to` with so many ids from 0 on shown as those from another
/// on. Not every mount(8) can.
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
# It goes when we go, and its namespace with the last mount.
holder = subprocess.Popen(['unshare', '--user', 'cat'], stdin=subprocess.PIPE)
namespace = '/proc/%d/ns/user' % holder.pid
while os.readlink(namespace) == os.readlink('/proc/self/ns/user'):
    time.sleep(0.005)
for ids in 'uid_map', 'gid_map':
    with open('/proc/%d/%s' % (holder.pid, ids), 'w') as f:
        f.write('0 %s %s\n' % (sys.argv[3], sys.argv[4]))
tree = syscall(OPEN_TREE, AT_FDCWD, sys.argv[1].encode(), OPEN_TREE_CLONE)
with open(namespace) as user:
    attributes = struct.pack('QQQQ', MOUNT_ATTR_IDMAP, 0, 0, user.fileno())
    syscall(MOUNT_SETATTR, tree, b'', AT_EMPTY_PATH, attributes, len(attributes))
syscall(MOVE_MOUNT, tree, b'', AT_FDCWD, sys.argv[2].encode(), MOVE_MOUNT_F_EMPTY_PATH)
"#;

/// An idmapped mount; unmounted when dropped.
pub struct Idmapped(PathBuf);

impl Idmapped {
    pub fn new(from: &Path, to: &Path, (first, count): (u32, u32)) -> Self {
        let (first, count) = (first.to_string(), count.to_string());
        run(
            "python3",
            [
                "-c".as_ref(),
                IDMAP.as_ref(),
                from.as_os_str(),
                to.as_os_str(),
                first.as_ref(),
                count.as_ref(),
            ],
        );
        Self(to.to_owned())
    }
}

impl Drop for Idmapped {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}
