//! This process.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

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
/// and, if it is wanted, error. Whoever waits for them to be closed goes on.
///
/// # Errors
/// As chdir(2) and dup2(2), or without `/dev/null`.
pub fn let_go(error_too: bool) -> io::Result<()> {
    let nothing = Nothing::open()?;
    leave_directory()?;
    nothing.be_input()?;
    redirect(io::stdout().as_fd(), nothing.as_fd())?;
    if error_too {
        nothing.be_error()?;
    }
    Ok(())
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
/// (proc_pid_stat(5), the last field); success, where we may not look into it.
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

/// How a process ends that somebody kills.
#[must_use]
pub fn killed() -> ExitStatus {
    ExitStatus::from_raw(Signal::KILL.as_raw())
}

/// Whether a signal that has ended a process was sent by somebody, and not raised
/// by what it did (signal(7)).
#[must_use]
pub fn is_from_somebody(signal: i32) -> bool {
    [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP]
        .iter()
        .any(|other| other.as_raw() == signal)
}

/// How often it is looked whether a process has ended of which a thread is left.
const INTERVAL: Duration = Duration::from_millis(50);

/// A process, and never another one that got its number (pidfd_open(2)).
#[derive(Debug)]
pub struct Process {
    number: Pid,
    descriptor: OwnedFd,
}

impl Process {
    /// A process that was not waited for yet.
    ///
    /// # Errors
    /// As pidfd_open(2).
    pub fn of(pid: u32) -> io::Result<Self> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self {
            number: pid,
            descriptor: rustix::process::pidfd_open(pid, PidfdFlags::empty())?,
        })
    }

    /// Waits until its first thread has ended, which is when it does nothing of
    /// its own will any more. Others may be caught in the kernel still, and no
    /// descriptor tells of the first one before they are gone (kernel/exit.c,
    /// `delay_group_leader`); so it is looked for.
    ///
    /// # Errors
    /// As poll(2).
    pub fn wait(&self) -> io::Result<()> {
        while !self.ends_within(INTERVAL)? {}
        Ok(())
    }

    /// Waits until it has ended, for as long as `limit`; tells whether it has.
    ///
    /// # Errors
    /// As poll(2).
    pub fn ends_within(&self, limit: Duration) -> io::Result<bool> {
        let start = std::time::Instant::now();
        while start.elapsed() < limit {
            let ended = wait_readable(&self.descriptor, INTERVAL)? != Readiness::Nothing;
            if ended || self.is_over() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether its first thread has ended. Nobody has waited for it, so the number
    /// is nobody else's (proc_pid_stat(5): the state stands behind the name).
    #[must_use]
    pub fn is_over(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.number.as_raw_pid()));
        let stat = stat.unwrap_or_default();
        let state = stat.rsplit(')').next().map(str::trim_start);
        state.is_some_and(|state| state.starts_with(['Z', 'X']))
    }

    /// A second hold on it.
    ///
    /// # Errors
    /// As fcntl(2).
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            number: self.number,
            descriptor: self.descriptor.try_clone()?,
        })
    }

    /// Kills it. That it has ended already is no error.
    ///
    /// # Errors
    /// As pidfd_send_signal(2).
    pub fn kill(&self) -> io::Result<()> {
        match rustix::process::pidfd_send_signal(&self.descriptor, Signal::KILL) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            sent => Ok(sent?),
        }
    }

    /// Asks it to end (`SIGTERM`). That it has ended already is no error.
    ///
    /// # Errors
    /// As pidfd_send_signal(2).
    pub fn terminate(&self) -> io::Result<()> {
        match rustix::process::pidfd_send_signal(&self.descriptor, Signal::TERM) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            sent => Ok(sent?),
        }
    }
}
