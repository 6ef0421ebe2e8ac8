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
/// As setsid(2).
pub fn leave_session() -> io::Result<()> {
    rustix::process::setsid()?;
    Ok(())
}

/// Lets go of what we were given: the working directory, standard input, output
/// and error. Whoever waits for them to be closed goes on.
///
/// # Errors
/// As chdir(2) and dup2(2), or without `/dev/null`.
pub fn let_go() -> io::Result<()> {
    rustix::process::chdir("/")?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}

/// Asks a process to end.
///
/// # Errors
/// As kill(2).
pub fn terminate(pid: u32) -> io::Result<()> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    }
    Ok(())
}
