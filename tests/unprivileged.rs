//! Mounting without being root: through fusermount3, and in a user namespace.
//!
//! Every script runs in a mount namespace of its own with a `/dev/fuse` of its
//! own, since the mode of the machine's may be anything: udev makes it 0666,
//! others 0600. What it mounts is gone with its last process.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod tree;

use std::fs;
use std::process::{Command, Output};

use tempfile::TempDir;
use tree::{continuity, scratch, set_mode, sh, text};

/// Drops to user 65534, who may do nothing.
const NOBODY: &str = "setpriv --reuid 65534 --regid 65534 --clear-groups";
/// Becomes root of a namespace of one's own, who may mount in it.
const NAMESPACE: &str = "unshare --user --map-root-user --mount";

/// What the scripts have in common. `serve` returns when it is mounted, or when
/// the server has ended.
const PRELUDE: &str = r#"
set -u
die() { echo "$@"; cat log; exit 1; }
serve() {
    : >log
    ./continuity mount "$@" mount manifest tree 2>log & server=$!
    tries=0
    until grep -q 'INFO  mounted' log; do
        kill -0 $server 2>/dev/null || return
        [ $((tries += 1)) -lt 400 ] || die "does not get ready"
        sleep 0.05
    done
}
logged() {
    tries=0
    until grep -q "$1" log; do
        [ $((tries += 1)) -lt 1200 ] || die "not in the log: $1"
        sleep 0.05
    done
}
is_mounted() { grep -q " $PWD/mount fuse.continuity " /proc/self/mounts; }
ended_well() {
    wait $server; status=$?
    [ $status = 0 ] || die "exit status $status"
    ! is_mounted || die "still mounted"
}
"#;

struct Scene(TempDir);

impl Scene {
    fn new() -> Self {
        let scratch = scratch();
        let path = |name| scratch.path().join(name);
        fs::create_dir(path("tree")).unwrap();
        fs::create_dir(path("mount")).unwrap();
        fs::write(path("tree/file"), "content\n").unwrap();
        fs::write(path("tree/large"), vec![b'x'; 3 << 20]).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_continuity"), path("continuity")).unwrap();
        set_mode(&path("continuity"), 0o755);
        let scene = Self(scratch);
        scene.build();
        scene
    }

    fn build(&self) {
        let (manifest, tree) = (self.0.path().join("manifest"), self.0.path().join("tree"));
        let built = continuity([
            "build".as_ref(),
            "-o".as_ref(),
            manifest.as_os_str(),
            tree.as_os_str(),
        ]);
        assert!(built.status.success());
        set_mode(&manifest, 0o644);
    }

    /// Runs a script as `who`, where `/dev/fuse` has this mode.
    fn run(&self, device: u32, who: &str, script: &str) -> Output {
        // Root of a namespace may not go where other users are.
        let owner = if who.contains(NOBODY) { 65534 } else { 0 };
        let outer = format!(
            "set -e; mknod -m {device:o} fuse c 10 229; mount --bind fuse /dev/fuse; \
             rm -f log; chown {owner}:{owner} . mount tree tree/*; exec {who} sh script"
        );
        fs::write(self.0.path().join("script"), [PRELUDE, script].concat()).unwrap();
        let output = Command::new("timeout")
            .args([
                "-s",
                "KILL",
                "20",
                "unshare",
                "--mount",
                "--propagation=private",
            ])
            // All processes of a namespace go with its first one.
            .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["sh", "-c", &outer])
            .current_dir(self.0.path())
            .env_remove("RUST_LOG")
            .output()
            .unwrap();
        fs::remove_file(self.0.path().join("fuse")).unwrap();
        output
    }

    fn succeeds(&self, who: &str, script: &str) {
        let output = self.run(0o666, who, script);
        assert!(
            output.status.success(),
            "{who}: {}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
    }
}

const READ: &str = r#"
serve
is_mounted || die "not mounted"
[ "$(cat mount/file)" = content ] || die "wrong content"
cmp mount/large tree/large || die "differs"
case "$(grep " $PWD/mount " /proc/self/mounts)" in
    *" ro,nosuid,nodev,"*",default_permissions 0 0") ;;
    *) die "$(grep " $PWD/mount " /proc/self/mounts)" ;;
esac
"#;

#[test]
fn through_fusermount() {
    let scene = Scene::new();
    scene.succeeds(
        NOBODY,
        &[
            READ,
            "fusermount3 -u mount || die 'cannot unmount'; ended_well",
        ]
        .concat(),
    );
    for signal in ["TERM", "INT"] {
        scene.succeeds(
            NOBODY,
            &format!("{READ} kill -s {signal} $server; ended_well"),
        );
    }
}

#[test]
fn who_is_not_root_can_end_it() {
    Scene::new().succeeds(
        NOBODY,
        &[
            READ,
            r#"
./continuity umount mount || die "cannot unmount"
ended_well
serve
exec 3<mount/file
./continuity umount mount 2>error && die "was in use"
grep -q 'it is in use by ' error || die "$(cat error)"
is_mounted || die "is gone"
./continuity umount --lazy mount || die "cannot unmount"
is_mounted && die "is still there"
[ "$(cat <&3)" = content ] || die "cannot be read any more"
exec 3<&-
ended_well
"#,
        ]
        .concat(),
    );
}

#[test]
fn what_fusermount_cannot_do_is_refused() {
    let script =
        "serve -o nosymfollow; wait $server; status=$?; cat log; is_mounted && die; exit $status";
    let output = Scene::new().run(0o666, NOBODY, script);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = text(&output.stdout);
    let told = "cannot mount: fusermount3 does not know nosymfollow; only root can have that";
    assert!(said.contains(told), "{said}");
}

#[test]
fn in_a_user_namespace() {
    let scene = Scene::new();
    for who in [NAMESPACE.to_owned(), format!("{NOBODY} {NAMESPACE}")] {
        scene.succeeds(&who, &[READ, "umount mount || die; ended_well"].concat());
        scene.succeeds(&who, &[READ, "kill -s TERM $server; ended_well"].concat());
    }
}

/// The kernel takes no ACL that names somebody whom the namespace does not have, and
/// capabilities of another root's do not count there.
#[test]
fn owners_whom_the_namespace_does_not_have() {
    let scene = Scene::new();
    sh(
        scene.0.path(),
        "setfacl -m u:0:r,u:7:rw,g:7:rw tree/file; chmod o= tree/file
         mkdir tree/directory; setfacl -d -m u:7:rwx tree/directory
         chown 7:7 tree/large
         cp /bin/true tree/ours; setcap cap_net_raw=ep tree/ours
         cp /bin/true tree/theirs; setcap -n 7 cap_net_raw=ep tree/theirs",
    );
    scene.build();
    scene.succeeds(
        NAMESPACE,
        r#"
serve
[ "$(cat mount/file)" = content ] || die "wrong content"
[ "$(stat -c %u:%g mount/large)" = 65534:65534 ] || die "$(stat mount/large)"
[ "$(getfacl -n -c mount/file | tr '\n' ' ')" = "user::rw- user:0:r-- group::r-- mask::rw- other::---  " ] ||
    die "$(getfacl -n mount/file)"
getfacl -n -c mount/directory | grep -q '^default:mask::rwx' || die "$(getfacl -n mount/directory)"
[ "$(getcap mount/ours)" = "mount/ours cap_net_raw=ep" ] || die "$(getcap mount/ours)"
[ -z "$(getcap mount/theirs)" ] || die "$(getcap mount/theirs)"
kill -s TERM $server
ended_well
"#,
    );
}

/// The kernel reads copies only for root of the machine.
#[test]
fn copies_are_left_out() {
    let scene = Scene::new();
    for who in [NOBODY.to_owned(), format!("{NOBODY} {NAMESPACE}")] {
        scene.succeeds(
            &who,
            r#"
mkdir -p -m 755 cache
serve -o cache_dir=cache,cache_max=1G
for again in 1 2; do
    [ "$(cat mount/file)" = content ] || die "wrong content"
    cmp mount/large tree/large || die "differs"
done
kill -s TERM $server
ended_well
[ "$(grep -c event=copies_off log)" = 1 ] || die "does not say so once"
"#,
        );
    }
}

#[test]
fn what_was_mounted_over_it_stays() {
    Scene::new().succeeds(
        &format!("{NOBODY} {NAMESPACE}"),
        r#"
serve
mount -t tmpfs precious mount
kill -s TERM $server
tries=0
until grep -q event=covered log; do
    [ $((tries += 1)) -lt 400 ] || die "says nothing"
    sleep 0.05
done
grep -q " $PWD/mount tmpfs " /proc/self/mounts || die "took the other one"
umount mount
ended_well
"#,
    );
}

#[test]
fn a_dead_mount_is_replaced() {
    let scene = Scene::new();
    for who in [NOBODY.to_owned(), format!("{NOBODY} {NAMESPACE}")] {
        scene.succeeds(
            &who,
            r#"
serve
kill -s KILL $server $(cat /proc/$server/task/$server/children)
wait $server 2>/dev/null
is_mounted || die "no dead mount"
serve
grep -q event=stale_mount_replaced log || die "not replaced"
[ "$(cat mount/file)" = content ] || die "wrong content"
[ "$(grep -c " $PWD/mount " /proc/self/mounts)" = 1 ] || die "more than one"
kill -s TERM $server
ended_well
"#,
        );
    }
}

/// A server that is not root may be denied what the manifest has.
#[test]
fn content_that_may_not_be_read() {
    Scene::new().succeeds(
        NOBODY,
        r#"
chmod 000 tree/file
serve
cat mount/file 2>error && die "was given"
grep -q 'Input/output error' error || die "$(cat error)"
logged 'event=refused reason=backing_denied path="/file" ino=2 off=0 len=8'
chmod 644 tree/file
[ "$(cat mount/file)" = content ] || die "not repaired"
chmod 000 tree
cat mount/large >/dev/null 2>error && die "was given"
grep -q 'Input/output error' error || die "$(cat error)"
chmod 755 tree
cmp mount/large tree/large || die "not repaired"
kill -s TERM $server
ended_well
"#,
    );
}

#[test]
fn a_place_of_somebody_elses_is_refused() {
    let scene = Scene::new();
    fs::create_dir(scene.0.path().join("theirs")).unwrap();
    set_mode(&scene.0.path().join("theirs"), 0o755);
    let output = scene.run(
        0o666,
        NOBODY,
        "./continuity mount theirs manifest tree; status=$?; grep /theirs /proc/self/mounts; exit $status",
    );
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(text(&output.stdout), "");
    assert!(text(&output.stderr).contains("continuity: cannot mount: "));
}

#[test]
fn without_the_right_to_mount_it_says_so() {
    let scene = Scene::new();
    let script = "serve; wait $server; status=$?; cat log; is_mounted && die; exit $status";
    // Nobody but root may use the device.
    let output = scene.run(0o600, NOBODY, script);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = text(&output.stdout);
    assert!(said.contains("/dev/fuse: Permission denied"), "{said}");
    assert!(
        said.contains("continuity: cannot mount: fusermount3 failed"),
        "{said}"
    );
    // Root of a namespace is not.
    let output = scene.run(0o600, &format!("{NOBODY} {NAMESPACE}"), script);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = text(&output.stdout);
    assert!(
        said.contains("continuity: cannot open /dev/fuse: Permission denied"),
        "{said}"
    );
}
