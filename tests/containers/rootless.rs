//! podman without root, in a user namespace of its own.

use std::process::{Command, Output};

use crate::debian::debian;
use crate::scene::{Scene, finish, mount, succeeds};

/// The user, and the ids that he may give to others.
const USER: u32 = 4711;
const OTHERS: &str = "700000:65536";

/// Lets the user be one of this machine, in a mount namespace that has one version of
/// cgroups, and becomes him. Nothing of podman outlives it.
const AS_USER: &str = r#"
for name in passwd group subuid subgid; do
    cat "/etc/$name" >"$name" 2>/dev/null || :
done
echo "rootless:x:$USER:$USER::$PWD/home:/bin/sh" >>passwd
echo "rootless:x:$USER:" >>group
echo "rootless:$OTHERS" | tee -a subuid >>subgid
for name in passwd group subuid subgid; do
    [ -e "/etc/$name" ] || : >"/etc/$name"
    mount --bind "$name" "/etc/$name"
done
mkdir -p home run
chown "$USER:$USER" home run
mount --make-rshared /
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec setpriv --reuid "$USER" --regid "$USER" --init-groups \
    env -i "HOME=$PWD/home" "PATH=$PATH" "XDG_RUNTIME_DIR=$PWD/run" "$@"
"#;

fn podman(scene: &Scene, arguments: &[&str], script: &str) -> Output {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation=private"])
        .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
        .args(["sh", "-euc", AS_USER, "sh"])
        .args(["podman", "--storage-driver=vfs", "--events-backend=none"])
        .args(["--cgroup-manager=cgroupfs", "--runtime=crun"])
        .args(["run", "--rm", "--network=none", "--log-driver=none"])
        .args(["--cgroups=disabled", "--ulimit=nofile=1024:1024"])
        .arg("--ulimit=nproc=1024:1024")
        .args(arguments)
        .args(["/bin/sh", "-euxc", script])
        .env("USER", USER.to_string())
        .env("OTHERS", OTHERS)
        .current_dir(scene.path());
    finish(&mut command)
}

#[test]
fn who_is_not_root_runs_it_with_the_ids_that_he_has() {
    let scene = Scene::new();
    let ids = format!("0:{USER}:1,uidmap=1:{OTHERS},gidmap=0:{USER}:1,gidmap=1:{OTHERS}");
    let options = format!("allow_other,suid,uidmap={ids}");
    let debian = mount(&scene.debian(), &debian(), &options);
    let path = debian.path().to_str().unwrap();
    let inside = r#"
test "$(id -u):$(id -g)" = 0:0
test "$(stat -c %u:%g / /srv/daemon | tr '\n' ' ')" = "0:0 1:2 "
test "$(setpriv --reuid 1 --regid 2 --clear-groups id-setuid -u)" = 0
dpkg -s bash >/dev/null
"#;
    let read_only = "if touch /new; then exit 1; fi";
    let arguments = ["--read-only", "--rootfs", path];
    let output = podman(&scene, &arguments, &[inside, read_only].concat());
    succeeds("read-only", &output);
    let writes =
        "touch /new; chown 5:6 /new; echo changed >>/etc/debian_version; rm -r /srv/daemon";
    let overlay = format!("{path}:O");
    let output = podman(&scene, &["--rootfs", &overlay], &[inside, writes].concat());
    succeeds("overlay", &output);
    assert!(debian.join("srv/daemon").exists());
}
