//! The worker as its supervisor sees it: a process, and what it says.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::fuse::Connection;
use crate::sys::datagram;
use crate::sys::descriptor::{Readiness, wait_readable};
use crate::sys::namespace::Outside;
use crate::sys::process::{self, Process};

use super::message::{FromWorker, Link, ToWorker};
use super::policy::Death;

/// How often it is looked whether a worker is there of whom nothing is heard.
const INTERVAL: Duration = Duration::from_millis(50);
/// How long all threads of one that has ended may take to be gone, and how often it is
/// looked.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(2);

/// A process that is there.
#[derive(Debug)]
pub(super) struct Worker {
    child: Child,
    process: Process,
    link: Link,
    /// It has said that no other worker should follow.
    shut_down: bool,
}

impl Worker {
    /// Starts it, with a socket to here as its standard input.
    pub(super) fn start(mut command: Command, outside: Option<&Outside>) -> io::Result<Self> {
        let (ours, theirs) = datagram::pair()?;
        command.stdin(Stdio::from(theirs)).stdout(Stdio::null());
        // The command holds the other end of the socket; it goes in any case.
        let mut child = Outside::run_in(outside, move || command.spawn())??;
        match Process::of(child.id()) {
            Ok(process) => Ok(Self {
                child,
                process,
                link: Link::from(ours),
                shut_down: false,
            }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    pub(super) fn tell(&self, message: &ToWorker) -> io::Result<()> {
        self.link.tell_worker(message)
    }

    /// Nothing at all when it has ended.
    pub(super) fn hear(&self) -> io::Result<Option<FromWorker>> {
        self.hear_unless(|| false)
    }

    /// The same, and an error when it need not be waited for any more.
    pub(super) fn hear_unless(
        &self,
        is_useless: impl Fn() -> bool,
    ) -> io::Result<Option<FromWorker>> {
        // Its end of the socket may be open for longer than that.
        while wait_readable(&self.link, INTERVAL)? == Readiness::Nothing {
            if self.process.is_over() {
                return Ok(None);
            }
            if is_useless() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        match self.link.hear_worker() {
            // It died before it had read what it was told.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
            heard => heard,
        }
    }

    /// Waits for what it says of the manifest. The numbers of inodes that it gives
    /// before that, of up to `max` bytes, go to `numbers`.
    pub(super) fn hear_of_manifest(
        &self,
        is_useless: impl Fn() -> bool,
        mut numbers: impl Write,
        max: u64,
    ) -> io::Result<Option<FromWorker>> {
        let mut left = max;
        loop {
            let heard = self.hear_unless(&is_useless)?;
            let Some(FromWorker::Numbers(part)) = heard else {
                return Ok(heard);
            };
            left = left.checked_sub(part.len() as u64).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, "there are too many numbers")
            })?;
            numbers.write_all(&part)?;
        }
    }

    /// By which others can kill it.
    pub(super) fn process(&self) -> io::Result<Process> {
        self.process.try_clone()
    }

    /// Waits for a moment, and tells whether it has ended.
    pub(super) fn ends(&self) -> io::Result<bool> {
        self.process.ends_within(INTERVAL)
    }

    pub(super) fn is_over(&self) -> bool {
        self.process.is_over()
    }

    pub(super) fn kill(&self) -> io::Result<()> {
        self.process.kill()
    }

    /// Whether it has said that no other worker should follow.
    pub(super) fn has_shut_down(&mut self) -> bool {
        let mut more = !self.shut_down;
        while more {
            // What it said before it ended is there; its end of the socket need not
            // be closed yet.
            let is_there = wait_readable(&self.link, Duration::ZERO);
            let heard = match is_there {
                Ok(Readiness::Readable) => self.link.hear_worker().ok().flatten(),
                _ => None,
            };
            self.shut_down |= heard == Some(FromWorker::ShutDown);
            more = heard.is_some() && !self.shut_down;
        }
        self.shut_down
    }

    /// How it has ended, while threads of it are left. The kernel tells that to whoever
    /// may look into it (`CAP_SYS_PTRACE`), and 0 to others. Most often all are gone soon; a
    /// worker that nobody has killed does not leave one behind that is caught.
    fn end(&mut self) -> io::Result<ExitStatus> {
        let told = process::end_of(self.child.id())?;
        let since = Instant::now();
        while told.success() && since.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(PAUSE);
        }
        Ok(if told.success() {
            process::killed()
        } else {
            told
        })
    }

    /// Waits until it has ended: until its first thread has. Another one may be
    /// caught in the kernel, where it waits for a page that somebody is reading
    /// whose request is not answered any more; so nothing here waits for that.
    pub(super) fn wait(mut self) -> io::Result<Ended> {
        self.process.wait()?;
        let status = match self.child.try_wait()? {
            Some(status) => status,
            None => self.end()?,
        };
        Ok(Ended {
            status,
            worker: self,
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // All of it fails when it was waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = self.child.try_wait();
    }
}

/// A process that has ended. Threads of it may still be there.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    worker: Worker,
}

impl Ended {
    /// Whether it has said that no other worker should follow.
    pub(super) fn has_shut_down(&mut self) -> bool {
        self.worker.has_shut_down()
    }

    /// Waits until all of it is gone, on a thread of its own. A thread that was
    /// taking a request when it ended has lost it; so they come again after that.
    pub(super) fn bury(mut self, connection: &Connection) {
        let Ok(connection) = copy(connection).map(Connection::from) else {
            return;
        };
        if let Ok(None) = self.worker.child.try_wait() {
            let thread = std::thread::Builder::new().name("bury".to_owned());
            let _ = thread.spawn(move || {
                let _ = self.worker.child.wait();
                let _ = connection.resend();
            });
        }
    }
}

/// How a process died.
pub(super) fn death(status: ExitStatus) -> Death {
    if status.signal().is_some_and(process::is_from_somebody) {
        Death::Killed
    } else {
        Death::Crashed
    }
}

/// A copy of a descriptor, to be sent.
pub(super) fn copy(descriptor: impl AsFd) -> io::Result<OwnedFd> {
    descriptor.as_fd().try_clone_to_owned()
}
