//! What the benchmarks share: arguments, medians, tables, facts of the machine.
#![allow(dead_code, reason = "each benchmark takes what it needs")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The number behind a flag, in the arguments or in the environment
/// (`--large-mib` is `BENCH_LARGE_MIB`).
pub fn number(flag: &str, default: u64) -> u64 {
    let mut arguments = std::env::args().skip_while(|argument| argument != flag);
    let variable = format!(
        "BENCH_{}",
        flag.trim_start_matches('-')
            .replace('-', "_")
            .to_uppercase()
    );
    match arguments.nth(1).or_else(|| std::env::var(variable).ok()) {
        Some(text) => text.parse().unwrap_or_else(|_| panic!("{flag} {text:?}")),
        None => default,
    }
}

pub fn has(flag: &str) -> bool {
    std::env::args().any(|argument| argument == flag)
}

/// A directory on the filesystem of the build, which is a real one.
pub fn scratch() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

pub fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let value = work();
    (start.elapsed(), value)
}

pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
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

/// Prints what a table cannot be read without.
pub fn print_machine() {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let value = |text: &str, key: &str| {
        text.lines()
            .find(|line| line.starts_with(key))
            .and_then(|line| line.split_once(':'))
            .map_or_else(|| "?".to_owned(), |(_, value)| value.trim().to_owned())
    };
    let has_sha = value(&cpuinfo, "flags")
        .split(' ')
        .any(|flag| flag == "sha_ni");
    let date = Command::new("date")
        .args(["-u", "+%F %H:%M UTC"])
        .output()
        .unwrap();
    println!(
        "{}, {} cores, sha_ni: {}, {}, Linux {}, {}",
        value(&cpuinfo, "model name"),
        std::thread::available_parallelism().map_or(1, usize::from),
        if has_sha { "yes" } else { "no" },
        value(&read("/proc/meminfo"), "MemTotal"),
        read("/proc/sys/kernel/osrelease").trim(),
        String::from_utf8_lossy(&date.stdout).trim(),
    );
}
