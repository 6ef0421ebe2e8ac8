//! A small Debian, as container images are made from it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::{FdFlags, fcntl_setfd};

use crate::tree::sh;

/// Makes it in the directory `debian`. What it is made by is what marks it as made.
/// debootstrap mounts in it, in a namespace of its own, so that nothing is left if it
/// is killed.
///
/// One program has a capability (cap_chown=ep, version 2 of the attribute, see
/// capabilities(7)), one is setuid and says who it runs as, and the files are there
/// that podman mounts on.
const RECIPE: &str = r#"
suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
mirror=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
    sed -n "s|^$suite main ||p" | head -n 1)
unshare --mount --propagation=private debootstrap --variant=minbase "$suite" debian $mirror >debian.log 2>&1 || {
    tail -n 20 debian.log >&2
    exit 1
}
cd debian
rm -f var/cache/apt/archives/*.deb
touch etc/hosts etc/hostname etc/resolv.conf
ln -sf ../proc/self/mounts etc/mtab
mkdir srv/daemon
chown 1:2 srv/daemon
cp bin/id usr/local/bin/id-setuid
chmod 4755 usr/local/bin/id-setuid
cp bin/chown usr/local/bin/with-capability
setfattr -n security.capability -v 0x0100000201000000000000000000000000000000 usr/local/bin/with-capability
setfattr -n user.note -v kept etc/debian_version
"#;

/// Where it is. It is made once, and nobody changes it; half a one is made anew.
pub fn debian() -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // Tests run side by side, as processes.
    let lock = File::create(place.join("debian.lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    // What is started holds it too, so that nobody begins while another one that was
    // given up is still at it.
    fcntl_setfd(&lock, FdFlags::empty()).unwrap();
    let (tree, made) = (place.join("debian"), place.join("debian.made"));
    if fs::read_to_string(&made).is_ok_and(|made| made == RECIPE) {
        return tree;
    }
    let _ = fs::remove_file(&made);
    sh(place, "rm -rf --one-file-system debian");
    sh(place, RECIPE);
    fs::write(made, RECIPE).unwrap();
    tree
}
