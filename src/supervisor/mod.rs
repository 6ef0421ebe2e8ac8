//! Two processes: the supervisor mounts, keeps the connection to the kernel, and
//! takes the mount away again; the worker reads what nobody vouches for, the
//! manifest and the backing, and serves. When the worker dies another one takes
//! its place, and no reader sees it: the kernel sends again what was not answered
//! (`FUSE_NOTIFY_RESEND`, Linux 6.9). The supervisor reads nothing but the
//! kernel's first message and a few words of the worker.

mod control;
mod error;
mod lost;
mod message;
mod policy;
mod reload;
mod served;
mod socket;
mod view;
mod worker;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::escape::OneLine;
use crate::fuse::{Connection, MountOptions, Turn, Unserved};
use crate::sys::mount::open_fuse_device;
use crate::sys::namespace::Outside;

pub use control::Control;
pub use error::SupervisorError;
pub use message::{Before, FromWorker, Link, Numbers, ToWorker};
pub use reload::{Origin, ask as ask_to_reload};
pub use socket::status_path;

use policy::{Death, Next, Policy};
use reload::{Ask, ControlSocket};
use served::{Served, Tools};
use socket::StatusSocket;
use view::View;
use worker::{Ended, Worker};

/// How long reading another manifest may take.
const RELOAD_MAX: Duration = Duration::from_secs(90);

/// What to mount, and how.
#[derive(Debug)]
pub struct Plan {
    /// The manifest, opened; a worker reads it from its beginning.
    pub manifest: File,
    /// The directory that has the content, opened.
    pub backing: OwnedFd,
    /// Where to mount.
    pub mountpoint: PathBuf,
    /// What to serve instead, if somebody else has mounted it and nobody serves it.
    pub given: Option<OwnedFd>,
    /// Where workers are started, and the FUSE device is found, if the mount is to be
    /// in another namespace.
    pub outside: Option<Outside>,
    /// How.
    pub options: MountOptions,
    /// The directory for the socket on which the status is told, if it is.
    pub status: Option<PathBuf>,
    /// Where the manifest came from, if it can be read anew.
    pub origin: Option<Origin>,
    /// Whether the next worker may take over where the last one stopped. If not,
    /// everything is mounted anew when one dies, as before Linux 6.9.
    pub hand_over: bool,
}

/// Of which program a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The same as its supervisor.
    Same,
    /// The one that is installed by now where that was.
    Installed,
}

/// Looks after a mount and its worker.
pub struct Supervisor<Start> {
    plan: Place,
    start: Start,
    control: Control,
    view: View,
    /// The one before, for as long as the kernel may remember something of it.
    before: Option<View>,
    /// Who asked while a worker died.
    postponed: Option<Ask>,
    /// How many workers there were before this one.
    restarts: u32,
    /// How many manifests there were before this one.
    reloads: u32,
}

/// A [`Plan`] without the manifest.
struct Place {
    backing: OwnedFd,
    mountpoint: PathBuf,
    given: Option<OwnedFd>,
    outside: Option<Outside>,
    options: MountOptions,
    status: Option<PathBuf>,
    origin: Option<Origin>,
    hand_over: bool,
}

impl<Start: FnMut(Program) -> Command> Supervisor<Start> {
    /// `start` gives the command by which a worker is started; what it hears is
    /// [`ToWorker`], on its standard input.
    pub fn new(plan: Plan, start: Start) -> Self {
        let Plan {
            manifest,
            backing,
            mountpoint,
            given,
            outside,
            options,
            status,
            origin,
            hand_over,
        } = plan;
        Self {
            plan: Place {
                backing,
                mountpoint,
                given,
                outside,
                options,
                status,
                origin,
                hand_over,
            },
            start,
            control: Control::default(),
            view: View::new(manifest),
            before: None,
            postponed: None,
            restarts: 0,
            reloads: 0,
        }
    }

    /// By which others can end what is going on.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Has a worker read the manifest, and does not mount it.
    ///
    /// # Errors
    /// See [`SupervisorError`].
    pub fn check(&mut self) -> Result<(), SupervisorError> {
        self.load().map(drop)
    }

    /// Calls `begins` when a worker has read the manifest, mounts, calls `ready`
    /// with what that gave, and returns when the filesystem is gone.
    ///
    /// Nobody sees the mount before a worker has read the manifest and answers.
    ///
    /// # Errors
    /// See [`SupervisorError`]. Nothing stays mounted but what somebody else has
    /// covered.
    pub fn run<T>(
        mut self,
        begins: impl FnOnce() -> io::Result<T>,
        ready: impl FnOnce(T, &Path) -> io::Result<()>,
    ) -> Result<(), SupervisorError> {
        let worker = self.load()?;
        let begun = begins().map_err(SupervisorError::Told)?;
        let (mut served, worker) = self.mount(worker)?;
        if let Err(error) = ready(begun, served.mounted.path()) {
            // Whoever waited is not there any more.
            let _ = self.control.unmount();
            let _ = end_of(worker);
            return Err(SupervisorError::Told(error));
        }
        let mut policy = Policy::default();
        let mut worker = Ok(worker);
        let mut asked = None;
        loop {
            if let (Ok(_), Some(ask), Some(digest)) = (&worker, &asked, self.view.digest()) {
                Ask::done(ask, digest);
                asked = None;
            }
            let mut ended = match worker {
                Ok(mut serving) if !serving.ends().map_err(SupervisorError::Worker)? => {
                    worker = match self.postponed.take().or_else(|| served.next_ask()) {
                        Some(ask) if serving.has_shut_down() => {
                            ask.refused(&SupervisorError::ShutDown.to_string());
                            Ok(serving)
                        }
                        Some(ask) => self.reload(&served, serving, ask, &mut asked),
                        None => Ok(serving),
                    };
                    continue;
                }
                Ok(serving) => end_of(serving),
                Err(error) => Err(error),
            };
            let (death, how) = match &ended {
                Ok(Ended { status, .. }) | Err(SupervisorError::Died(status)) => {
                    (worker::death(*status), status.to_string())
                }
                Err(error) => {
                    // It may be the newer program that cannot.
                    self.control.go_back();
                    (Death::Crashed, error.to_string())
                }
            };
            if self.control.is_killed() {
                served.mounted.abort();
                return Err(SupervisorError::Killed);
            }
            let has_shut_down = match &mut ended {
                Ok(ended) => ended.has_shut_down(),
                Err(error) => matches!(error, SupervisorError::ShutDown),
            };
            let connection = served.mounted.connection();
            if !connection.is_alive().map_err(SupervisorError::Connection)? {
                return if has_shut_down {
                    Err(SupervisorError::ShutDown)
                } else {
                    Ok(())
                };
            }
            let next = if has_shut_down {
                Next::Never
            } else {
                policy.died(death, Instant::now())
            };
            log::error!("event=worker_died next={} cause={how:?}", next.word());
            if let Ok(ended) = ended {
                ended.bury(connection);
            }
            worker = match next {
                Next::Never => {
                    // Whoever asked, and whoever will, hears that nobody answers.
                    served.control = None;
                    self.postponed = None;
                    drop(asked);
                    refuse(&served)?;
                    return Err(if has_shut_down {
                        SupervisorError::ShutDown
                    } else {
                        SupervisorError::GaveUp(how)
                    });
                }
                _ if !served.can_hand_over => {
                    // First, for what is gone is not found any more. Then whoever
                    // waits for an answer gets an error.
                    let detached = served.mounted.detach();
                    served.mounted.abort();
                    detached.map_err(SupervisorError::Connection)?;
                    drop(served);
                    let worker = self.load()?;
                    let mounted = self.mount(worker)?;
                    served = mounted.0;
                    Ok(mounted.1)
                }
                Next::Again => self.follow(&served),
                Next::Without => refuse_taken(connection).and_then(|()| self.follow(&served)),
            };
        }
    }

    /// Has a worker read the manifest.
    fn load(&mut self) -> Result<Worker, SupervisorError> {
        let command = (self.start)(self.control.program());
        let worker =
            Worker::start(command, self.plan.outside.as_ref()).map_err(SupervisorError::Worker)?;
        let process = worker.process().map_err(SupervisorError::Worker)?;
        self.control.works(process);
        if self.control.is_killed() {
            return Err(SupervisorError::Killed);
        }
        let begin = || -> io::Result<()> {
            worker.tell(&ToWorker::Begin {
                pin: self.view.digest(),
                manifest: worker::copy(self.view.manifest())?,
                backing: worker::copy(&self.plan.backing)?,
                numbers: self.view.numbers(self.before.as_ref())?,
            })
        };
        if let Err(error) = begin() {
            return Err(not_told(worker, error));
        }
        match worker.hear().map_err(SupervisorError::Worker)? {
            Some(FromWorker::Loaded(digest)) => {
                // The next one is held to that of the first.
                self.view.found(digest);
                Ok(worker)
            }
            Some(FromWorker::Refused(_)) => Err(not_ready(worker, None)),
            other => Err(not_ready(worker, other)),
        }
    }

    /// Lets another worker read the manifest anew, and serve that instead of this one.
    /// If it cannot, whoever asked is told, and this one goes on; if it can, whoever
    /// asked is told later, when a worker serves it.
    fn reload(
        &mut self,
        served: &Served,
        serving: Worker,
        ask: Ask,
        asked: &mut Option<Ask>,
    ) -> Result<Worker, SupervisorError> {
        let loaded = ask
            .manifest
            .try_clone()
            .and_then(view::Next::new)
            .map_err(|error| error.to_string())
            .and_then(|next| self.load_next(next, &serving));
        let (next, worker) = match loaded {
            Ok(loaded) => loaded,
            Err(_) if serving.is_over() => {
                // First somebody has to serve.
                self.postponed = Some(ask);
                return Ok(serving);
            }
            Err(reason) => {
                ask.refused(&reason);
                return Ok(serving);
            }
        };
        // From here on there is no way back: the kernel is told of the new one.
        *asked = Some(ask);
        self.before = Some(std::mem::replace(&mut self.view, next));
        self.reloads = self.reloads.saturating_add(1);
        log::info!("event=reloaded count={}", self.reloads);
        let process = worker.process().map_err(SupervisorError::Worker)?;
        self.control.works(process);
        serving.kill().map_err(SupervisorError::Worker)?;
        let mut ended = end_of(serving)?;
        if ended.has_shut_down() {
            return Err(SupervisorError::ShutDown);
        }
        ended.bury(served.mounted.connection());
        self.take_over(served, worker)
    }

    /// Has a worker read what is to follow, while another one serves. Why it cannot, in
    /// words for whoever asked.
    fn load_next(&mut self, next: view::Next, serving: &Worker) -> Result<(View, Worker), String> {
        let since = Instant::now();
        let is_useless = || serving.is_over() || since.elapsed() > RELOAD_MAX;
        let words = |error: io::Error| match error.kind() {
            io::ErrorKind::TimedOut => "reading the manifest takes too long".to_owned(),
            _ => error.to_string(),
        };
        let command = (self.start)(self.control.program());
        let worker = Worker::start(command, self.plan.outside.as_ref()).map_err(words)?;
        let begin = || -> io::Result<()> {
            worker.tell(&ToWorker::Begin {
                pin: None,
                manifest: worker::copy(next.manifest())?,
                backing: worker::copy(&self.plan.backing)?,
                numbers: next.numbers(&self.view)?,
            })
        };
        begin().map_err(words)?;
        match worker.hear_unless(is_useless).map_err(words)? {
            Some(FromWorker::Loaded(digest)) => Ok((next.accept(digest).map_err(words)?, worker)),
            Some(FromWorker::Refused(reason)) => Err(OneLine(&reason).to_string()),
            other => Err(not_ready(worker, other).to_string()),
        }
    }

    /// Lets a worker serve that has read the manifest, where another one has ended.
    fn take_over(&mut self, served: &Served, worker: Worker) -> Result<Worker, SupervisorError> {
        let connection = served.mounted.connection();
        let counts = (self.restarts, self.reloads);
        let worker = served
            .tools
            .serve(worker, connection, Turn::Again, counts)?;
        // The kernel has forgotten what is different.
        self.before = None;
        Ok(worker)
    }

    /// Mounts, and lets a worker serve that.
    fn mount(&mut self, worker: Worker) -> Result<(Served, Worker), SupervisorError> {
        let unserved = match self.plan.given.take() {
            Some(device) => Unserved::take_over(device)?,
            None => {
                Unserved::mount_through(&self.plan.mountpoint, self.plan.options.clone(), || {
                    match &self.plan.outside {
                        Some(outside) => outside.run(open_fuse_device)?,
                        None => open_fuse_device(),
                    }
                })?
            }
        };
        let connection = unserved.connection();
        let init = connection
            .take_init()
            .map_err(SupervisorError::Connection)?;
        let tools = Tools {
            init,
            device_number: unserved.device_number(),
            status: self.bind(unserved.device_number()),
        };
        let counts = (self.restarts, self.reloads);
        let worker = tools.serve(worker, connection, Turn::First, counts)?;
        // Nothing has been asked yet, so nothing comes again now.
        let can_hand_over = self.plan.hand_over && connection.resend().is_ok();
        let control = self.bind_control(unserved.device_number(), can_hand_over);
        let mounted = unserved.attach()?;
        self.control.is_mounted(mounted.unmounter());
        if can_hand_over && let Err(error) = lost::watch(&mounted, tools.status.as_ref()) {
            log::debug!("nobody looks for lost requests: {error}");
        }
        let served = Served {
            mounted,
            tools,
            control,
            can_hand_over,
        };
        Ok((served, worker))
    }

    /// Without a status everything else goes on.
    fn bind(&self, device_number: u64) -> Option<StatusSocket> {
        let directory = self.plan.status.as_deref()?;
        StatusSocket::bind(directory, device_number)
            .inspect_err(|error| log::warn!("event=status_off error={:?}", error.to_string()))
            .ok()
    }

    /// Nobody can ask for another manifest without it, and everything else goes on.
    fn bind_control(&self, device_number: u64, can_hand_over: bool) -> Option<ControlSocket> {
        let directory = self.plan.status.as_deref().filter(|_| can_hand_over)?;
        let origin = self.plan.origin.clone()?;
        ControlSocket::bind(directory, device_number, origin)
            .inspect_err(|error| log::warn!("event=reload_off error={:?}", error.to_string()))
            .ok()
    }

    /// Lets another worker go on.
    fn follow(&mut self, served: &Served) -> Result<Worker, SupervisorError> {
        self.restarts = self.restarts.saturating_add(1);
        let worker = self.load()?;
        self.take_over(served, worker)
    }
}

/// Lets no other worker have a try: whoever asks gets an error, until the filesystem
/// is gone.
fn refuse(served: &Served) -> Result<(), SupervisorError> {
    let connection = served.mounted.connection();
    if served.can_hand_over {
        let refused = connection.resend().and_then(|()| connection.refuse());
        return refused.map_err(SupervisorError::Connection);
    }
    // They would wait for ever; so they lose the whole mount.
    let _ = served.mounted.detach();
    served.mounted.abort();
    Ok(())
}

/// Has the requests fail that the last worker has taken.
fn refuse_taken(connection: &Connection) -> Result<(), SupervisorError> {
    let refused = connection.resend().and_then(|()| connection.refuse_all());
    refused.map_err(SupervisorError::Connection)
}

/// Why a worker cannot be told anything: most often it has ended, and how it did
/// says more.
fn not_told(worker: Worker, error: io::Error) -> SupervisorError {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => not_ready(worker, None),
        _ => SupervisorError::Worker(error),
    }
}

/// Why a worker did not say what it should.
fn not_ready(worker: Worker, said: Option<FromWorker>) -> SupervisorError {
    if said.is_some() {
        let cause = io::Error::other("it does not say what it should");
        return SupervisorError::Worker(cause);
    }
    match worker.wait() {
        // It ended by itself, and has said why.
        Ok(Ended { status, .. }) if status.code().is_some() => SupervisorError::Refused(status),
        Ok(Ended { status, .. }) => SupervisorError::Died(status),
        Err(error) => SupervisorError::Worker(error),
    }
}

fn end_of(worker: Worker) -> Result<Ended, SupervisorError> {
    worker.wait().map_err(SupervisorError::Worker)
}
