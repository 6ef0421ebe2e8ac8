//! The sandbox from outside: what the kernel says of the process that serves a
//! mount. What it can still do is tried in `sandbox.rs`, from within.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod mounted;
mod tree;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use mounted::{Mount, wait_until};
use tree::{build, continuity, scratch, set_mode, text};

const DAC_READ_SEARCH: u64 = 1 << 2;
const SYS_ADMIN: u64 = 1 << 21;

/// The process that serves, of which the one that was started is the supervisor.
fn worker(mount: &Mount) -> u32 {
    let children = format!("/proc/{0}/task/{0}/children", mount.pid());
    let read = || fs::read_to_string(&children).unwrap();
    wait_until(|| !read().trim().is_empty(), || "no worker".to_owned());
    let pids = read();
    let mut pids = pids.split_whitespace();
    let pid = pids.next().unwrap().parse().unwrap();
    assert_eq!(pids.next(), None, "more than one worker");
    pid
}

/// A field of a thread's status.
fn field(status: &str, name: &str) -> String {
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_once(':').unwrap().1.trim().to_owned()
}

fn scene() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let scratch = scratch();
    let backing = scratch.path().join("backing");
    fs::create_dir(&backing).unwrap();
    fs::write(backing.join("file"), "content").unwrap();
    fs::write(backing.join("large"), vec![7; 3 << 20]).unwrap();
    let manifest = build(&scratch, &backing, &[]);
    (scratch, backing, manifest)
}

fn assert_confined(pid: u32, capabilities: u64, root: &Path) {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let mut seen = 0;
    for thread in threads {
        let path = thread.unwrap().path();
        let status = fs::read_to_string(path.join("status")).unwrap();
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            let has = u64::from_str_radix(&field(&status, set), 16).unwrap();
            let may = match set {
                "CapInh" | "CapAmb" => 0,
                _ => capabilities,
            };
            assert_eq!(has, may, "{set} of {path:?}");
        }
        assert_eq!(field(&status, "NoNewPrivs"), "1");
        // 2: filters.
        assert_eq!(field(&status, "Seccomp:"), "2", "{path:?}");
        seen += 1;
    }
    // Those that were made later are inside as well.
    assert!(seen > 3, "{seen} threads");
    for place in ["root", "cwd"] {
        let found = fs::read_link(format!("/proc/{pid}/{place}")).unwrap();
        assert_eq!(found, root, "{place}");
    }
    assert_eq!(limit(pid, "Max core file size"), ["0", "0"]);
}

/// A limit of a process, now and at the most.
fn limit(pid: u32, name: &str) -> [String; 2] {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let mut lines = limits.lines();
    let values = lines.find_map(|line| line.strip_prefix(name)).unwrap();
    let mut values = values.split_whitespace().map(str::to_owned);
    [values.next().unwrap(), values.next().unwrap()]
}

/// What the process has open, without what it reads of the backing.
fn open(pid: u32, backing: &Path) -> Vec<String> {
    let mut open: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .filter(|link| link.parent() != Some(backing))
        .map(|link| link.to_str().unwrap().to_owned())
        .map(|link| match link.split_once(':') {
            Some((kind, _)) if !link.starts_with('/') => kind.to_owned(),
            _ => link,
        })
        .collect();
    open.sort();
    open.dedup();
    open
}

#[test]
fn a_worker_has_one_capability_and_only_what_it_was_given() {
    let (scratch, backing, manifest) = scene();
    // By accident open in whoever mounts, and not closed when it starts others.
    let secret = fs::File::create(scratch.path().join("secret")).unwrap();
    rustix::io::fcntl_setfd(&secret, rustix::io::FdFlags::empty()).unwrap();
    let mount = Mount::with(&manifest, &backing, &["-v"]);
    assert_eq!(fs::read_to_string(mount.join("file")).unwrap(), "content");
    assert_eq!(fs::read(mount.join("large")).unwrap().len(), 3 << 20);
    let pid = worker(&mount);
    let backing = backing.canonicalize().unwrap();
    assert_confined(pid, DAC_READ_SEARCH, &backing);
    for path in open(pid, &backing) {
        let known = ["/dev/fuse", "/dev/null", "socket", "pipe", "anon_inode"];
        let is_known = known.contains(&&*path)
            || Path::new(&path) == backing
            || path.ends_with("/log")
            || path.ends_with("/manifest");
        assert!(is_known, "{path} is open");
    }
    let log = mount.log();
    for layer in [
        "descriptors",
        "process",
        "root",
        "landlock",
        "capabilities",
        "seccomp",
    ] {
        assert!(log.contains(&format!(" {layer}=full(")), "{layer}: {log}");
    }
}

#[test]
fn copies_take_one_capability_more() {
    let (scratch, backing, manifest) = scene();
    let cache = scratch.path().join("cache");
    fs::create_dir(&cache).unwrap();
    set_mode(&cache, 0o700);
    let options = format!("cache_dir={},cache_max=64M", cache.display());
    let mount = Mount::with(&manifest, &backing, &["-v", "-o", &options]);
    assert_eq!(fs::read(mount.join("large")).unwrap().len(), 3 << 20);
    let capabilities = DAC_READ_SEARCH | SYS_ADMIN;
    assert_confined(worker(&mount), capabilities, Path::new("/"));
    mount.wait_for(" root=partial(");
}

/// A mount whose log is no file that would have to grow.
fn with_a_pipe(manifest: &Path, backing: &Path) -> Mount {
    let scratch = scratch();
    let path = scratch.path().join("mount");
    fs::create_dir(&path).unwrap();
    let pipe = scratch.path().join("pipe");
    let mount = Mount::start_at(scratch, path, |path| {
        let mut command = Command::new("sh");
        // Who writes the log down is no child of the supervisor.
        command
            .args(["-euc", r#"mkfifo "$0"; (cat "$0" >&2 &); exec "$@" 2>"$0""#])
            .arg(pipe)
            .args([env!("CARGO_BIN_EXE_continuity"), "mount", "--fuse"])
            .args([path, manifest, backing]);
        command
    });
    mount.wait_for("INFO  mounted");
    mount
}

/// No file can grow by what a worker writes, not even when it numbers the inodes of
/// another manifest, of which there are many here.
#[test]
fn a_worker_that_reads_another_manifest_writes_no_files() {
    let (scratch, backing, manifest) = scene();
    let mount = with_a_pipe(&manifest, &backing);
    let confined = || {
        let pid = worker(&mount);
        // Before it has threads it may still be about to give up what it has.
        let threads = || fs::read_dir(format!("/proc/{pid}/task")).unwrap().count();
        wait_until(|| threads() > 3, || mount.log());
        assert_confined(pid, DAC_READ_SEARCH, &backing.canonicalize().unwrap());
        assert_eq!(limit(pid, "Max file size"), ["0", "0"]);
        pid
    };
    let mut pid = confined();
    for number in 0..5000 {
        fs::write(backing.join(format!("file {number}")), "").unwrap();
    }
    let inode = || fs::metadata(mount.join("file")).unwrap().ino();
    let before = inode();
    for round in 0..2 {
        fs::write(backing.join("comes"), format!("{round}")).unwrap();
        build(&scratch, &backing, &[]);
        let output = continuity(["remount".as_ref(), mount.path()]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(
            fs::read(mount.join("comes")).unwrap(),
            format!("{round}").as_bytes()
        );
        assert_eq!(inode(), before);
        let next = confined();
        assert_ne!(next, pid);
        // Who takes over has the numbers in a file that nobody can write to.
        mount.signal_worker("KILL");
        mount.wait_for_another(next);
        assert_eq!(inode(), before);
        pid = confined();
        assert_ne!(pid, next);
    }
    assert!(mount.unmount().success());
}

#[test]
fn a_worker_without_a_sandbox_says_so() {
    let (_scratch, backing, manifest) = scene();
    let mount = Mount::with(&manifest, &backing, &["-v", "-o", "sandbox=off"]);
    assert_eq!(fs::read_to_string(mount.join("file")).unwrap(), "content");
    mount.wait_for("sandbox=off");
    let status = fs::read_to_string(format!("/proc/{}/status", worker(&mount))).unwrap();
    assert_eq!(field(&status, "Seccomp:"), "0");
}
