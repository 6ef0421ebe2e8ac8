//! The log: lines on standard error, or in a file.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use env_logger::Target;
use log::LevelFilter;
use parking_lot::Mutex;

use crate::escape::{Escaped, OneLine};

/// Where the log goes, if not to standard error.
static LOG_FILE: Mutex<Option<File>> = Mutex::new(None);

/// Appends the log to a file from now on.
///
/// # Errors
/// As open(2).
pub(super) fn redirect(path: &Path) -> io::Result<()> {
    let file = File::options()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|error| {
            let path = Escaped(path.as_os_str().as_encoded_bytes());
            io::Error::new(
                error.kind(),
                format!("cannot open the log {path:?}: {error}"),
            )
        })?;
    *LOG_FILE.lock() = Some(file);
    Ok(())
}

struct Sink;

impl Write for Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match &mut *LOG_FILE.lock() {
            Some(file) => file.write(line),
            None => io::stderr().write(line),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts the log. `RUST_LOG` wins over `-v` and `-q`.
pub(super) fn init(verbose: u8, quiet: bool) {
    let level = match (quiet, verbose) {
        (true, _) => LevelFilter::Error,
        (_, 0) => LevelFilter::Warn,
        (_, 1) => LevelFilter::Info,
        (_, 2) => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    let started = env_logger::Builder::new()
        .filter_level(level)
        .parse_default_env()
        .target(Target::Pipe(Box::new(Sink)))
        .format(|line, record| {
            let time = line.timestamp_millis();
            let level = record.level();
            let message = record.args().to_string();
            writeln!(line, "{time} {level:5} {}", OneLine(&message))
        })
        .try_init();
    // Another logger is there already: that one then.
    drop(started);
}
