//! System calls of the worker fail, one kind after the other, at one place after the
//! other: readers get what was declared, or EIO, and soon; and all is well again
//! afterwards. strace(1) makes them fail, so `make sweep` runs this, and `make test`
//! does not.
//!
//! The worker has no sandbox here: strace puts the number -1 in the place of a call that
//! is to fail, for which seccomp would kill it.
//!
//! Not among them: failures of read(2) but for EINTR and EAGAIN, of which fuser ends; the
//! supervisor makes that good, five times in ten seconds.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod figures;
mod mounted;
mod tree;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use figures::{Dice, Run, amount, grouped};
use mounted::{Mount, in_time, wait_until};
use rustix::fs::Advice;
use tempfile::TempDir;
use tree::{build, continuity, scratch, text};

/// How a call goes wrong, in the words of strace.
const FAULTS: [(&str, &[&str]); 7] = [
    (
        "openat2",
        &[
            "error=EIO",
            "error=EINTR",
            "error=ENOMEM",
            "error=EMFILE",
            "error=ESTALE",
            "error=EAGAIN",
            "error=EACCES",
            "error=ENOENT",
        ],
    ),
    (
        "pread64",
        &[
            "error=EIO",
            "error=EINTR",
            "error=ENOMEM",
            "error=ESTALE",
            "error=EAGAIN",
            "retval=0",
            "retval=1",
            "delay_enter=200000",
        ],
    ),
    ("fstat", &["error=EIO", "error=ENOMEM", "error=ESTALE"]),
    ("read", &["error=EINTR", "error=EAGAIN"]),
    ("mmap", &["error=ENOMEM"]),
    ("madvise", &["error=EINVAL", "error=ENOMEM"]),
    ("fadvise64", &["error=EINVAL", "error=EIO"]),
];

struct Scene {
    _scratch: TempDir,
    files: Vec<(String, Vec<u8>)>,
    mount: Mount,
}

impl Scene {
    fn new() -> Self {
        Self::with("recovery=auto")
    }

    fn with(recovery: &str) -> Self {
        let scratch = scratch();
        let tree = scratch.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let mut dice = Dice(1);
        let sizes = [10, 6000, 100_000, 300_000, 2_500_000, 20, 9000];
        let files: Vec<_> = sizes
            .iter()
            .enumerate()
            .map(|(number, size)| (number.to_string(), dice.bytes(*size)))
            .collect();
        for (name, content) in &files {
            fs::write(tree.join(name), content).unwrap();
        }
        // Some of them are hashed in full first, and some in chunks.
        let manifest = build(&scratch, &tree, &["--chunk-threshold=2600000"]);
        let options = "sandbox=off,block_cache=0,table_cache=0,open_files=1";
        let mount = Mount::with(&manifest, &tree, &["-o", options, "-o", recovery]);
        Self {
            _scratch: scratch,
            files,
            mount,
        }
    }

    /// Reads all files, of which the kernel shall have nothing; how many were refused.
    fn read_all(&self) -> usize {
        let read = |path: PathBuf, size: usize| -> io::Result<Vec<u8>> {
            let file = File::open(path)?;
            rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
            let mut bytes = vec![0; size];
            file.read_exact_at(&mut bytes, 0).map(|()| bytes)
        };
        let mut refused = 0;
        for (name, content) in &self.files {
            match read(self.mount.join(name), content.len()) {
                Ok(bytes) => assert!(bytes == *content, "wrong bytes of {name}"),
                Err(error) => {
                    assert_eq!(error.raw_os_error(), Some(5), "{name}");
                    refused += 1;
                }
            }
        }
        refused
    }
}

/// A tracer, which lets go when this is dropped.
struct Tracer(Child);

impl Tracer {
    fn attach(pid: u32, call: &str, fault: &str, first: u64) -> Self {
        // Of replies only one of each thread is lost: it takes five seconds to be missed.
        let again = if call == "writev" { "" } else { "+5" };
        let child = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-p", &pid.to_string()])
            .args(["-e", &format!("trace={call}")])
            .args(["-e", &format!("inject={call}:{fault}:when={first}{again}")])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let tracer = Self(child);
        let is_traced = || {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
            tasks.flatten().all(|task| {
                let status = fs::read_to_string(task.path().join("status"));
                status.map_or(true, |status| !status.contains("TracerPid:\t0\n"))
            })
        };
        wait_until(is_traced, || "strace traces nothing".to_owned());
        tracer
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let pid = self.0.id().to_string();
        let _ = Command::new("kill").args(["-s", "INT", &pid]).status();
        let _ = self.0.wait();
    }
}

/// A reply that cannot be written is asked for again, for nobody would get it.
#[test]
#[ignore = "needs strace, and minutes: make sweep"]
fn a_lost_reply_comes_again() {
    let scene = Scene::new();
    let worker = scene.mount.worker();
    let tracer = Tracer::attach(worker, "writev", "error=ENOMEM", 1);
    in_time("a lost reply", || {
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| scene.read_all());
            // What comes again is to be answered.
            scene.mount.wait_for("Failed to send FUSE reply");
            drop(tracer);
            assert_eq!(reader.join().unwrap(), 0);
        });
    });
    scene.mount.wait_for("event=lost requests=1 total=1 ");
    let metrics = || {
        let path = scene.mount.path().to_str().unwrap();
        text(&continuity(["mounts", "--metrics", path]).stdout)
    };
    let is_told = || metrics().contains("continuity_requests_lost_total 1\n");
    wait_until(is_told, metrics);
    assert_eq!(scene.mount.worker(), worker, "{}", scene.mount.log());
    assert!(scene.mount.unmount().success());
}

/// Where it cannot be asked for again, whoever waits gets an error, as when the worker
/// dies.
#[test]
#[ignore = "needs strace, and minutes: make sweep"]
fn a_lost_reply_that_cannot_come_again_is_an_error() {
    let scene = Scene::with("recovery=remount");
    let worker = scene.mount.worker();
    let tracer = Tracer::attach(worker, "writev", "error=ENOMEM", 1);
    in_time("a lost reply", || {
        std::thread::scope(|scope| {
            let path = scene.mount.join(&scene.files[0].0);
            let reader = scope.spawn(move || fs::read(path));
            scene.mount.wait_for("Failed to send FUSE reply");
            drop(tracer);
            reader.join().unwrap().unwrap_err();
        });
    });
    scene.mount.wait_for("event=lost requests=1 total=1 ");
    let (name, content) = &scene.files[0];
    wait_until(
        || fs::read(scene.mount.join(name)).is_ok_and(|found| found == *content),
        || scene.mount.log(),
    );
    assert_ne!(scene.mount.worker(), worker);
    assert!(scene.mount.unmount().success());
}

/// The same of a mount that a plain user has made, whom fusectl tells of it in its usual
/// place, and of one in a namespace of his.
const OF_A_USER: &str = r#"
nobody="setpriv --reuid 65534 --regid 65534 --clear-groups"
mknod -m 666 fuse c 10 229
mount --bind fuse /dev/fuse
mount -t fusectl fusectl /sys/fs/fuse/connections
mkdir tree mount
head -c 100000 /dev/urandom >tree/file
chown 65534 . tree mount
"$CONTINUITY" build -o manifest tree
cp "$CONTINUITY" continuity
chmod 755 continuity
chmod 644 manifest
trap 'cat log' EXIT
for how in "" "unshare --user --map-root-user --mount"; do
    $nobody $how ./continuity mount -o sandbox=off,block_cache=0 mount manifest tree 2>log & server=$!
    until grep 'INFO  mounted' log; do kill -0 $server; sleep 0.05; done
    as_user=$nobody
    [ -z "$how" ] || as_user="nsenter --user --mount --wdns=$PWD -S 0 -G 0 -t $server"
    until worker=$(cat /proc/$server/task/$server/children) && [ -n "$worker" ]; do sleep 0.05; done
    strace -f -qq -o trace -p $worker -e trace=writev -e inject=writev:error=ENOMEM:when=1 & tracer=$!
    while grep -h '^TracerPid:.0$' /proc/${worker% }/task/*/status; do sleep 0.05; done
    $as_user cat mount/file >read & reader=$!
    until grep 'Failed to send FUSE reply' log; do kill -0 $reader; sleep 0.05; done
    kill -s INT $tracer
    wait $tracer || true
    wait $reader
    cmp read tree/file
    grep 'event=lost requests=[1-9]' log
    kill -s TERM $server
    wait $server
done
trap - EXIT
"#;

#[test]
#[ignore = "needs strace, and minutes: make sweep"]
fn a_lost_reply_of_a_users_mount_comes_again() {
    let scratch = scratch();
    let apart = [
        "-s",
        "KILL",
        "120",
        "unshare",
        "--mount",
        "--propagation=private",
    ];
    let output = Command::new("timeout")
        .args(apart)
        // All processes of a namespace go with its first one.
        .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
        .args(["sh", "-euxc", OF_A_USER])
        .current_dir(scratch.path())
        .env("CONTINUITY", env!("CARGO_BIN_EXE_continuity"))
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
}

#[test]
#[ignore = "needs strace, and minutes: make sweep"]
fn every_call_fails_in_turn() {
    let run = Run::begin("failing system calls of the worker, by strace");
    let places = amount(50, 1);
    let scene = Scene::new();
    assert_eq!(scene.read_all(), 0);
    let worker = scene.mount.worker();
    let (mut cases, mut refused) = (0_u64, 0_u64);
    for (call, faults) in FAULTS {
        for fault in faults {
            let mut of_fault = 0;
            for first in 1..=places {
                let name = format!("{call} {fault} {first}");
                let tracer = Tracer::attach(worker, call, fault, first);
                of_fault += in_time(&name, || scene.read_all());
                drop(tracer);
                cases += 1;
                assert_eq!(
                    in_time(&name, || scene.read_all()),
                    0,
                    "{name}: not well again"
                );
            }
            println!("{call} {fault}: {of_fault} reads of {places} x 7 refused");
            refused += of_fault as u64;
        }
    }
    assert_eq!(scene.mount.worker(), worker, "{}", scene.mount.log());
    assert!(scene.mount.unmount().success());
    run.tell(format!(
        "{} cases: {} reads refused with EIO, no wrong byte, none waits, the worker lives",
        grouped(cases),
        grouped(refused)
    ));
}
