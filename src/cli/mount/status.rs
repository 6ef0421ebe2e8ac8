//! What a worker tells about itself and its mount, to root, on a socket:
//! `status` is answered by JSON, `metrics` by the text form of Prometheus, and
//! `refusal INO` by why that inode was refused the last time, or by nothing; `requests`
//! by how many were taken, and how many of these were not answered. Its supervisor asks
//! that, and says how many it has found to be lost.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::fs::Filesystem;
use crate::fuse::Requests;
use crate::inode::Ino;
use crate::sandbox;

/// How long it is waited for whoever asks.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest question, in bytes.
const QUESTION_MAX: u64 = 64;

/// What there is to tell.
pub(super) struct Facts {
    pub filesystem: Arc<Filesystem>,
    pub requests: Arc<Requests>,
    pub sandbox: sandbox::Report,
    /// What its supervisor has given up.
    pub supervisor: serde_json::Value,
    /// How many workers there were before.
    pub restarts: u32,
    /// How many manifests there were before.
    pub reloads: u32,
    /// How many requests were lost, as the supervisor has found.
    pub lost: AtomicU64,
    pub since: Instant,
}

/// The same at a moment. Names and order are part of the interface.
#[derive(Serialize)]
struct Status<'a> {
    version: &'static str,
    worker: u32,
    uptime_seconds: u64,
    worker_restarts: u32,
    reloads: u32,
    /// By the digest that another mount could be held to.
    manifest: Option<String>,
    trust: String,
    sandbox: &'a sandbox::Report,
    supervisor: &'a serde_json::Value,
    inodes: u64,
    files: u64,
    table_bytes: u64,
    requests: u64,
    requests_in_flight: u64,
    requests_lost: u64,
    refusals: u64,
    refusals_by_reason: BTreeMap<&'static str, u64>,
    log_suppressed: u64,
    stalls: u64,
    errors: &'static str,
    /// Why nothing is given out any more, if that is so.
    shutdown: Option<String>,
}

impl Facts {
    fn status(&self) -> Status<'_> {
        let statistics = self.filesystem.statistics();
        let counters = self.filesystem.counters();
        let refused = counters.refused.iter();
        Status {
            version: crate::cli::VERSION,
            worker: std::process::id(),
            uptime_seconds: self.since.elapsed().as_secs(),
            worker_restarts: self.restarts,
            reloads: self.reloads,
            manifest: self.filesystem.manifest().map(ToString::to_string),
            trust: self.filesystem.voucher().to_string(),
            sandbox: &self.sandbox,
            supervisor: &self.supervisor,
            inodes: statistics.inodes,
            files: statistics.files,
            table_bytes: statistics.memory,
            requests: self.requests.count(),
            requests_in_flight: self.requests.in_flight(),
            requests_lost: self.lost.load(Ordering::Relaxed),
            refusals: counters.refusals(),
            refusals_by_reason: refused
                .map(|(word, count)| (word.as_str(), *count))
                .collect(),
            log_suppressed: counters.log_suppressed,
            stalls: self.filesystem.stalls(),
            errors: self.filesystem.on_refusal().as_str(),
            shutdown: self.filesystem.shut_down_by().map(ToString::to_string),
        }
    }

    fn answer(&self, question: &[u8]) -> io::Result<String> {
        let question = question.trim_ascii_end();
        if let Some(ino) = question.strip_prefix(b"refusal ") {
            let ino = Ino(number(ino)?);
            return Ok(self.filesystem.last_refusal(ino).unwrap_or_default());
        }
        if let Some(lost) = question.strip_prefix(b"requests ") {
            self.lost.fetch_max(number(lost)?, Ordering::Relaxed);
            let (taken, in_flight) = (self.requests.count(), self.requests.in_flight());
            return Ok(format!("{taken} {in_flight}\n"));
        }
        match question {
            b"status" => Ok(serde_json::to_string(&self.status())? + "\n"),
            b"metrics" => Ok(metrics(&self.status()) + &self.filesystem.counters().to_string()),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn serve(&self, mut stream: &UnixStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut question = Vec::new();
        stream.take(QUESTION_MAX).read_to_end(&mut question)?;
        stream.write_all(self.answer(&question)?.as_bytes())
    }

    /// Answers whoever asks, on a thread of its own.
    pub(super) fn tell(self, listener: UnixListener) -> io::Result<()> {
        let thread = std::thread::Builder::new().name("status".to_owned());
        thread.spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else {
                    // Out of descriptors, perhaps; not for long.
                    std::thread::sleep(PATIENCE);
                    continue;
                };
                if let Err(error) = self.serve(&stream) {
                    log::debug!("whoever asked for the status: {error}");
                }
            }
        })?;
        Ok(())
    }
}

fn number(text: &[u8]) -> io::Result<u64> {
    let number = std::str::from_utf8(text).map(str::parse);
    match number {
        Ok(Ok(number)) => Ok(number),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// One line for each figure (Prometheus, text-based exposition format).
fn metrics(status: &Status<'_>) -> String {
    let label = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let mut text = format!(
        "# TYPE continuity_info gauge\ncontinuity_info{{version=\"{}\",manifest=\"{}\",trust=\"{}\",sandbox=\"{}\"}} 1\n",
        status.version,
        label(status.manifest.as_deref().unwrap_or_default()),
        label(&status.trust),
        status.sandbox.mode,
    );
    for (name, kind, value) in [
        ("uptime_seconds", "gauge", status.uptime_seconds),
        (
            "worker_restarts_total",
            "counter",
            u64::from(status.worker_restarts),
        ),
        ("reloads_total", "counter", u64::from(status.reloads)),
        ("inodes", "gauge", status.inodes),
        ("table_bytes", "gauge", status.table_bytes),
        ("requests_total", "counter", status.requests),
        ("requests_in_flight", "gauge", status.requests_in_flight),
        ("requests_lost_total", "counter", status.requests_lost),
        ("stall_replies_total", "counter", status.stalls),
        ("shutdown", "gauge", u64::from(status.shutdown.is_some())),
    ] {
        text += &format!("# TYPE continuity_{name} {kind}\ncontinuity_{name} {value}\n");
    }
    text
}
