//! Readers by the thousand, and a server with few descriptors.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod mounted;
mod tree;

use std::fs;
use std::sync::Barrier;
use std::thread;

use mounted::{Mount, run};
use tree::{build, scratch};

const THREADS: usize = 10_000;
const FILES: usize = 2_000;
/// Of the caches, beside the 64 MiB that a server may take for itself.
const CACHES_KIB: u64 = (32 + 16) << 10;

/// All begin at the same moment, on files of which none has been read.
#[test]
fn ten_thousand_readers() {
    let scratch = scratch();
    let root = scratch.path().join("tree");
    fs::create_dir(&root).unwrap();
    let content = |number: usize| format!("file {number}\n").repeat(400).into_bytes();
    for number in 0..FILES {
        fs::write(root.join(number.to_string()), content(number)).unwrap();
    }
    let mount = Mount::new(&build(&scratch, &root, &[]), &root);
    run(
        "prlimit",
        ["--pid", &mount.pid().to_string(), "--nofile=1024:1024"],
    );
    let together = Barrier::new(THREADS);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (mount, together) = (&mount, &together);
            thread::Builder::new()
                .stack_size(64 << 10)
                .spawn_scoped(scope, move || {
                    together.wait();
                    // A stride that has no factor in common with their number.
                    let number = number * 7919 % FILES;
                    let found = fs::read(mount.join(number.to_string())).unwrap();
                    assert!(found == content(number), "file {number}");
                })
                .unwrap();
        }
    });
    let process = format!("/proc/{}", mount.pid());
    let open = fs::read_dir(format!("{process}/fd")).unwrap().count();
    assert!(open <= 256, "{open} descriptors");
    assert!(figure(&process, "Threads:") <= 32);
    let peak = figure(&process, "VmHWM:");
    assert!(peak <= (64 << 10) + CACHES_KIB, "{peak} KiB");
    assert!(mount.unmount().success());
}

/// A number of `/proc/PID/status`.
fn figure(process: &str, name: &str) -> u64 {
    let status = fs::read_to_string(format!("{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.unwrap().parse().unwrap()
}
