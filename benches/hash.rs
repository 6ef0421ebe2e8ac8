//! How fast one core hashes, and that the processor's own instructions are what
//! makes it so: beside the same code in a build that has none of them, and
//! beside programs that are installed.
//!
//! `cargo bench --bench hash -- FLAGS`:
//!
//! ```text
//! --write FILE           put the table into this document
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark fails by panicking"
)]

mod common;

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};

use common::arguments::has;
use common::report::Report;
use common::{machine, noise, scratch, timed};
use continuity::digest::Algorithm;

const ALGORITHMS: [Algorithm; 3] = [Algorithm::Sha256, Algorithm::Sha512, Algorithm::Blake3];
/// A small file, and a chunk.
const SIZES: [usize; 2] = [4 << 10, 1 << 20];
/// So many bytes are hashed in one run, a few milliseconds.
const RUN: usize = 4 << 20;
/// The best of so many runs counts: the others were disturbed.
const RUNS: usize = 100;
const FILE: usize = 256 << 20;

/// How this program is started in the other build.
const RATES: &str = "--rates";

fn main() {
    if has(RATES) {
        for rate in rates() {
            println!("{rate}");
        }
        return;
    }
    let scratch = scratch();
    let mut report = Report::new("hash");
    report.line(machine::describe(scratch.path()));
    report.line(format!(
        "the best of {RUNS} runs of {} MiB, one thread, GB/s\n",
        RUN >> 20
    ));
    report.head(&[
        "at a time",
        "as built",
        "without such instructions",
        "times",
        "`openssl speed`",
        "coreutils",
    ]);
    let without = rates_without();
    let file = scratch.path().join("file");
    fs::write(&file, noise(1).take(FILE).collect::<Vec<u8>>()).unwrap();
    for (number, ours) in rates().into_iter().enumerate() {
        let (algorithm, size) = (ALGORITHMS[number / 2], SIZES[number % 2]);
        let is_large = size == SIZES[1];
        report.row(&[
            format!("{algorithm}, {} KiB", size >> 10),
            format!("{ours:.2}"),
            format!("{:.2}", without[number]),
            format!("{:.1}", ours / without[number]),
            shown(openssl(algorithm, size)),
            shown(is_large.then(|| coreutils(algorithm, &file)).flatten()),
        ]);
    }
    report.finish();
}

/// Of this build, in GB/s, for each algorithm and size.
fn rates() -> Vec<f64> {
    let bytes: Vec<u8> = noise(1).take(SIZES[1]).collect();
    let sizes = |algorithm| SIZES.map(|size| (algorithm, size));
    ALGORITHMS
        .into_iter()
        .flat_map(sizes)
        .map(|(algorithm, size)| {
            let run = || {
                for _ in 0..RUN / size {
                    black_box(algorithm.hash(black_box(&bytes[..size])));
                }
            };
            rate(RUN, (0..RUNS).map(|_| timed(run).0.as_secs_f64()))
        })
        .collect()
}

/// The same of a build that is told to use no instructions made for hashing and
/// no vectors: by sha2's `sha2_backend`, and by blake3's features.
fn rates_without() -> Vec<f64> {
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("RUSTFLAGS", r#"--cfg sha2_backend="soft""#)
        .args(["bench", "--locked", "--bench", "hash"])
        .args(["--target-dir", "target/soft", "--features"])
        .arg("blake3/no_avx512,blake3/no_avx2,blake3/no_sse41,blake3/no_sse2")
        .args(["--", RATES])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

/// Bytes a second are in a line `+F:25:sha256:1909199698.11`.
fn openssl(algorithm: Algorithm, size: usize) -> Option<f64> {
    let output = Command::new("openssl")
        .args(["speed", "-mr", "-seconds", "1", "-evp", algorithm.name()])
        .args(["-bytes", &size.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.starts_with("+F:"))?;
    let rate: f64 = line.rsplit(':').next()?.parse().ok()?;
    Some(rate / 1e9)
}

/// With reading the file from the page cache.
fn coreutils(algorithm: Algorithm, file: &Path) -> Option<f64> {
    let program = match algorithm {
        Algorithm::Blake3 => "b3sum".to_owned(),
        other => format!("{other}sum"),
    };
    let run = || {
        Command::new(&program)
            .arg(file)
            .stdout(Stdio::null())
            .status()
    };
    run().ok().filter(|status| status.success())?;
    Some(rate(FILE, (0..3).map(|_| timed(run).0.as_secs_f64())))
}

/// GB/s of the best.
fn rate(bytes: usize, seconds: impl Iterator<Item = f64>) -> f64 {
    bytes as f64 / seconds.fold(f64::INFINITY, f64::min) / 1e9
}

fn shown(rate: Option<f64>) -> String {
    rate.map_or_else(String::new, |rate| format!("{rate:.2}"))
}
