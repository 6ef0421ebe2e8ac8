//! Two processes: the supervisor mounts, keeps the connection to the kernel, and
//! takes the mount away again; the worker reads what nobody vouches for, the
//! manifest and the backing, and serves. When the worker dies another one takes
//! its place, and no reader sees it: the kernel sends again what was not answered
//! (`FUSE_NOTIFY_RESEND`, Linux 6.9). The supervisor reads nothing but the
//! kernel's first message and a few words of the worker.

mod ask;
mod backing;
mod begin;
mod control;
mod counts;
mod error;
mod kept;
mod lost;
mod message;
mod mounter;
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
use std::time::Instant;

use crate::fuse::{Connection, MountOptions};
use crate::sys::namespace::Outside;

pub use ask::{Origin, ask as ask_to_reload};
pub use backing::Backing;
pub use control::Control;
pub use counts::Counts;
pub use error::SupervisorError;
pub use kept::{KEPT_NAMES, Keeper, Keeping, Kept, KeptError};
pub use message::{Before, FromWorker, Link, Numbers, ToWorker};
pub use mounter::Mounter;
pub use socket::status_path;

use ask::Ask;
use error::end_of;
use lost::Lost;
use policy::{Death, Next, Policy};
use served::Served;
use view::View;
use worker::Ended;

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
    /// Who mounts; it is let go of when nothing has to be mounted any more.
    pub mounter: Mounter,
    /// What this process has given up, as JSON, for the status.
    pub confined: String,
    /// How.
    pub options: MountOptions,
    /// The directory for the socket on which the status is told, if it is.
    pub status: Option<PathBuf>,
    /// Where the manifest came from, if it can be read anew.
    pub origin: Option<Origin>,
    /// Whether the next worker may take over where the last one stopped. If not,
    /// everything is mounted anew when one dies, as before Linux 6.9.
    pub hand_over: bool,
    /// Where workers write down what the kernel has of private copies, if there are to
    /// be any: an empty file, in memory.
    pub copies: Option<File>,
    /// What was left of the mount, if it was there before.
    pub kept: Option<Kept>,
    /// Who keeps it for the case that all processes are killed, if somebody does.
    pub keeping: Option<Keeping>,
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
    /// How many requests were lost.
    lost: Lost,
}

/// A [`Plan`] without the manifest.
struct Place {
    backing: OwnedFd,
    mountpoint: PathBuf,
    given: Option<OwnedFd>,
    outside: Option<Outside>,
    mounter: Option<Mounter>,
    confined: String,
    options: MountOptions,
    status: Option<PathBuf>,
    origin: Option<Origin>,
    hand_over: bool,
    copies: Option<File>,
    kept: Option<Kept>,
    keeping: Option<Keeping>,
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
            mounter,
            confined,
            options,
            status,
            origin,
            hand_over,
            copies,
            kept,
            keeping,
        } = plan;
        Self {
            plan: Place {
                backing,
                mountpoint,
                given,
                outside,
                mounter: Some(mounter),
                confined,
                options,
                status,
                origin,
                hand_over,
                copies,
                kept,
                keeping,
            },
            start,
            control: Control::default(),
            view: View::new(manifest),
            before: None,
            postponed: None,
            restarts: 0,
            reloads: 0,
            lost: Lost::default(),
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
    /// with what that gave, and returns when the filesystem is gone. Where something was
    /// kept, that goes on.
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
        let (begun, (mut served, worker)) = match self.plan.kept.take() {
            Some(kept) => {
                // There is something to clean up already.
                let begun = begins().map_err(SupervisorError::Told)?;
                // It is kept already. To take it back for a moment would lose it if
                // this process were killed then.
                (begun, self.resume(kept)?)
            }
            None => {
                let worker = self.load()?;
                let begun = begins().map_err(SupervisorError::Told)?;
                let mounted = self.mount(worker)?;
                self.keep(&mounted.0);
                (begun, mounted)
            }
        };
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
                self.keep(&served);
            }
            let mut ended = match worker {
                Ok(mut serving) if !serving.ends().map_err(SupervisorError::Worker)? => {
                    if serving.has_shut_down() {
                        // Nobody else gives anything out, either.
                        self.forget();
                    }
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
                    let wanted = served.mounted.is_wanted();
                    let detached = served.mounted.detach();
                    served.mounted.abort();
                    detached.map_err(SupervisorError::Connection)?;
                    if !wanted.map_err(SupervisorError::Connection)? {
                        return Ok(());
                    }
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
