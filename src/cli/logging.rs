//! The log: lines on standard error.

use std::io::Write;

use log::LevelFilter;

use crate::escape::OneLine;

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
