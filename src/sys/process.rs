//! This process.

use std::fs::File;
use std::io;

/// The effective user and group.
#[must_use]
pub fn user() -> (u32, u32) {
    (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    )
}

/// Leaves the terminal and the session of whoever started us.
///
/// # Errors
/// As setsid(2), or without `/dev/null`.
pub fn detach_from_terminal() -> io::Result<()> {
    rustix::process::setsid()?;
    rustix::process::chdir("/")?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(())
}

/// Gives up standard output, and standard error as well unless it is to be kept:
/// whoever waits for them to be closed goes on.
///
/// # Errors
/// As dup2(2), or without `/dev/null`.
pub fn close_output() -> io::Result<()> {
    let null = File::options().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}
