//! The helper of mount(8): it returns when the mount answers, and leaves nobody
//! waiting.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod mounted;
mod tree;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use mounted::{child_of, in_time, mounts_at, run, wait_until};
use tempfile::TempDir;
use tree::{continuity, scratch, sh, text};

/// A tree, its manifest, and a place to mount on: `tree`, `manifest`, `mount`.
/// What is mounted there goes with it.
struct Scene(TempDir);

impl Scene {
    fn new() -> Self {
        let scratch = scratch();
        sh(
            scratch.path(),
            r"mkdir tree mount; echo content >tree/file; echo other >tree/tampered
              printf '\012\177' >broken; : >plain",
        );
        let scene = Self(scratch);
        let (manifest, tree) = (scene.path("manifest"), scene.path("tree"));
        let built = continuity([
            "build".as_ref(),
            "-o".as_ref(),
            manifest.as_os_str(),
            tree.as_os_str(),
        ]);
        assert!(built.status.success());
        fs::write(scene.path("tree/tampered"), "OTHER\n").unwrap();
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn mountpoint(&self) -> PathBuf {
        self.path("mount")
    }

    /// Runs the helper in the directory of the scene, as mount(8) does: it reads
    /// what it says until the end.
    fn help(&self, arguments: &[&str]) -> Output {
        in_time("mount-continuity", || {
            Command::new(env!("CARGO_BIN_EXE_mount-continuity"))
                .args(arguments)
                .current_dir(self.0.path())
                .env_clear()
                .output()
                .unwrap()
        })
    }

    fn mounts(&self, arguments: &[&str]) {
        let output = self.help(arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "");
        assert_eq!(mounts_at(&self.mountpoint()), ["fuse.continuity"]);
        assert_eq!(fs::read(self.path("mount/file")).unwrap(), b"content\n");
    }

    /// Supervisor and worker, found by what they were told to mount on.
    fn servers(&self) -> Vec<PathBuf> {
        let place = self.mountpoint();
        let is_it = |process: &Path| {
            let line = fs::read(process.join("cmdline")).unwrap_or_default();
            let directory = process.join("environ").exists();
            directory
                && line
                    .split(|byte| *byte == 0)
                    .any(|word| word == place.as_os_str().as_bytes())
        };
        fs::read_dir("/proc")
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|process| is_it(process))
            .collect()
    }

    fn unmount(&self) {
        run("umount", [self.mountpoint()]);
        wait_until(
            || self.servers().is_empty(),
            || "the servers go on".to_owned(),
        );
        assert_eq!(mounts_at(&self.mountpoint()), [""; 0]);
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        while !mounts_at(&self.mountpoint()).is_empty() {
            let done = Command::new("umount")
                .arg("-l")
                .arg(self.mountpoint())
                .output();
            if !done.is_ok_and(|output| output.status.success()) {
                break;
            }
        }
    }
}

#[test]
fn it_returns_when_the_mount_answers() {
    let scene = Scene::new();
    let place = scene.mountpoint();
    let place = place.to_str().unwrap();
    for _ in 0..5 {
        scene.mounts(&["manifest", place, "-o", "rw,backing=tree"]);
        scene.unmount();
    }
}

#[test]
fn its_servers_hold_on_to_nothing() {
    let scene = Scene::new();
    let place = scene.mountpoint();
    scene.mounts(&["manifest", place.to_str().unwrap(), "-o", "backing=tree"]);
    let servers = scene.servers();
    assert_eq!(servers.len(), 2);
    // The session is not ours (proc_pid_stat(5), field 6).
    let session = |server: &Path| {
        let stat = fs::read_to_string(server.join("stat")).unwrap();
        let fields = stat.rsplit(')').next().unwrap();
        fields.split_whitespace().nth(3).unwrap().to_owned()
    };
    for server in &servers {
        // It is at its root, which is the machine's or the backing.
        let (cwd, root) = (server.join("cwd"), server.join("root"));
        let [cwd, root] = [cwd, root].map(|place| fs::read_link(place).unwrap());
        assert_eq!(cwd, root);
        let tree = scene.0.path().join("tree").canonicalize().unwrap();
        assert!([Path::new("/"), &tree].contains(&&*root), "{root:?}");
        for descriptor in ["0", "1", "2"] {
            let leads_to = fs::read_link(server.join("fd").join(descriptor)).unwrap();
            assert_eq!(leads_to, Path::new("/dev/null"), "{descriptor}");
        }
        assert_ne!(session(server), session(Path::new("/proc/self")));
    }
    scene.unmount();
}

#[test]
fn others_are_let_in() {
    let scene = Scene::new();
    scene.mounts(&["manifest", "mount", "-o", "backing=tree"]);
    let options = run(
        "findmnt",
        [
            "-n".as_ref(),
            "-o".as_ref(),
            "OPTIONS".as_ref(),
            scene.mountpoint().as_os_str(),
        ],
    );
    for option in [
        "ro",
        "nosuid",
        "nodev",
        "allow_other",
        "default_permissions",
    ] {
        assert!(
            options.trim().split(',').any(|found| found == option),
            "no {option} in {options}"
        );
    }
    // The way there may be closed to others; the directory is open already.
    let read = Command::new("setpriv")
        .args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "cat",
            "file",
        ])
        .current_dir(scene.mountpoint())
        .output()
        .unwrap();
    assert_eq!(text(&read.stdout), "content\n", "{}", text(&read.stderr));
}

#[test]
fn the_log_goes_on_in_a_file() {
    let scene = Scene::new();
    let place = scene.mountpoint();
    let place = place.to_str().unwrap();
    scene.mounts(&["manifest", place, "-o", "backing=tree,log=log"]);
    fs::read(scene.path("mount/tampered")).unwrap_err();
    scene.unmount();
    let log = fs::read_to_string(scene.path("log")).unwrap();
    for word in [
        "INFO  mounted",
        "event=refused reason=digest_mismatch path=\"/tampered\" ino=3 off=0 len=6 want=sha256:",
        "INFO  unmounted",
    ] {
        assert!(log.contains(word), "{word:?} is not in {log}");
    }
    // It is appended to.
    scene.mounts(&["manifest", place, "-o", "backing=tree", "-o", "log=log"]);
    scene.unmount();
    assert!(
        fs::read_to_string(scene.path("log"))
            .unwrap()
            .starts_with(&log)
    );
}

#[test]
fn a_signal_ends_the_server() {
    let scene = Scene::new();
    let place = scene.mountpoint();
    scene.mounts(&["manifest", place.to_str().unwrap(), "-o", "backing=tree"]);
    let is_supervisor = |server: &PathBuf| {
        let line = fs::read(server.join("cmdline")).unwrap();
        line.split(|byte| *byte == 0)
            .any(|word| word == b"--supervise")
    };
    let supervisor = scene.servers().into_iter().find(is_supervisor).unwrap();
    run(
        "kill",
        [
            "-s".as_ref(),
            "TERM".as_ref(),
            supervisor.file_name().unwrap(),
        ],
    );
    wait_until(
        || scene.servers().is_empty(),
        || "the servers go on".to_owned(),
    );
    assert_eq!(mounts_at(&place), [""; 0]);
}

#[test]
fn all_that_mount_passes_is_taken() {
    let scene = Scene::new();
    sh(scene.0.path(), r#"cp -a tree 'a,b'; cp -a tree 'c"d'"#);
    let digest = format!(
        "digest=sha256:{}",
        &run("sha256sum", [scene.path("manifest")])[..64]
    );
    for arguments in [
        &["-n", "-v", "-s", "-o", "backing=tree,unheard=of,unheard_of"][..],
        &["-v", "-v", "-o", "backing=tree"],
        &["-sn", "-o", "backing=tree"],
        &["-t", "continuity", "-o", "backing=tree"],
        &[
            "-o",
            "rw,nofail,x-systemd.automount,X-mount.mkdir,_netdev,user,noauto,relatime,backing=tree",
        ],
        &[
            "-o",
            "ro",
            "-o",
            "backing=missing",
            "-o",
            "backing=tree",
            "-o",
            "noexec",
        ],
        &["-o", r#"rw,backing="a,b",nofail"#],
        &["-o", r"rw,backing=a\,b,nofail"],
        &["-o", r#"rw,backing=c\"d"#],
        &["-o", "backing=tree", "-o", &digest],
    ] {
        let place = scene.mountpoint();
        scene.mounts(&[&["manifest", place.to_str().unwrap()], arguments].concat());
        scene.unmount();
    }
}

#[test]
fn pretending_mounts_nothing() {
    let scene = Scene::new();
    for (manifest, options, status) in [
        ("manifest", "backing=tree", 0),
        ("broken", "backing=tree", 32),
        ("manifest", "backing=missing", 32),
        ("manifest", "bakcing=tree", 1),
    ] {
        let output = scene.help(&["-f", manifest, "mount", "-o", options]);
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        assert_eq!(mounts_at(&scene.mountpoint()), [""; 0]);
    }
}

#[test]
fn failures_are_told_in_one_line() {
    let scene = Scene::new();
    let wrong = format!("backing=tree,digest=sha256:{:064}", 0);
    for (arguments, status, told) in [
        (
            &["manifest", "mount", "-o", "backing=tree,bakcing=x"][..],
            1,
            "\"bakcing=x\"",
        ),
        (
            &["manifest", "mount", "-o", "backing=tree,mtime=x"],
            1,
            "mtime=",
        ),
        (&["manifest", "mount", "-o", "rw"], 1, "backing=DIR"),
        (&["manifest", "mount"], 1, "backing=DIR"),
        (
            &["manifest", "mount", "-o", "ro,remount"],
            32,
            "no continuity mount is at",
        ),
        (
            &["manifest", "mount", "-o", "remount,rw,backing=tree"],
            32,
            "no continuity mount is at",
        ),
        (
            &["manifest", "missing", "-o", "backing=tree"],
            32,
            "\"missing\"",
        ),
        (
            &["manifest", "plain", "-o", "backing=tree"],
            32,
            "Not a directory",
        ),
        (
            &["missing", "mount", "-o", "backing=tree"],
            32,
            "cannot read missing",
        ),
        (&["broken", "mount", "-o", "backing=tree"], 32, "at byte 0"),
        (
            &["manifest", "mount", "-o", &wrong],
            32,
            "wanted sha256:000",
        ),
        (
            &["manifest", "mount", "-o", "backing=missing"],
            32,
            "\"missing\"",
        ),
        (
            &["manifest", "mount", "-o", "backing=plain"],
            32,
            "\"plain\"",
        ),
        (
            &["manifest", "mount", "-o", "backing=mount"],
            32,
            "in the mountpoint",
        ),
        (
            &["manifest", "mount", "-o", "backing=tree,log=missing/log"],
            32,
            "missing/log",
        ),
    ] {
        let output = scene.help(arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
        assert!(
            said.starts_with("mount.continuity: "),
            "{arguments:?}: {said}"
        );
        assert!(said.contains(told), "{told:?} is not in {said}");
        assert_eq!(mounts_at(&scene.mountpoint()), [""; 0]);
    }
    // The nearest name is told.
    let output = scene.help(&["manifest", "mount", "-o", "bakcing=tree"]);
    assert!(text(&output.stderr).contains("is it backing that is meant"));
    // The usage has more lines.
    for arguments in [&["manifest"][..], &[], &["manifest", "mount", "-q"]] {
        let output = scene.help(arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(
            text(&output.stderr).starts_with("mount.continuity: "),
            "{output:?}"
        );
    }
}

/// The real mount(8), in a namespace in which the helper is installed.
#[test]
fn mount_finds_it() {
    let scene = Scene::new();
    fs::create_dir(scene.path("sbin")).unwrap();
    fs::copy(
        env!("CARGO_BIN_EXE_mount-continuity"),
        scene.path("sbin/mount.continuity"),
    )
    .unwrap();
    let script = r#"
mount -t overlay helper -o "lowerdir=$PWD/sbin:$(readlink -f /sbin)" "$(readlink -f /sbin)"
is_mounted() { grep -q " $PWD/mount fuse.continuity " /proc/self/mounts; }

mount -t continuity "$PWD/manifest" mount -o "backing=$PWD/tree"
is_mounted
test "$(cat mount/file)" = content
umount mount
if is_mounted; then exit 1; fi

echo "$PWD/manifest $PWD/mount continuity backing=$PWD/tree,nofail,x-systemd.automount,allow_other 0 0" >fstab
mount -T "$PWD/fstab" "$PWD/mount"
is_mounted
test "$(cat mount/file)" = content
umount mount

status=0; mount -t continuity "$PWD/broken" mount -o "backing=$PWD/tree" 2>error || status=$?
test $status = 32
grep -q '^mount.continuity: .*/broken: ' error
status=0; mount -t continuity "$PWD/manifest" mount -o "bakcing=$PWD/tree" 2>error || status=$?
test $status = 1
if is_mounted; then exit 1; fi
"#;
    let output = Command::new("timeout")
        .args([
            "-s",
            "KILL",
            "30",
            "unshare",
            "--mount",
            "--propagation=private",
            "sh",
            "-exc",
            script,
        ])
        .current_dir(scene.0.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}

fn options_at(place: &Path) -> String {
    let what = [
        "-n".as_ref(),
        "-o".as_ref(),
        "OPTIONS".as_ref(),
        place.as_os_str(),
    ];
    run("findmnt", what).trim().to_owned()
}

#[test]
fn what_mounts_in_general_have_is_shown() {
    let scene = Scene::new();
    let place = scene.mountpoint();
    let list = "backing=tree,noatime,nodiratime,nosymfollow,noexec,max_read=65536,auto_unmount";
    scene.mounts(&["manifest", place.to_str().unwrap(), "-o", list]);
    let options = options_at(&place);
    for option in [
        "noatime",
        "nodiratime",
        "nosymfollow",
        "noexec",
        "max_read=65536",
    ] {
        let is_there = options.split(',').any(|found| found == option);
        assert!(is_there, "no {option} in {options}");
    }
    scene.unmount();
    // Nobody but root is let in when that is asked for.
    scene.mounts(&[
        "manifest",
        place.to_str().unwrap(),
        "-o",
        "backing=tree,allow_root",
    ]);
    assert!(!options_at(&place).contains("allow_other"));
    scene.unmount();
}

/// Without such a module the kernel knows no labels, and says so.
#[test]
fn labels_are_for_the_kernel() {
    let scene = Scene::new();
    let output = scene.help(&[
        "manifest",
        "mount",
        "-o",
        r#"backing=tree,context="a:b:c:s0:c1,c2""#,
    ]);
    assert_eq!(output.status.code(), Some(32), "{output:?}");
    // SELinux knows the option, and refuses the label without a word on it.
    let knows_it = Path::new("/sys/fs/selinux/enforce").exists();
    let said = text(&output.stderr);
    assert!(knows_it || said.contains("'context'"), "{output:?}");
}

#[test]
fn a_loop_device_is_refused() {
    let scene = Scene::new();
    let output = scene.help(&["manifest", "mount", "-o", "backing=tree,loop"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no image"), "{output:?}");
}

/// `set -e` does not heed what `!` says.
const NOT: &str = r#"not() { if "$@"; then exit 1; fi; }
"#;

/// Runs a script in a mount namespace of its own, in the directory of the scene.
fn apart(scene: &Scene, script: &str) {
    let output = Command::new("timeout")
        .args([
            "-s",
            "KILL",
            "60",
            "unshare",
            "--mount",
            "--propagation=private",
        ])
        .args(["bash", "-euxc", &format!("{NOT}{script}")])
        .env("HELPER", env!("CARGO_BIN_EXE_mount-continuity"))
        .env("CONTINUITY", env!("CARGO_BIN_EXE_continuity"))
        .current_dir(scene.0.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn without_the_device_the_system_is_to_blame() {
    apart(
        &Scene::new(),
        r#"
mount -t tmpfs dev /dev && mknod /dev/null c 1 3
status=0; "$HELPER" manifest mount -o backing=tree 2>error || status=$?
test $status = 2
grep -q '^mount.continuity: cannot open /dev/fuse' error
"#,
    );
}

/// The first argument can be the program's name, as mount.fuse3(8) has it; and the
/// program is the helper when it is called as one.
#[test]
fn it_has_many_names() {
    apart(
        &Scene::new(),
        r#"
mkdir bin
for name in mount.continuity mount.fuse.continuity mount.fuse3.continuity; do
    ln -s "$CONTINUITY" bin/$name
    env -i "$PWD/bin/$name" manifest mount -o rw,backing=tree
    test "$(cat mount/file)" = content
    umount mount
done
status=0; bin/mount.fuse.continuity broken mount -o backing=tree 2>error || status=$?
test $status = 32
env -i "$CONTINUITY" manifest mount -o rw,backing=tree -o dev,suid
test "$(cat mount/file)" = content
umount mount
"#,
    );
}

/// The real mount.fuse3(8), as containerd runs it, which waits until nobody has
/// standard output and error open.
#[test]
fn mount_fuse3_runs_it() {
    apart(
        &Scene::new(),
        r#"
mkdir bin; ln -s "$CONTINUITY" bin/continuity; export PATH="$PWD/bin:$PATH"
said=$(timeout 30 mount.fuse3 "$PWD/manifest" "$PWD/mount" -o "backing=$PWD/tree" -o noexec -t fuse.continuity 2>&1)
test "$(cat mount/file)" = content
findmnt -no OPTIONS mount | grep -q noexec
umount mount
timeout 30 mount.fuse3 "$PWD/manifest" "$PWD/mount" -o "backing=$PWD/tree,ro,default_permissions,allow_other,drop_privileges,fsname=x" -t fuse.continuity
test "$(cat mount/file)" = content
umount mount
status=0
timeout 30 mount.fuse3 "$PWD/manifest" "$PWD/mount" -o "backing=$PWD/tree,default_permissions,drop_privileges" -t fuse.continuity 2>error || status=$?
test $status != 0
grep -q 'mounted without ro' error
umount -l mount || true
"#,
    );
}

/// The namespace of another process is what mount(8) names.
#[test]
fn it_mounts_elsewhere() {
    apart(
        &Scene::new(),
        r#"
mkdir sbin; cp "$HELPER" sbin/mount.continuity
mount -t overlay helper -o "lowerdir=$PWD/sbin:$(readlink -f /sbin)" "$(readlink -f /sbin)"
mkfifo wait; unshare --mount --propagation=private sh -c 'echo $$ >pid; read x <wait' & other=$!
until test -s pid; do sleep 0.05; done
pid=$(cat pid)
trap 'kill $other' EXIT
mount -N $pid -t continuity "$PWD/manifest" "$PWD/mount" -o "backing=$PWD/tree"
not grep -q " $PWD/mount fuse.continuity " /proc/self/mounts
grep -q " $PWD/mount fuse.continuity " /proc/$pid/mounts
test "$(nsenter -m -t $pid cat "$PWD/mount/file")" = content
# The next worker finds its way there, too.
worker() {
    nsenter -m -t $pid "$CONTINUITY" mounts --json | grep -F "\"$PWD/mount\"" | sed 's/.*"worker":\([0-9]*\).*/\1/'
}
first=$(worker)
kill -s KILL $first
test "$(nsenter -m -t $pid cat "$PWD/mount/file")" = content
until test "$(worker || true)" != $first; do sleep 0.05; done
nsenter -m -t $pid umount "$PWD/mount"
echo >wait; wait $other
trap - EXIT
status=0; "$HELPER" manifest mount -N /dev/null -o backing=tree 2>error || status=$?
test $status = 32
grep -q 'mount namespace "/dev/null"' error
"#,
    );
}

/// A manifest that does not come keeps it waiting.
#[test]
fn who_is_interrupted_mounts_nothing() {
    apart(
        &Scene::new(),
        r#"
mkfifo slow
for signal in INT KILL; do
    "$HELPER" slow "$PWD/mount" -o backing=tree & helper=$!
    until pgrep -f "supervise slow $PWD/mount" >/dev/null; do sleep 0.05; done
    kill -s $signal $helper
    status=0; wait $helper || status=$?
    test $signal = KILL || test $status = 8
    for i in $(seq 200); do pgrep -f "supervise slow $PWD/mount" >/dev/null || break; sleep 0.05; done
    not pgrep -f "supervise slow $PWD/mount"
done
not grep -q " $PWD/mount " /proc/self/mounts
"#,
    );
}

#[test]
fn the_program_goes_to_the_background_itself() {
    apart(
        &Scene::new(),
        r#"
said=$(timeout 30 "$CONTINUITY" -q mount -d "$PWD/mount" manifest tree 2>&1)
test -z "$said"
test "$(cat mount/file)" = content
umount mount
"$CONTINUITY" -q mount --daemon mount - tree <manifest
test "$(cat mount/file)" = content
umount mount
status=0; "$CONTINUITY" mount --daemon mount broken tree 2>error || status=$?
test $status = 2
grep -q broken error
not grep -q " $PWD/mount " /proc/self/mounts
# The journal goes on reading.
exec 5>journal
JOURNAL_STREAM=$(stat -Lc %d:%i journal) "$CONTINUITY" mount -d "$PWD/mount" manifest tree 2>&5
not cat mount/tampered
umount mount
for i in $(seq 200); do grep -q unmounted journal && break; sleep 0.05; done
grep -q event=refused journal
"#,
    );
}

/// The supervisor has left the directory by then.
#[test]
fn workers_that_follow_find_what_the_first_one_found() {
    let scene = Scene::new();
    let digest = run("sha256sum", [scene.path("manifest")]);
    fs::write(scene.path("pins"), digest).unwrap();
    scene.mounts(&[
        "manifest",
        scene.mountpoint().to_str().unwrap(),
        "-o",
        "backing=tree,digest_file=pins,log=log",
    ]);
    let servers = |scene: &Scene| scene.servers().len();
    assert_eq!(servers(&scene), 2);
    let supervisor = scene
        .servers()
        .into_iter()
        .map(|process| {
            process
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .parse()
                .unwrap()
        })
        .find(|pid| child_of(*pid).is_some())
        .unwrap();
    let first = child_of(supervisor).unwrap();
    run("kill", ["-s", "KILL", &first.to_string()]);
    wait_until(
        || child_of(supervisor).is_some_and(|worker| worker != first),
        || fs::read_to_string(scene.path("log")).unwrap(),
    );
    assert!(fs::read(scene.path("mount/tampered")).is_err());
    let log = || fs::read_to_string(scene.path("log")).unwrap();
    wait_until(|| log().contains("event=refused"), log);
    assert!(!Path::new("/log").exists());
    scene.unmount();
}
