//! A manifest of a million files: how long it takes to have it mounted, and how
//! much memory.
//!
//! `cargo bench --bench inode_table -- --huge` does ten million too, and
//! `--files N` something else; `--write FILE` puts the table into a document.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark fails by panicking"
)]

mod common;
#[path = "../tests/mounted/mod.rs"]
mod mounted;

use std::fs;
use std::path::Path;
use std::time::Duration;

use common::arguments::{has, number};
use common::report::Report;
use common::{machine, many, median, memory, timed};
use continuity::digest::Algorithm;
use continuity::inode::{InodeTable, RootOwner};
use continuity::manifest::Limits;
use mounted::Mount;

fn main() {
    let rounds = number("--rounds", 5);
    let mut report = Report::new("inode_table");
    report.line(machine::describe(common::scratch().path()));
    report.line(format!("medians of {rounds} rounds\n"));
    report.head(&[
        "files",
        "manifest",
        "table built",
        "bytes/inode",
        "start to mounted",
        "peak of the server",
    ]);
    measure(number("--files", 1_000_000), rounds, &mut report);
    if has("--huge") {
        measure(10_000_000, rounds, &mut report);
    }
    report.finish();
}

fn measure(files: u64, rounds: u64, report: &mut Report) {
    let manifest = many::manifest(files);
    let mut statistics = None;
    let mut built = Vec::new();
    for _ in 0..rounds {
        let (time, table) = timed(|| {
            InodeTable::build(&manifest, &Limits::default(), RootOwner::default()).unwrap()
        });
        built.push(time);
        statistics = Some(table.statistics().clone());
    }
    let statistics = statistics.unwrap();

    let scratch = common::scratch();
    let path = scratch.path().join("manifest");
    fs::write(&path, &manifest).unwrap();
    // With the digest that is told and held to: it is hashed in any case.
    let digest = Algorithm::Sha256.hash(&manifest).to_string();
    let size = manifest.len();
    drop(manifest);
    let backing = scratch.path().join("backing");
    fs::create_dir(&backing).unwrap();
    let mut peaks = Vec::new();
    let mut mounted = Vec::new();
    for _ in 0..rounds {
        let (time, peak) = mount(&path, &backing, &digest);
        mounted.push(time);
        peaks.push(peak);
    }
    report.row(&[
        files.to_string(),
        format!("{:.0} MB", size as f64 / 1e6),
        format!("{:.2} s", median(built).as_secs_f64()),
        format!("{:.0}", statistics.memory as f64 / statistics.inodes as f64),
        format!("{:.2} s", median(mounted).as_secs_f64()),
        format!("{} MiB", median(peaks) / 1024),
    ]);
}

/// The time from the start of the program until the filesystem answers, and the
/// most memory that it took meanwhile, in KiB.
fn mount(manifest: &Path, backing: &Path, digest: &str) -> (Duration, u64) {
    let (time, mount) = timed(|| Mount::with(manifest, backing, &["--digest", digest]));
    let peak = memory(mount.worker(), "VmHWM");
    assert!(mount.unmount().success());
    (time, peak)
}
