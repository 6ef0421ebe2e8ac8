//! Containers in a user namespace, on an idmapped mount of the mount.

use std::process::Command;

use crate::bundle::{Bundle, RUNTIMES};
use crate::debian::debian;
use crate::idmap::Idmapped;
use crate::inside::{CHANGED, CHANGES, PRIVILEGED, READ_ONLY, UNPRIVILEGED, WHOLE};
use crate::scene::{Scene, finish, mount, mount_debian, succeeds};
use crate::stacked::Overlay;
use crate::tree::{set_mode, sh};

/// The ids of the host that are those from 0 on inside.
const IDS: (u32, u32) = (100_000, 65_536);

/// The owners are those of the image, and not nobody.
const OWNERS: &str = r#"
test "$(cat /proc/self/uid_map | tr -s ' ')" = ' 0 100000 65536'
test "$(stat -c %u:%g /)" = 0:0
test "$(stat -c %u:%g /etc/shadow)" = 0:42
test "$(stat -c %U:%G /srv/daemon)" = daemon:bin
"#;

#[test]
fn owners_are_right_inside() {
    let scene = Scene::new();
    let debian = mount_debian(&scene, "allow_other,suid");
    let rootfs = scene.directory("rootfs");
    let _idmapped = Idmapped::new(debian.path(), &rootfs, IDS);
    let bundle = Bundle {
        ids: Some(IDS),
        ..Bundle::read_only(&rootfs)
    };
    for runtime in RUNTIMES {
        let script = [OWNERS, WHOLE, PRIVILEGED, READ_ONLY].concat();
        succeeds(runtime.name(), &bundle.run(runtime, &script));
    }
}

/// Nobody in a namespace can take a flag from a mount that came from outside.
#[test]
fn nosuid_stays() {
    let scene = Scene::new();
    let debian = mount_debian(&scene, "allow_other");
    let rootfs = scene.directory("rootfs");
    let _idmapped = Idmapped::new(debian.path(), &rootfs, IDS);
    let bundle = Bundle {
        ids: Some(IDS),
        ..Bundle::read_only(&rootfs)
    };
    for runtime in RUNTIMES {
        let script = [OWNERS, UNPRIVILEGED].concat();
        succeeds(runtime.name(), &bundle.run(runtime, &script));
    }
}

/// Layers that are idmapped below an overlay that is not, as containerd does it;
/// what is made is owned by the ids of the host.
#[test]
fn they_are_in_a_layer_too() {
    let scene = Scene::new();
    let debian = mount_debian(&scene, "allow_other,suid");
    let lower = scene.directory("lower");
    let _idmapped = Idmapped::new(debian.path(), &lower, IDS);
    for runtime in RUNTIMES {
        let overlay = Overlay::of(IDS.0, scene.path(), &[&lower], "");
        let bundle = Bundle {
            ids: Some(IDS),
            ..Bundle::writable(overlay.path())
        };
        for script in [OWNERS, PRIVILEGED, CHANGES, CHANGED] {
            succeeds(runtime.name(), &bundle.run(runtime, script));
        }
        sh(
            overlay.upper(),
            r#"test "$(stat -c %u:%g new)" = 100000:100000"#,
        );
    }
}

/// The mount maps the ids itself.
#[test]
fn the_mount_can_map_them_itself() {
    let scene = Scene::new();
    let options = "allow_other,suid,uidmap=0:100000:65536,gidmap=0:100000:65536";
    let mapped = mount(&scene.debian(), &debian(), options);
    let bundle = Bundle {
        ids: Some(IDS),
        ..Bundle::read_only(mapped.path())
    };
    for runtime in RUNTIMES {
        let script = [OWNERS, READ_ONLY].concat();
        succeeds(runtime.name(), &bundle.run(runtime, &script));
    }
}

/// Whoever is nobody can stack layers too: in a user namespace, in which overlayfs
/// looks for attributes under other names, and with no runtime but chroot(1).
#[test]
fn nobody_stacks_layers() {
    let scene = Scene::new();
    let debian = mount_debian(&scene, "allow_other");
    let patch = scene.directory("patch");
    sh(
        &patch,
        "mkdir -p etc usr/share/doc; echo only >usr/share/doc/only; mknod etc/issue c 0 0
         setfattr -n user.overlay.opaque -v y usr/share/doc",
    );
    let patched = mount(&scene.build("patch.pb", &patch), &patch, "allow_other");
    let own = scene.directory("own");
    set_mode(&own, 0o777);
    let script = r#"
mkdir upper work merged
mount -t overlay overlay merged -o "lowerdir=$1:$2,upperdir=upper,workdir=work,userxattr"
test "$(ls merged/usr/share/doc)" = only
test ! -e merged/etc/issue
echo new >merged/new
test "$(chroot merged /bin/sh -c 'cat /new; dpkg -l | grep -c "^ii  dpkg "')" = "new
1"
"#;
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    command.args(["unshare", "--user", "--map-root-user", "--mount"]);
    command.args(["sh", "-euxc", script, "sh"]);
    command
        .args([patched.path(), debian.path()])
        .current_dir(own);
    succeeds("as nobody", &finish(&mut command));
}
