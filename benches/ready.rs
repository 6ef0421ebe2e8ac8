//! What mount(8) waits for: from the start of its helper until that has returned and
//! somebody has looked; and what the two processes take from then on.
//!
//! `cargo bench --bench ready -- --rounds N`; `--write FILE` puts the table into a
//! document. It mounts as mount(8) does, so it needs root.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark fails by panicking"
)]

mod common;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::arguments::number;
use common::report::Report;
use common::{machine, many, median, memory, timed};
use continuity::digest::Algorithm;

const FILES: [u64; 3] = [1, 10_000, 1_000_000];
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let rounds = number("--rounds", 9);
    let mut report = Report::new("ready");
    report.line(machine::describe(common::scratch().path()));
    report.line(format!("medians of {rounds} rounds\n"));
    report.head(&["files", "manifest", "mounted after", "supervisor", "worker"]);
    for files in FILES {
        measure(files, rounds, &mut report);
    }
    report.finish();
}

fn measure(files: u64, rounds: u64, report: &mut Report) {
    let scratch = common::scratch();
    let manifest = many::manifest(files);
    let path = scratch.path().join("manifest");
    fs::write(&path, &manifest).unwrap();
    let digest = Algorithm::Sha256.hash(&manifest).to_string();
    let (backing, place) = (scratch.path().join("backing"), scratch.path().join("mount"));
    fs::create_dir(&backing).unwrap();
    fs::create_dir(&place).unwrap();
    let options = format!("rw,backing={},digest={digest}", backing.display());

    let (mut times, mut supervisors, mut workers) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (time, ()) = timed(|| {
            let status = Command::new(env!("CARGO_BIN_EXE_mount-continuity"))
                .args([path.as_os_str(), place.as_os_str()])
                .args(["-o", &options])
                .status()
                .unwrap();
            assert!(status.success());
            assert!(fs::metadata(place.join("usr/lib")).unwrap().is_dir());
        });
        times.push(time);
        let (supervisor, worker) = servers(&place);
        supervisors.push(memory(supervisor, "VmRSS"));
        workers.push(memory(worker, "VmRSS"));
        let unmounted = Command::new("umount").arg(&place).status().unwrap();
        assert!(unmounted.success());
        let start = Instant::now();
        while Path::new(&format!("/proc/{supervisor}/exe")).exists() {
            assert!(start.elapsed() < PATIENCE, "the supervisor goes on");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let mib = |values| format!("{:.1} MiB", median::<u64>(values) as f64 / 1024.0);
    report.row(&[
        files.to_string(),
        format!("{:.1} MB", manifest.len() as f64 / 1e6),
        format!("{:.0} ms", median(times).as_secs_f64() * 1e3),
        mib(supervisors),
        mib(workers),
    ]);
}

/// The two processes of the mount in a place: one is the other's child.
fn servers(place: &Path) -> (u32, u32) {
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let entry = entry.unwrap();
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let mut words = line.split(|byte| *byte == 0);
        words.find(|word| *word == place.as_os_str().as_bytes())?;
        entry.file_name().to_str()?.parse().ok()
    });
    let pids: Vec<u32> = pids.collect();
    assert_eq!(pids.len(), 2, "{pids:?}");
    let is_parent = |pid: u32, child: u32| {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap();
        children
            .split_whitespace()
            .any(|pid| pid == child.to_string())
    };
    match is_parent(pids[0], pids[1]) {
        true => (pids[0], pids[1]),
        false => (pids[1], pids[0]),
    }
}
