//! The program, mounted for real. Where it cannot mount the test fails; nothing
//! is skipped.
#![allow(
    dead_code,
    clippy::indexing_slicing,
    reason = "each test file takes what it needs, and a test fails by panicking"
)]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything that should happen at once may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A mount, and the process that serves it in the foreground. Both are gone
/// when this is dropped.
pub struct Mount {
    server: Child,
    path: PathBuf,
    log: PathBuf,
    scratch: TempDir,
}

impl Mount {
    /// Mounts a manifest over a backing directory, and waits until it answers.
    pub fn new(manifest: &Path, backing: &Path) -> Self {
        Self::with(manifest, backing, &[])
    }

    /// The same with more arguments.
    pub fn with(manifest: &Path, backing: &Path, arguments: &[&str]) -> Self {
        let mount = Self::start(manifest, backing, arguments);
        mount.wait_for("INFO  mounted");
        mount
    }

    /// Starts the program and does not wait.
    pub fn start(manifest: &Path, backing: &Path, arguments: &[&str]) -> Self {
        let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = scratch.path().join("mount");
        fs::create_dir(&path).unwrap();
        Self::start_at(scratch, path, |path| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_continuity"));
            command
                .args(["mount", "--fuse"])
                .args(arguments)
                .args([path, manifest, backing]);
            command
        })
    }

    /// Starts a command that mounts at a path, and does not wait. Its log goes
    /// to a directory that is gone afterwards.
    pub fn start_at(
        scratch: TempDir,
        path: PathBuf,
        command: impl FnOnce(&Path) -> Command,
    ) -> Self {
        let log = scratch.path().join("log");
        let server = command(&path)
            .stderr(File::create(&log).unwrap())
            .env_remove("RUST_LOG")
            .spawn()
            .unwrap();
        Self {
            server,
            path,
            log,
            scratch,
        }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path below the mountpoint.
    pub fn join(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.path.join(relative)
    }

    /// The process that mounted it and looks after it.
    pub fn pid(&self) -> u32 {
        self.server.id()
    }

    /// The process that serves it.
    pub fn worker(&self) -> u32 {
        let mut worker = None;
        wait_until(
            || {
                worker = child_of(self.pid());
                worker.is_some()
            },
            || format!("no worker:\n{}", self.log()),
        );
        worker.unwrap()
    }

    /// Sends a signal by its name to the process that serves it.
    pub fn signal_worker(&self, name: &str) {
        run("kill", ["-s", name, &self.worker().to_string()]);
    }

    /// Ends the process that serves it by a signal, and waits for the next one.
    pub fn replace_worker(&self, signal: &str) {
        let before = self.worker();
        run("kill", ["-s", signal, &before.to_string()]);
        self.wait_for_another(before);
    }

    /// Waits until another process than this one serves it.
    pub fn wait_for_another(&self, before: u32) {
        wait_until(
            || child_of(self.pid()).is_some_and(|worker| worker != before),
            || format!("no other worker:\n{}", self.log()),
        );
    }

    /// What is listed of it.
    pub fn status(&self) -> Value {
        let program = env!("CARGO_BIN_EXE_continuity");
        let lines = in_time("mounts", || run(program, ["mounts", "--json"]));
        let place = self.path.to_str().unwrap();
        let objects = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut ours = objects.filter(|object| object["mountpoint"] == place);
        let found = ours.next();
        assert!(ours.next().is_none(), "{place} is listed twice:\n{lines}");
        found.unwrap_or_else(|| panic!("{place} is not listed:\n{lines}"))
    }

    /// Kills whoever looks after it and whoever serves it.
    pub fn kill(&mut self) {
        let worker = self.worker();
        self.signal("KILL");
        run("kill", ["-s", "KILL", &worker.to_string()]);
        self.wait();
        // It is nobody's child any more, and gone when nobody knows it.
        wait_until(
            || !Path::new(&format!("/proc/{worker}/exe")).exists(),
            || "the worker goes on".to_owned(),
        );
    }

    /// What was logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until a text is in the log.
    pub fn wait_for(&self, text: &str) {
        wait_until(
            || self.log().contains(text),
            || format!("{text:?} is not in the log:\n{}", self.log()),
        );
    }

    /// Sends a signal by its name to the process that serves it.
    pub fn signal(&self, name: &str) {
        run(
            "kill",
            [
                OsStr::new("-s"),
                name.as_ref(),
                self.pid().to_string().as_ref(),
            ],
        );
    }

    /// Unmounts it from outside and waits for the process to end.
    pub fn unmount(mut self) -> ExitStatus {
        run("umount", [&self.path]);
        self.wait()
    }

    /// Waits for the process to end.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until(
            || {
                status = self.server.try_wait().unwrap();
                status.is_some()
            },
            || "the server goes on".to_owned(),
        );
        status.unwrap()
    }

    /// Whether anything of ours is mounted at the place.
    pub fn is_mounted(&self) -> bool {
        mounts_at(&self.path)
            .iter()
            .any(|kind| kind == "fuse.continuity")
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        while !mounts_at(&self.path).is_empty() {
            let done = Command::new("umount").arg("-l").arg(&self.path).output();
            if !done.is_ok_and(|output| output.status.success()) {
                break;
            }
        }
        // It would serve those who still use the mount.
        if let Some(worker) = child_of(self.pid()) {
            let worker = worker.to_string();
            let _ = self.server.kill();
            let _ = Command::new("kill").args(["-s", "KILL", &worker]).output();
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Runs what must not hang. What does is freed by the end of all processes that
/// this one started, and fails.
pub fn in_time<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let (say, hear) = mpsc::channel();
        scope.spawn(move || say.send(work()));
        hear.recv_timeout(PATIENCE).unwrap_or_else(|error| {
            if error == mpsc::RecvTimeoutError::Timeout {
                kill_children();
            }
            panic!("{name}: {error}")
        })
    })
}

/// The child of a process, if it has one that is alive.
pub fn child_of(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    let children = children.split_whitespace().map(|pid| pid.parse().unwrap());
    children
        .into_iter()
        // One that has ended leads nowhere.
        .find(|pid| fs::read_link(format!("/proc/{pid}/exe")).is_ok())
}

fn kill_children() {
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let children = fs::read_to_string(task.unwrap().path().join("children"));
        for child in children.unwrap_or_default().split_whitespace() {
            let _ = Command::new("kill").args(["-s", "KILL", child]).output();
        }
    }
}

/// The types of all filesystems mounted at a place.
pub fn mounts_at(path: &Path) -> Vec<String> {
    let path = path.to_str().unwrap();
    fs::read_to_string("/proc/self/mounts")
        .unwrap()
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            (fields.next() == Some(path)).then(|| fields.next().unwrap().to_owned())
        })
        .collect()
}

/// Waits until something holds; says what does not otherwise.
pub fn wait_until(mut holds: impl FnMut() -> bool, complaint: impl FnOnce() -> String) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{}", complaint());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Reads so many bytes of a file that the kernel may not have.
pub fn read_cold(path: &Path, size: usize) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    read_exact(&file, size)
}

/// Reads so many bytes of a file past what the kernel has.
pub fn read_directly(path: &Path, size: usize) -> io::Result<Vec<u8>> {
    let flags = rustix::fs::OFlags::DIRECT.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    read_exact(&file, size)
}

fn read_exact(file: &File, size: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, 0).map(|()| bytes)
}

/// How many times as much as usual, from the environment (`make endure`).
pub fn endurance() -> u64 {
    let factor = std::env::var("CONTINUITY_ENDURE");
    factor.map_or(1, |factor| factor.parse().unwrap())
}

/// Runs a program that must succeed, and gives what it printed.
pub fn run<A: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = A>) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What the worker of a mount with `introspect` has counted of private copies: `made`,
/// `bytes`, `failed`, `opens` or `evicted`.
pub fn copies_counted(place: &Path, what: &str) -> u64 {
    let mut value = [0; 256];
    let length = rustix::fs::getxattr(place, "user.continuity.copies", &mut value).unwrap();
    let counters = std::str::from_utf8(&value[..length]).unwrap();
    let mut counters = counters.split(' ');
    let counter = counters.find_map(|counter| counter.strip_prefix(&format!("{what}=")));
    counter.unwrap().parse().unwrap()
}
