//! How far work has come, shown on standard error while it goes on.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::progress::{Counts, Progress};

/// How often a terminal is written to.
const TERMINAL_PERIOD: Duration = Duration::from_millis(100);
/// How often there is a line of JSON.
const JSON_PERIOD: Duration = Duration::from_secs(1);

/// Whether progress is shown, and how.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ProgressArguments {
    /// Show on standard error how far the work has come: "auto" does so on a
    /// terminal, "json" writes an object a second, each on a line
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = When::Auto)]
    #[arg(hide_possible_values = true)]
    progress: When,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum When {
    Auto,
    Never,
    Json,
}

impl ProgressArguments {
    /// Begins to show the counters; until what is returned is dropped.
    pub fn show(&self, quiet: bool, progress: &Arc<Progress>) -> Shown {
        match self.progress {
            _ if quiet => Shown::default(),
            When::Auto if io::stderr().is_terminal() => {
                let bar = ProgressBar::no_length().with_style(style(FOUND));
                let draw = bar.clone();
                let mut shown =
                    Shown::start(TERMINAL_PERIOD, progress, move |counts, _, goes_on| {
                        if goes_on {
                            set(&draw, counts);
                        }
                    });
                shown.bar = Some(bar);
                shown
            }
            When::Auto | When::Never => Shown::default(),
            When::Json => Shown::start(JSON_PERIOD, progress, write_json),
        }
    }
}

/// Progress is shown until this is dropped.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Shown {
    bar: Option<ProgressBar>,
    thread: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Shown {
    /// Calls `show` now and then, and once more in the end, which it is told.
    fn start(
        period: Duration,
        progress: &Arc<Progress>,
        show: impl Fn(Counts, Duration, bool) + Send + 'static,
    ) -> Self {
        let progress = Arc::clone(progress);
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new()
            .name("progress".to_owned())
            .spawn(move || {
                let start = Instant::now();
                let mut goes_on = true;
                while goes_on {
                    goes_on = stopped.recv_timeout(period) == Err(RecvTimeoutError::Timeout);
                    show(progress.counts(), start.elapsed(), goes_on);
                }
            });
        Self {
            bar: None,
            // Work goes on without it.
            thread: thread.ok().map(|thread| (stop, thread)),
        }
    }

    /// Prints something on standard output. Only where that is a terminal too must
    /// the line that shows progress get out of the way: drawing it anew for every
    /// one of many lines takes longer than writing them.
    pub fn beside_output<T>(&self, print: impl FnOnce() -> T) -> T {
        if io::stdout().is_terminal() {
            self.beside(print)
        } else {
            print()
        }
    }

    /// Prints something that must not get into the line that shows progress.
    pub fn beside<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            drop(stop);
            // It only shows something.
            let _ = thread.join();
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Brings the bar to these counts.
fn set(bar: &ProgressBar, counts: Counts) {
    let files = HumanCount(counts.files);
    if counts.files_total == 0 {
        bar.set_message(format!("{files} files found"));
        return bar.tick();
    }
    if bar.length().is_none() {
        // The rate is that of reading, not of looking.
        bar.reset();
    }
    let (template, position, length) = match counts.bytes_total {
        0 => (FILES, counts.files, counts.files_total),
        bytes => (BYTES, counts.bytes, bytes),
    };
    bar.set_message(format!("{files}/{}", HumanCount(counts.files_total)));
    bar.set_length(length);
    bar.set_position(position);
    bar.set_style(style(template));
    bar.tick();
}

const FOUND: &str = "{spinner} {msg}";
const FILES: &str = "[{wide_bar}] {percent:>3}% {msg} files, {eta} left";
const BYTES: &str =
    "[{wide_bar}] {percent:>3}% {msg} files, {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";

/// There are no colours in it, whatever the environment says.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
        .tick_chars("-\\|/ ")
}

#[derive(Serialize)]
struct Line {
    event: &'static str,
    files: u64,
    files_total: Option<u64>,
    bytes: u64,
    bytes_total: Option<u64>,
    seconds: f64,
}

fn write_json(counts: Counts, elapsed: Duration, _: bool) {
    let is_known = counts.files_total != 0;
    let line = Line {
        event: "progress",
        files: counts.files,
        files_total: is_known.then_some(counts.files_total),
        bytes: counts.bytes,
        bytes_total: is_known.then_some(counts.bytes_total),
        seconds: (elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
    };
    if let Ok(mut line) = serde_json::to_vec(&line) {
        line.push(b'\n');
        // In one write, for standard error has no buffer. Nobody need read it.
        let _ = io::stderr().write_all(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::ProgressDrawTarget;

    #[test]
    fn shows_files_until_there_are_bytes() {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let progress = Progress::default();
        progress.add_files(1234);
        set(&bar, progress.counts());
        assert_eq!(
            (bar.length(), bar.message()),
            (None, "1,234 files found".to_owned())
        );
        progress.begin(2000, 0);
        progress.add_files(7);
        set(&bar, progress.counts());
        assert_eq!((bar.length(), bar.position()), (Some(2000), 7));
        progress.begin(2000, 1 << 20);
        progress.add_bytes(5);
        progress.take_back_bytes(2);
        set(&bar, progress.counts());
        assert_eq!((bar.length(), bar.position()), (Some(1 << 20), 3));
        assert_eq!(bar.message(), "0/2,000");
    }
}
