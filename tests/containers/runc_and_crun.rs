//! runc and crun on the mount itself, and on overlayfs over it.

use std::fs;

use crate::bundle::{Bundle, RUNTIMES};
use crate::inside::{CHANGED, CHANGES, PRIVILEGED, READ_ONLY, UNPRIVILEGED, WHOLE};
use crate::scene::{Scene, mount, mount_debian, succeeds};
use crate::snapshot::snapshot;
use crate::stacked::Overlay;
use crate::tree::sh;

#[test]
fn on_the_mount_itself() {
    let scene = Scene::new();
    let debian = mount_debian(&scene, "allow_other,suid");
    let bundle = Bundle::read_only(debian.path());
    for runtime in RUNTIMES {
        let script = [WHOLE, PRIVILEGED, READ_ONLY].concat();
        succeeds(runtime.name(), &bundle.run(runtime, &script));
    }
}

/// The mount's `nosuid` is not enough: both mount the root anew, without it.
#[test]
fn setuid_and_capabilities_can_be_kept_off() {
    let scene = Scene::new();
    let debian = mount_debian(&scene, "allow_other");
    let bundle = Bundle {
        no_new_privileges: true,
        ..Bundle::read_only(debian.path())
    };
    for runtime in RUNTIMES {
        succeeds(runtime.name(), &bundle.run(runtime, UNPRIVILEGED));
    }
}

#[test]
fn on_overlayfs_over_it() {
    let scene = Scene::new();
    let debian = mount_debian(&scene, "allow_other,suid");
    let before = snapshot(debian.path());
    for runtime in RUNTIMES {
        let overlay = Overlay::new(scene.path(), &[debian.path()], "");
        let bundle = Bundle::writable(overlay.path());
        for script in [WHOLE, PRIVILEGED, CHANGES, CHANGED, PRIVILEGED] {
            succeeds(runtime.name(), &bundle.run(runtime, script));
        }
    }
    // Nothing of it reached the mount.
    assert!(snapshot(debian.path()) == before);
}

/// A layer that hides what is below it, in all the ways that overlayfs knows.
const PATCH: &str = r#"
mkdir -p etc/apt usr/share/doc
mknod etc/issue c 0 0
mknod etc/apt/apt.conf.d c 0 0
setfattr -n trusted.overlay.opaque -v y usr/share/doc
echo only >usr/share/doc/only
: >etc/hostname
setfattr -n trusted.overlay.whiteout -v y etc/hostname
setfattr -n trusted.overlay.opaque -v x etc
"#;

#[test]
fn what_a_layer_hides_is_hidden_inside() {
    let scene = Scene::new();
    let debian = mount_debian(&scene, "allow_other,suid");
    let patch = scene.directory("patch");
    sh(&patch, PATCH);
    let manifest = scene.build("patch.pb", &patch);
    let patched = mount(&manifest, &patch, "allow_other,suid");
    for runtime in RUNTIMES {
        let overlay = Overlay::new(scene.path(), &[patched.path(), debian.path()], "");
        let script = r#"
for gone in /etc/issue /etc/apt/apt.conf.d /etc/hostname; do
    test ! -e $gone
    if ls ${gone%/*} | grep -x ${gone##*/}; then exit 1; fi
done
test "$(ls /usr/share/doc)" = only
test -e /etc/apt/sources.list
echo again >/etc/issue
mkdir /etc/apt/apt.conf.d
test -z "$(ls /etc/apt/apt.conf.d)"
"#;
        let bundle = Bundle::writable(overlay.path());
        succeeds(runtime.name(), &bundle.run(runtime, script));
        assert_eq!(fs::read(overlay.join("etc/issue")).unwrap(), b"again\n");
    }
}
