//! This process.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::process::{Pid, PidfdFlags, Signal};

use super::descriptor::{Readiness, redirect, wait_readable};

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

/// Has this process killed when the thread that started it ends (prctl(2),
/// `PR_SET_PDEATHSIG`), or not any more.
///
/// # Errors
/// As prctl(2).
pub fn die_with_parent(die: bool) -> io::Result<()> {
    let signal = die.then_some(Signal::KILL);
    Ok(rustix::process::set_parent_process_death_signal(signal)?)
}

/// Makes the root the working directory, so that no other is in use.
///
/// # Errors
/// As chdir(2).
pub fn leave_directory() -> io::Result<()> {
    Ok(rustix::process::chdir("/")?)
}

/// Lets go of what we were given: the working directory, standard input, output
/// and error. Whoever waits for them to be closed goes on.
///
/// # Errors
/// As chdir(2) and dup2(2), or without `/dev/null`.
pub fn let_go() -> io::Result<()> {
    let nothing = Nothing::open()?;
    leave_directory()?;
    nothing.be_input()?;
    redirect(io::stdout().as_fd(), nothing.as_fd())?;
    nothing.be_error()
}

/// Where nothing comes from and everything may go.
#[derive(Debug)]
pub struct Nothing(File);

impl AsFd for Nothing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Nothing {
    /// Opens it; it is of use when nothing else can be opened any more.
    ///
    /// # Errors
    /// As open(2) of `/dev/null`.
    pub fn open() -> io::Result<Self> {
        let null = File::options().read(true).write(true).open("/dev/null")?;
        Ok(Self(null))
    }

    /// Standard input from now on.
    ///
    /// # Errors
    /// As dup2(2).
    pub fn be_input(&self) -> io::Result<()> {
        redirect(io::stdin().as_fd(), self.0.as_fd())
    }

    /// Standard error from now on.
    ///
    /// # Errors
    /// As dup2(2).
    pub fn be_error(&self) -> io::Result<()> {
        redirect(io::stderr().as_fd(), self.0.as_fd())
    }
}

/// How the first thread of a process has ended that nobody has waited for
/// (proc_pid_stat(5), the last field).
///
/// # Errors
/// Without `/proc`.
pub fn end_of(pid: u32) -> io::Result<ExitStatus> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let last = stat.split_whitespace().next_back();
    let code = last.and_then(|field| field.parse().ok());
    let code = code.ok_or(io::ErrorKind::InvalidData)?;
    Ok(ExitStatus::from_raw(code))
}

/// Whether a signal that has ended a process was sent by somebody, and not raised
/// by what it did (signal(7)).
#[must_use]
pub fn is_from_somebody(signal: i32) -> bool {
    [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP]
        .iter()
        .any(|other| other.as_raw() == signal)
}

/// `PIDFD_THREAD` (pidfd_open(2), Linux 6.9): the end of the first thread is
/// told, and not that of the last one.
const PIDFD_THREAD: PidfdFlags = PidfdFlags::from_bits_retain(OFlags::EXCL.bits());

/// A process, and never another one that got its number (pidfd_open(2)).
#[derive(Debug)]
pub struct Process(OwnedFd);

impl Process {
    /// A process that was not waited for yet.
    ///
    /// # Errors
    /// As pidfd_open(2).
    pub fn of(pid: u32) -> io::Result<Self> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or(io::ErrorKind::InvalidInput)?;
        let opened = match rustix::process::pidfd_open(pid, PIDFD_THREAD) {
            Err(rustix::io::Errno::INVAL) => rustix::process::pidfd_open(pid, PidfdFlags::empty())?,
            opened => opened?,
        };
        Ok(Self(opened))
    }

    /// Waits until its first thread has ended, which is when it does nothing of
    /// its own will any more. Others may be caught in the kernel still; before
    /// Linux 6.9 they are waited for.
    ///
    /// # Errors
    /// As poll(2).
    pub fn wait(&self) -> io::Result<()> {
        let for_ever = Duration::from_secs(1 << 30);
        while wait_readable(&self.0, for_ever)? == Readiness::Nothing {}
        Ok(())
    }

    /// Kills it. That it has ended already is no error.
    ///
    /// # Errors
    /// As pidfd_send_signal(2).
    pub fn kill(&self) -> io::Result<()> {
        match rustix::process::pidfd_send_signal(&self.0, Signal::KILL) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            sent => Ok(sent?),
        }
    }

    /// Asks it to end (`SIGTERM`). That it has ended already is no error.
    ///
    /// # Errors
    /// As pidfd_send_signal(2).
    pub fn terminate(&self) -> io::Result<()> {
        match rustix::process::pidfd_send_signal(&self.0, Signal::TERM) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            sent => Ok(sent?),
        }
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Process {
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }
}
