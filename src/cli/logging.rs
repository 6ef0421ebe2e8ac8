//! The log: lines on standard error, or in a file.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use env_logger::Target;
use log::{Level, LevelFilter};

use crate::escape::{Escaped, OneLine};

use super::logfmt::LogForm;

/// Longest line, in bytes. A name can have sixteen thousand when it is escaped.
const LINE_MAX: usize = 8192;
/// The same of an object, which is of no use without its end.
const OBJECT_MAX: usize = 64 << 10;
/// How many lines may wait to be written.
const LINES_MAX: usize = 1024;
/// How long the end of the program waits for the last lines.
const PATIENCE: Duration = Duration::from_secs(2);

/// To the thread that writes the log. Nobody else writes: whoever logs must not
/// wait for whoever reads.
static WRITER: OnceLock<SyncSender<Order>> = OnceLock::new();

/// How many lines were lost because too many waited.
static LOST: AtomicU64 = AtomicU64::new(0);

/// The form of the lines: its place in [`LogForm::ALL`].
static FORM: AtomicU8 = AtomicU8::new(0);

enum Order {
    Write(Vec<u8>),
    /// To this file from now on.
    Redirect(File),
    /// Tell when all that came before is written.
    Flush(SyncSender<()>),
}

/// Opens a file to append the log to. Only its owner and group can read it, for
/// it has names from directories that may be closed to others.
///
/// # Errors
/// As open(2).
pub(super) fn open(path: &Path) -> io::Result<File> {
    File::options()
        .create(true)
        .append(true)
        .mode(0o640)
        .open(path)
        .map_err(|error| {
            let path = Escaped(path.as_os_str().as_encoded_bytes());
            io::Error::new(
                error.kind(),
                format!("cannot open the log {path:?}: {error}"),
            )
        })
}

/// Appends the log to this file from now on.
pub(super) fn redirect(file: File) {
    if let Some(writer) = WRITER.get() {
        // Only a writer that has ended takes nothing.
        let _ = writer.send(Order::Redirect(file));
    }
}

/// Writes lines in this form from now on.
pub(super) fn set_form(form: LogForm) {
    let place = LogForm::ALL.iter().position(|one| *one == form);
    let place = place.and_then(|place| u8::try_from(place).ok());
    FORM.store(place.unwrap_or_default(), Ordering::Relaxed);
}

fn form() -> LogForm {
    let place = FORM.load(Ordering::Relaxed);
    let form = LogForm::ALL.get(usize::from(place));
    form.copied().unwrap_or_default()
}

/// Waits until what was logged is written, but not for ever.
pub(super) fn finish() {
    let (tell, told) = sync_channel(1);
    if let Some(writer) = WRITER.get()
        && writer.try_send(Order::Flush(tell)).is_ok()
    {
        let _ = told.recv_timeout(PATIENCE);
    }
}

fn start_writer() -> io::Result<()> {
    let (writer, orders) = sync_channel(LINES_MAX);
    std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || write_log(&orders))?;
    let _ = WRITER.set(writer);
    Ok(())
}

fn write_log(orders: &Receiver<Order>) {
    let mut file = None;
    for order in orders {
        match order {
            Order::Write(line) => {
                // There is nowhere to say that this failed.
                let _ = match &mut file {
                    Some(file) => File::write_all(file, &line),
                    None => io::stderr().write_all(&line),
                };
            }
            Order::Redirect(to) => file = Some(to),
            Order::Flush(tell) => drop(tell.send(())),
        }
    }
}

/// Gives lines to the writer.
struct Sink;

impl Write for Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let max = match form() {
            LogForm::Json => OBJECT_MAX,
            LogForm::Text | LogForm::Logfmt => LINE_MAX,
        };
        let mut shown = line.get(..max).unwrap_or(line).to_vec();
        if shown.len() < line.len() {
            shown.extend_from_slice(b"...\n");
        }
        let lost = LOST.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let lost = format!("event=log_lost lines={lost}");
            shown.extend_from_slice(form().line(None, Level::Warn, &lost).as_bytes());
            shown.push(b'\n');
        }
        let taken = WRITER
            .get()
            .is_some_and(|writer| writer.try_send(Order::Write(shown)).is_ok());
        if !taken {
            LOST.fetch_add(lost.saturating_add(1), Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verbosity {
    /// How much more than warnings.
    pub verbose: u8,
    /// Errors only.
    pub quiet: bool,
}

impl Verbosity {
    /// Starts the log. `RUST_LOG` wins over this.
    pub(super) fn init(self) {
        init(match (self.quiet, self.verbose) {
            (true, _) => LevelFilter::Error,
            (_, 0) => LevelFilter::Warn,
            (_, 1) => LevelFilter::Info,
            (_, 2) => LevelFilter::Debug,
            _ => LevelFilter::Trace,
        });
    }
}

fn init(level: LevelFilter) {
    if start_writer().is_err() {
        return;
    }
    let started = env_logger::Builder::new()
        .filter_level(level)
        .parse_default_env()
        .target(Target::Pipe(Box::new(Sink)))
        .format(|line, record| {
            let time = line.timestamp_millis().to_string();
            let message = OneLine(&record.args().to_string()).to_string();
            let shown = form().line(Some(&time), record.level(), &message);
            writeln!(line, "{shown}")
        })
        .try_init();
    // Another logger is there already: that one then.
    drop(started);
}
