//! What is left to the process that looks after a mount: the kernel is asked for each of
//! its threads, and the calls that it must not make are made.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod mounted;
mod tree;

use std::fs;
use std::io;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;

use continuity::sandbox::{self, Mode, Supervision};
use mounted::{Mount, child_of, run, wait_until};
use raw_syscall::syscall;
use rustix::io::Errno;
use tempfile::TempDir;
use tree::{build, continuity, scratch, set_mode, text};

const DAC_OVERRIDE: u64 = 1 << 1;
const DAC_READ_SEARCH: u64 = 1 << 2;
const SETPCAP: u64 = 1 << 8;
const SYS_CHROOT: u64 = 1 << 18;
const SYS_ADMIN: u64 = 1 << 21;
/// What every supervisor of root keeps.
const KEPT: u64 = DAC_READ_SEARCH | SETPCAP | SYS_CHROOT | SYS_ADMIN;

struct Scene {
    scratch: TempDir,
    backing: PathBuf,
    manifest: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let scratch = scratch();
        let backing = scratch.path().join("backing");
        fs::create_dir(&backing).unwrap();
        fs::write(backing.join("file"), "content").unwrap();
        let manifest = build(&scratch, &backing, &[]);
        Self {
            scratch,
            backing,
            manifest,
        }
    }

    fn mount(&self, options: &str) -> Mount {
        Mount::with(&self.manifest, &self.backing, &["-v", "-o", options])
    }

    /// Another manifest, with another file.
    fn grow(&self) {
        fs::write(self.backing.join("second"), "more").unwrap();
        build(&self.scratch, &self.backing, &[]);
    }
}

fn reads(mount: &Mount, name: &str) -> String {
    fs::read_to_string(mount.join(name)).unwrap()
}

/// Kills who serves, and waits for the next one.
fn kill_worker(mount: &Mount) {
    let before = mount.worker();
    mount.signal_worker("KILL");
    let is_another = || child_of(mount.pid()).is_some_and(|worker| worker != before);
    wait_until(is_another, || mount.log());
    assert_eq!(reads(mount, "file"), "content");
}

/// A field of a thread's status.
fn field(status: &str, name: &str) -> String {
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_once(':').unwrap().1.trim().to_owned()
}

/// Looks at all threads of a supervisor that has mounted, and gives their names.
fn threads(mount: &Mount, capabilities: u64) -> Vec<String> {
    let pid = mount.pid();
    let mut names = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let path = thread.unwrap().path();
        // One may have ended meanwhile.
        let Ok(status) = fs::read_to_string(path.join("status")) else {
            continue;
        };
        let name = field(&status, "Name");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            let has = u64::from_str_radix(&field(&status, set), 16).unwrap();
            let may = match set {
                "CapInh" | "CapAmb" => 0,
                _ => capabilities,
            };
            assert_eq!(has, may, "{set} of {name}");
        }
        assert_eq!(field(&status, "NoNewPrivs"), "1", "{name}");
        // 2: filters.
        assert_eq!(field(&status, "Seccomp:"), "2", "{name}");
        names.push(name);
    }
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core"));
    let core: Vec<_> = core.unwrap().split_whitespace().skip(4).collect();
    assert_eq!(core[..2], ["0", "0"]);
    // Another process of the user sees nothing of it without CAP_SYS_PTRACE.
    let peek = Command::new("setpriv")
        .args(["--bounding-set", "-sys_ptrace", "readlink"])
        .arg(format!("/proc/{pid}/exe"))
        .output()
        .unwrap();
    assert_eq!(
        (peek.status.code(), text(&peek.stdout).as_str()),
        (Some(1), "")
    );
    names
}

/// Whether there is the thread that mounts.
fn has_mounter(mount: &Mount) -> bool {
    let tasks = fs::read_dir(format!("/proc/{}/task", mount.pid())).unwrap();
    tasks.flatten().any(|task| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name == "mounter\n")
    })
}

#[test]
fn no_thread_has_more_than_it_needs() {
    let scene = Scene::new();
    let mount = scene.mount("recovery=auto");
    assert_eq!(reads(&mount, "file"), "content");
    wait_until(|| !has_mounter(&mount), || "it goes on".to_owned());
    let names = threads(&mount, KEPT);
    assert!(names.len() > 4, "{names:?}");
    let told = "supervisor sandbox=required process=full(no_new_privs, not dumpable) \
                capabilities=full(cap_dac_read_search and cap_setpcap and cap_sys_admin and cap_sys_chroot) \
                seccomp=full(";
    assert!(mount.log().contains(told), "{}", mount.log());

    // All that it does goes on.
    kill_worker(&mount);
    scene.grow();
    let output = continuity(["remount".as_ref(), mount.path()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(reads(&mount, "second"), "more");
    kill_worker(&mount);
    run(
        "mount",
        ["-i", "-o", "remount,rw", mount.path().to_str().unwrap()],
    );
    mount.wait_for("it is read-only again");
    threads(&mount, KEPT);

    let output = text(&continuity(["mounts", "--json"]).stdout);
    let place = format!("\"{}\"", mount.path().display());
    let status = output.lines().find(|line| line.contains(&place)).unwrap();
    let status: serde_json::Value = serde_json::from_str(status).unwrap();
    let layers = status["supervisor"]["layers"].as_array().unwrap();
    let states = layers
        .iter()
        .map(|layer| (layer["layer"].as_str(), layer["state"].as_str()));
    let full = |layer| (Some(layer), Some("full"));
    let all = ["process", "capabilities", "seccomp"].map(full);
    assert!(states.eq(all), "{status}");
    assert!(mount.unmount().success());
}

/// There the thread that mounts has to stay.
#[test]
fn a_mount_that_is_made_anew() {
    let scene = Scene::new();
    let mut mount = scene.mount("recovery=remount");
    threads(&mount, KEPT);
    assert!(has_mounter(&mount));
    for _ in 0..3 {
        let before = mount.worker();
        mount.signal_worker("KILL");
        let is_there = || {
            child_of(mount.pid()).is_some_and(|worker| worker != before)
                && fs::read(mount.join("file")).is_ok_and(|content| content == b"content")
        };
        wait_until(is_there, || mount.log());
    }
    threads(&mount, KEPT);
    mount.signal("TERM");
    assert!(mount.wait().success());
}

/// What a worker needs that is started later: a log that is not root's, and a program
/// that only its owner may run.
#[test]
fn what_only_root_can_write_to_or_run() {
    let scene = Scene::new();
    let theirs = scene.scratch.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    let (log, program) = (theirs.join("log"), theirs.join("program"));
    fs::copy(env!("CARGO_BIN_EXE_continuity"), &program).unwrap();
    set_mode(&program, 0o700);
    set_mode(&theirs, 0o755);
    let chown = [&theirs, &program].map(|path| path.to_str().unwrap().to_owned());
    run("chown", std::iter::once("65534".to_owned()).chain(chown));
    let start = |program: &str, options: &str| {
        let place = scratch();
        let path = place.path().join("mount");
        fs::create_dir(&path).unwrap();
        Mount::start_at(place, path, |path| {
            let mut command = Command::new(program);
            command
                .args(["mount", "-o", options])
                .args([path, &scene.manifest, &scene.backing]);
            command
        })
    };
    let log_option = format!("log={}", log.display());
    let ours = env!("CARGO_BIN_EXE_continuity");
    for (program, options) in [
        (ours, &*log_option),
        (program.to_str().unwrap(), "allow_other"),
    ] {
        let mount = start(program, options);
        let log = || mount.log() + &fs::read_to_string(&log).unwrap_or_default();
        wait_until(
            || log().contains("INFO  mounted") && !has_mounter(&mount),
            log,
        );
        threads(&mount, KEPT | DAC_OVERRIDE);
        // Somebody has taken the log away.
        let path = theirs.join("log");
        let _ = fs::remove_file(&path);
        let is_log = options == log_option;
        kill_worker(&mount);
        wait_until(|| path.exists() == is_log, || "no log".to_owned());
        assert!(mount.unmount().success());
    }
    // Where root is the owner, nothing is overridden.
    let mount = start(ours, &format!("log={}/log", scene.scratch.path().display()));
    wait_until(
        || mount.is_mounted() && !has_mounter(&mount),
        || mount.log(),
    );
    threads(&mount, KEPT);
}

#[test]
fn without_a_sandbox_it_is_as_it_was() {
    let scene = Scene::new();
    let mount = scene.mount("sandbox=off");
    mount.wait_for("supervisor sandbox=off");
    let status = fs::read_to_string(format!("/proc/{}/status", mount.pid())).unwrap();
    assert_eq!(field(&status, "Seccomp:"), "0");
    let ours = fs::read_to_string("/proc/self/status").unwrap();
    assert_eq!(field(&status, "CapEff"), field(&ours, "CapEff"));
}

/// Makes a call with arguments by which nothing can be done.
fn call(number: i64) -> Option<Errno> {
    let error = syscall(number, &[usize::MAX; 6]).err();
    error.as_ref().and_then(Errno::from_io_error)
}

#[test]
fn what_it_never_does_fails() {
    let forbidden = sandbox::forbidden(&Supervision::default()).unwrap();
    assert!(forbidden.len() > 30);
    for (name, number) in &forbidden {
        // Those may be of this process, or are forbidden in one form alone.
        if !["ptrace", "mount", "socket"].contains(name) {
            assert_ne!(call(*number), Some(Errno::PERM), "{name}");
        }
    }
    let confined = std::thread::spawn(move || {
        sandbox::supervise(&Supervision::default(), Mode::Required).unwrap();
        for (name, number) in &forbidden {
            let denied = match *name {
                "mount" => syscall(*number, &[0; 5])
                    .err()
                    .and_then(|error| Errno::from_io_error(&error)),
                _ => call(*number),
            };
            assert_eq!(denied, Some(Errno::PERM), "{name}");
        }
        let inet = UdpSocket::bind("127.0.0.1:0").unwrap_err();
        assert_eq!(inet.kind(), io::ErrorKind::PermissionDenied);
        UnixDatagram::unbound().unwrap();
        // To make a mount read-only again.
        let again = syscall(libc::SYS_mount, &[0, 0, 0, libc::MS_REMOUNT as usize, 0]);
        let again = again.unwrap_err();
        assert_eq!(Errno::from_io_error(&again), Some(Errno::FAULT));
    });
    confined.join().unwrap();
}

/// The list in docs/security.md is the one that the filter is made of.
#[test]
fn what_is_forbidden_is_documented() {
    let document = fs::read_to_string("docs/security.md").unwrap();
    for (name, _) in sandbox::forbidden(&Supervision::default()).unwrap() {
        let (_, section) = document
            .split_once("## The process that looks after")
            .unwrap();
        assert!(section.contains(&format!("`{name}`")), "{name}");
    }
}
