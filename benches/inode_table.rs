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
use common::{machine, median, memory, timed};
use continuity::digest::Algorithm;
use continuity::inode::{InodeTable, RootOwner};
use continuity::manifest::{Content, Form, Kind, Limits, Manifest, Metadata, Resource, Timestamp};
use continuity::mode::FileMode;
use continuity::path::ManifestPath;
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
    let manifest = manifest(files);
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

/// Files as in a tree of packages: some forty in a directory, four levels deep,
/// names of a usual length, each with a digest of its own and a time.
fn manifest(files: u64) -> Vec<u8> {
    const WORDS: [&str; 8] = [
        "config",
        "handler",
        "README",
        "index",
        "test_parser",
        "__init__",
        "util",
        "types",
    ];
    const ENDINGS: [&str; 5] = ["py", "js", "h", "json", "txt"];
    let metadata = |mode, number: u64| {
        let mut metadata = Metadata::new(FileMode::from_stat(mode).unwrap());
        metadata.mtime = Timestamp::new(
            1_700_000_000 + (number % 10_000_000) as i64,
            (number * 7919 % 1_000_000_000) as u32,
        );
        metadata
    };
    let directory = |path: &str| Resource {
        paths: vec![ManifestPath::parse(path.as_bytes()).unwrap()],
        metadata: metadata(0o040_755, 0),
        kind: Kind::Directory,
        carried: None,
    };
    let mut resources = vec![directory("/usr"), directory("/usr/lib")];
    let mut place = String::new();
    for number in 0..files {
        if number % 1600 == 0 {
            resources.push(directory(&format!("/usr/lib/package-{:06}", number / 1600)));
        }
        if number % 40 == 0 {
            let (package, part) = (number / 1600, number / 40 % 40);
            place = format!("/usr/lib/package-{package:06}/part-{part:02}");
            resources.push(directory(&place));
        }
        let word = WORDS[(number % 8) as usize];
        let ending = ENDINGS[(number % 5) as usize];
        let path = format!("{place}/{word}_{:05}.{ending}", number % 100_000);
        let size = number * 7919 % 100_000;
        resources.push(Resource {
            paths: vec![ManifestPath::parse(path.as_bytes()).unwrap()],
            metadata: metadata(0o100_644, number),
            kind: Kind::Regular(Content {
                size,
                digests: vec![Algorithm::Sha256.hash(&number.to_le_bytes())],
                ..Content::default()
            }),
            carried: None,
        });
    }
    let manifest = Manifest {
        resources,
        ..Manifest::default()
    };
    manifest.encode(Form::Full).unwrap()
}
