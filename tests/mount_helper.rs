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

use mounted::{in_time, mounts_at, run, wait_until};
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
        assert_eq!(fs::read_link(server.join("cwd")).unwrap(), Path::new("/"));
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
        "event=refused reason=digest_mismatch path=\"/tampered\" off=0 len=6 want=sha256:",
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
            "cannot be remounted",
        ),
        (
            &["manifest", "mount", "-o", "remount,rw,backing=tree"],
            32,
            "cannot be remounted",
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
! is_mounted

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
! is_mounted
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
