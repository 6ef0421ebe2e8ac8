//! Work that programs do which everybody knows.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::timed;
use crate::tree::Tree;

pub fn find(_: &Tree, root: &Path) -> Duration {
    sh(root, "find small -ls")
}

/// Noise does not have these words in it.
pub fn grep(_: &Tree, root: &Path) -> Duration {
    sh(root, "! grep -r 'these words' small")
}

pub fn cat(_: &Tree, root: &Path) -> Duration {
    sh(root, "find small -type f -print0 | xargs -0 cat")
}

fn sh(root: &Path, script: &str) -> Duration {
    let mut command = Command::new("sh");
    command
        .args(["-c", script])
        .current_dir(root)
        .stdout(Stdio::null());
    let (time, status) = timed(|| command.status().unwrap());
    assert!(status.success(), "{script}");
    time
}

/// One byte of each page; the loop is in C.
pub fn map_in_order(_: &Tree, root: &Path) -> Duration {
    map(root, "content[::4096]")
}

pub fn map_at_random(_: &Tree, root: &Path) -> Duration {
    map(root, "pick(content)")
}

/// Mapping a file is unsafe in Rust, whose memory nobody else may change. So
/// python3 does it, and takes the time itself, without that of its start.
fn map(root: &Path, touch: &str) -> Duration {
    let script = format!(
        "\
import mmap, operator, random, sys, time
file = open(sys.argv[1], 'rb')
content = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
pages = random.Random(1).choices(range(0, len(content), 4096), k=100_000)
pick = operator.itemgetter(*pages)
start = time.perf_counter()
{touch}
print(time.perf_counter() - start)"
    );
    let output = Command::new("python3")
        .args(["-c", &script])
        .arg(root.join("large"))
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "python3");
    let seconds = String::from_utf8(output.stdout).unwrap();
    Duration::from_secs_f64(seconds.trim().parse().unwrap())
}
