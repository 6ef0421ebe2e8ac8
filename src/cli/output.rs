//! Standard output.

use std::error::Error;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use thiserror::Error;

use crate::list::Names;

/// Standard output, buffered; to be finished, or the end is missing.
#[derive(Debug)]
pub struct Output(BufWriter<Stdout>);

/// Whoever read standard output has gone, as `head` does. No error to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("nobody reads standard output any more")]
struct ReaderGone;

impl Output {
    /// Takes standard output.
    #[must_use]
    pub fn stdout() -> Self {
        Self(BufWriter::with_capacity(64 * 1024, io::stdout()))
    }

    /// Writes what is still in the buffer.
    ///
    /// # Errors
    /// Whatever writing says.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(mark)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(mark)
    }
}

fn mark(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => io::Error::new(io::ErrorKind::BrokenPipe, ReaderGone),
        _ => error,
    }
}

/// Whether an error, or one of its causes, is that nobody reads any more.
#[must_use]
pub fn reader_is_gone(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        if inner.is_some_and(|inner| inner.is::<ReaderGone>()) {
            return true;
        }
        next = error.source();
    }
    false
}

/// Whether somebody reads what was written: if not, that is no error, and the exit
/// status still tells.
///
/// # Errors
/// Whatever else writing said.
pub fn is_still_read(written: io::Result<()>) -> io::Result<bool> {
    match written {
        Err(error) if reader_is_gone(&error) => Ok(false),
        written => written.map(|()| true),
    }
}

/// Whether standard output takes colours: a terminal does, unless its user does
/// not want them (<https://no-color.org>).
#[must_use]
pub fn is_coloured() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

/// How names are written to standard output: a terminal must not be made to
/// obey them, anything else gets what the Go tool writes.
#[must_use]
pub fn names() -> Names {
    if io::stdout().is_terminal() {
        Names::Escaped
    } else {
        Names::Raw
    }
}
