//! The one place that prints errors.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use crate::escape::OneLine;

use super::TROUBLE;

/// Prints an error of `program` and all its causes on one line of standard
/// error.
pub fn error(program: &str, error: &(dyn Error + 'static)) {
    print(program, &chain(error));
}

/// Prints a line of ours on standard error.
pub fn line(text: &str) {
    print("continuity", text);
}

/// The same, of another program of ours.
pub fn text(program: &str, text: &str) {
    print(program, text);
}

/// In one write, for standard error has no buffer.
fn print(program: &str, text: &str) {
    let line = format!("{program}: {}\n", OneLine(text));
    // There is nowhere left to say that this failed.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Prints what is wrong with the arguments, or the help or version that they
/// ask for.
#[must_use]
pub fn usage(program: &str, error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let mut stderr = std::io::stderr().lock();
    let _ = write!(stderr, "{program}: ");
    for line in text.lines() {
        let _ = writeln!(stderr, "{}", OneLine(line));
    }
    ExitCode::from(TROUBLE)
}

/// The message of an error and those of its causes, each of which says
/// something that the one before did not.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let message = cause.to_string();
        if !line.ends_with(&message) {
            line.push_str(": ");
            line.push_str(&message);
        }
        next = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Limits, Manifest};

    #[test]
    fn a_cause_is_said_once() {
        let error = Manifest::read(&[0x0a, 0], &Limits::default()).unwrap_err();
        assert_eq!(chain(&error), "resource 0 at byte 0: it has no path");
    }
}
