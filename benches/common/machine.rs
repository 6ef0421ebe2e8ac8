//! What a table cannot be read without.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The machine, and the filesystem of a directory, in one line.
pub fn describe(directory: &Path) -> String {
    let cpuinfo = read("/proc/cpuinfo");
    let sha = match feature(&cpuinfo, "sha_ni") || feature(&cpuinfo, "sha2") {
        true => "SHA-256 in hardware",
        false => "no SHA-256 in hardware",
    };
    let memory = value(&read("/proc/meminfo"), "MemTotal");
    let memory: u64 = memory.trim_end_matches(" kB").parse().unwrap_or(0);
    format!(
        "{}; {}, {} cores, {sha}, {} GiB, Linux {}, source on {}; load of the machine at the start {}; commit {}",
        run("date", &["-u", "+%F %H:%M UTC"]),
        value(&cpuinfo, "model name"),
        std::thread::available_parallelism().map_or(1, usize::from),
        (memory + (1 << 19)) >> 20,
        read("/proc/sys/kernel/osrelease").trim(),
        run(
            "stat",
            &["--file-system", "--format=%T", &directory.to_string_lossy()]
        ),
        read("/proc/loadavg").split(' ').next().unwrap_or("?"),
        run("git", &["describe", "--always", "--dirty"]),
    )
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn value(text: &str, key: &str) -> String {
    text.lines()
        .find(|line| line.starts_with(key))
        .and_then(|line| line.split_once(':'))
        .map_or_else(|| "?".to_owned(), |(_, value)| value.trim().to_owned())
}

/// Whether the processor has a feature, as Linux calls it.
fn feature(cpuinfo: &str, name: &str) -> bool {
    let (x86, arm) = (value(cpuinfo, "flags"), value(cpuinfo, "Features"));
    x86.split(' ')
        .chain(arm.split(' '))
        .any(|flag| flag == name)
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "?".to_owned(),
    }
}
