//! What the benchmarks share.
#![allow(dead_code, reason = "each benchmark takes what it needs")]

pub mod arguments;
pub mod machine;
pub mod many;
pub mod report;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A directory on the filesystem of the build, which is a real one.
pub fn scratch() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

pub fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let value = work();
    (start.elapsed(), value)
}

/// The one in the middle.
pub fn median<T: PartialOrd + Copy>(mut values: Vec<T>) -> T {
    values.sort_by(|one, other| one.partial_cmp(other).unwrap());
    values[values.len() / 2]
}

/// Runs `continuity build`.
pub fn build_manifest(tree: &Path, manifest: &Path, arguments: &[&str]) {
    let status = Command::new(env!("CARGO_BIN_EXE_continuity"))
        .arg("build")
        .args(arguments)
        .arg("-o")
        .args([manifest, tree])
        .status()
        .unwrap();
    assert!(status.success());
}

/// Bytes that no filesystem can make smaller, the same for the same seed.
pub fn noise(seed: u64) -> impl Iterator<Item = u8> {
    // xorshift64* (Vigna, 2016).
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes()
    })
    .flatten()
}

/// A figure of a process in KiB: `VmHWM`, the most memory that it ever had,
/// or `VmRSS`, what it has (proc_pid_status(5)).
pub fn memory(pid: u32, figure: &str) -> u64 {
    fs::read_to_string(format!("/proc/{pid}/status"))
        .unwrap()
        .lines()
        .find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'))
        .and_then(|value| value.trim().strip_suffix(" kB"))
        .unwrap()
        .parse()
        .unwrap()
}
