//! `continuity mounts`: what is mounted.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::escape::Escaped;
use crate::fuse::FILE_SYSTEM;
use crate::supervisor::status_path;
use crate::sys::mount::{self, Seen};

use super::mount::serve::STATUS_DIRECTORY;
use super::output::Output;
use super::{Failure, Outcome};

/// How long a mount may take to tell about itself.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer, in bytes.
const ANSWER_MAX: u64 = 1 << 20;

/// List the mounts of this machine and how they are
///
/// Root is told what each mount knows about itself: its manifest, who vouches for
/// it, the process that serves it and how it is confined, how many reads were
/// refused, and whether that has ended it. A mount that does not answer is shown as
/// silent.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// One JSON object a line
    #[arg(long, conflicts_with = "metrics")]
    json: bool,

    /// The figures of one mount, as Prometheus reads them
    #[arg(long, value_name = "MOUNTPOINT")]
    metrics: Option<std::path::PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let seen = mount::seen(FILE_SYSTEM)?;
    let mut output = Output::stdout();
    if let Some(place) = &arguments.metrics {
        let path = place.canonicalize()?;
        let seen = seen.iter().rfind(|seen| seen.path == path);
        let seen = seen.ok_or("no continuity mount is there")?;
        output.write_all(ask(seen, "metrics")?.as_bytes())?;
        output.finish()?;
        return Ok(Outcome::Success);
    }
    for seen in &seen {
        let status = ask(seen, "status")
            .and_then(|text| serde_json::from_str::<Map<_, _>>(&text).map_err(io::Error::other));
        if arguments.json {
            writeln!(output, "{}", Value::Object(to_json(seen, status)))?;
        } else {
            write_line(&mut output, seen, status)?;
        }
    }
    output.finish()?;
    Ok(Outcome::Success)
}

/// Asks a mount about itself, which root may.
pub(super) fn ask(seen: &Seen, question: &str) -> io::Result<String> {
    let path = status_path(STATUS_DIRECTORY.as_ref(), seen.device_number);
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(question.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.take(ANSWER_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}

fn to_json(seen: &Seen, status: io::Result<Map<String, Value>>) -> Map<String, Value> {
    let name = |bytes: &[u8]| Value::String(Escaped(bytes).to_string());
    let mut object = Map::new();
    object.insert("mountpoint".into(), name(seen.path.as_os_str().as_bytes()));
    object.insert("source".into(), name(seen.source.as_bytes()));
    match status {
        Ok(status) => object.extend(status),
        Err(error) => {
            object.insert("silent".into(), Value::String(error.to_string()));
        }
    }
    object
}

fn write_line(
    output: &mut impl Write,
    seen: &Seen,
    status: io::Result<Map<String, Value>>,
) -> io::Result<()> {
    let path = Escaped(seen.path.as_os_str().as_bytes());
    let source = Escaped(seen.source.as_bytes());
    let Ok(status) = status else {
        return writeln!(output, "{path}  {source}  silent");
    };
    let text = |name: &str| match status.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "?".to_owned(),
    };
    let ended = match status.get("shutdown") {
        Some(Value::String(_)) => "  shutdown",
        _ => "",
    };
    writeln!(
        output,
        "{path}  {source}  {}  pid={} restarts={} reloads={} files={} requests={} refused={} stalls={}{ended}",
        text("manifest"),
        text("worker"),
        text("worker_restarts"),
        text("reloads"),
        text("files"),
        text("requests"),
        text("refusals"),
        text("stalls"),
    )
}
