//! From nothing, or from what was left, to a mount that a worker serves.

use std::fs::File;
use std::io;
use std::process::Command;

use crate::fuse::{MountError, Turn, Unserved};
use crate::sys::mount::open_fuse_device;
use crate::sys::namespace::Outside;

use super::ask::ControlSocket;
use super::backing::Backing;
use super::counts::Counts;
use super::error::{not_ready, not_told};
use super::kept::{Kept, Resumed};
use super::lost;
use super::message::{FromWorker, ToWorker};
use super::mounter::Mounter;
use super::served::{Served, Tools};
use super::socket::StatusSocket;
use super::worker::{self, Worker};
use super::{Program, Supervisor, SupervisorError};

impl<Start: FnMut(Program) -> Command> Supervisor<Start> {
    /// Has a worker read the manifest.
    pub(super) fn load(&mut self) -> Result<Worker, SupervisorError> {
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
                backing: Backing::of(&self.plan.backing)?,
                numbers: self.view.numbers(self.before.as_ref())?,
            })
        };
        if let Err(error) = begin() {
            return Err(not_told(worker, error));
        }
        // If it follows another one, it gets the numbers that are there already.
        let heard = worker.hear_of_manifest(|| false, io::sink(), u64::MAX);
        match heard.map_err(SupervisorError::Worker)? {
            Some(FromWorker::Loaded(digest)) => {
                // The next one is held to that of the first.
                self.view.found(digest);
                Ok(worker)
            }
            Some(FromWorker::Refused(_)) => Err(not_ready(worker, None)),
            other => Err(not_ready(worker, other)),
        }
    }

    /// Mounts, and lets a worker serve that.
    pub(super) fn mount(&mut self, worker: Worker) -> Result<(Served, Worker), SupervisorError> {
        let unserved = match self.plan.given.take() {
            Some(device) => Unserved::take_over(device)?,
            None => {
                let (path, options) = (self.plan.mountpoint.clone(), self.plan.options.clone());
                let outside = self.plan.outside.clone();
                let mount = move || {
                    Unserved::mount_through(&path, options, || {
                        Outside::run_in(outside.as_ref(), open_fuse_device)?
                    })
                };
                Outside::run_in(self.mounter(), mount).map_err(MountError::Silent)??
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
            copies: self.copies()?,
            is_kept: self.plan.hand_over && self.plan.keeping.is_some(),
            confined: self.plan.confined.clone(),
        };
        let worker = tools.serve(worker, connection, Turn::First, self.counts())?;
        // Nothing has been asked yet, so nothing comes again now.
        let can_hand_over = self.plan.hand_over && connection.resend().is_ok();
        let control = self.bind_control(unserved.device_number(), can_hand_over);
        let served = Served {
            mounted: unserved.attach(self.mounter())?,
            tools,
            control,
            can_hand_over,
        };
        match &mut self.plan.mounter {
            Some(mounter) if !can_hand_over => mounter.has_mounted()?,
            mounter => *mounter = None,
        }
        self.look_after(&served);
        Ok((served, worker))
    }

    /// A connection that is new has no private copies.
    fn copies(&self) -> Result<Option<File>, SupervisorError> {
        let Some(copies) = &self.plan.copies else {
            return Ok(None);
        };
        let emptied = copies.set_len(0).and_then(|()| copies.try_clone());
        emptied.map(Some).map_err(SupervisorError::Worker)
    }

    fn mounter(&self) -> Option<&Outside> {
        self.plan.mounter.as_ref().map(Mounter::thread)
    }

    /// Goes on with what was left of a mount. If that cannot be, nothing is left of it.
    pub(super) fn resume(&mut self, kept: Kept) -> Result<(Served, Worker), SupervisorError> {
        let resumed = kept.resume(self.plan.options.clone(), self.mounter());
        let Resumed {
            mounted,
            view,
            init,
            copies,
        } = resumed.map_err(SupervisorError::NotResumed)?;
        self.plan.mounter = None;
        let device_number = mounted.device_number();
        self.view = view;
        let served = Served {
            tools: Tools {
                init,
                device_number,
                status: self.bind(device_number),
                copies,
                is_kept: true,
                confined: self.plan.confined.clone(),
            },
            control: self.bind_control(device_number, true),
            mounted,
            can_hand_over: true,
        };
        match self.follow(&served) {
            Ok(worker) => {
                self.look_after(&served);
                log::warn!("event=resumed the mount goes on where its processes were killed");
                Ok((served, worker))
            }
            Err(error) => {
                let _ = served.mounted.detach();
                served.mounted.abort();
                Err(error)
            }
        }
    }

    /// What is done beside serving.
    fn look_after(&self, served: &Served) {
        self.control.is_mounted(served.mounted.unmounter());
        let anew = (!served.can_hand_over).then(|| self.control.clone());
        let status = served.tools.status.as_ref();
        if let Err(error) = lost::watch(&served.mounted, status, &self.lost, anew) {
            log::debug!("nobody looks for lost requests: {error}");
        }
    }

    fn counts(&self) -> Counts {
        Counts {
            restarts: self.restarts,
            reloads: self.reloads,
            lost: self.lost.total(),
        }
    }

    /// Has the mount kept for whoever comes after this process. That helps only where
    /// the next worker can go on.
    pub(super) fn keep(&self, served: &Served) {
        let Some(keeping) = &self.plan.keeping else {
            return;
        };
        if !served.can_hand_over || !served.mounted.is_ours() {
            return;
        }
        if let Err(error) = keeping.keep(&served.mounted, &self.view, &served.tools) {
            log::warn!("event=not_kept error={:?}", error.to_string());
        }
    }

    /// Has it kept no more.
    pub(super) fn forget(&self) {
        if let Some(keeping) = &self.plan.keeping {
            keeping.forget();
        }
    }

    /// Without a status everything else goes on. Where nobody else can ask for it, it is
    /// still asked for what is lost.
    fn bind(&self, device_number: u64) -> Option<StatusSocket> {
        let directory = self.plan.status.as_deref();
        let bind = |directory| {
            StatusSocket::bind(directory, device_number)
                .inspect_err(|error| log::warn!("event=status_off error={:?}", error.to_string()))
                .ok()
        };
        let unnamed = || {
            StatusSocket::unnamed()
                .inspect_err(|error| log::debug!("nobody looks for lost requests: {error}"))
                .ok()
        };
        directory.and_then(bind).or_else(unnamed)
    }

    /// Nobody can ask for another manifest without it, and everything else goes on.
    fn bind_control(&self, device_number: u64, can_hand_over: bool) -> Option<ControlSocket> {
        let directory = self.plan.status.as_deref().filter(|_| can_hand_over)?;
        let origin = self.plan.origin.clone()?;
        ControlSocket::bind(directory, device_number, origin)
            .inspect_err(|error| log::warn!("event=reload_off error={:?}", error.to_string()))
            .ok()
    }

    /// Lets a worker serve that has read the manifest, where another one has ended.
    pub(super) fn take_over(
        &mut self,
        served: &Served,
        worker: Worker,
    ) -> Result<Worker, SupervisorError> {
        let connection = served.mounted.connection();
        let worker = served
            .tools
            .serve(worker, connection, Turn::Again, self.counts())?;
        // The kernel has forgotten what is different.
        self.before = None;
        Ok(worker)
    }

    /// Lets another worker go on.
    pub(super) fn follow(&mut self, served: &Served) -> Result<Worker, SupervisorError> {
        self.restarts = self.restarts.saturating_add(1);
        let worker = self.load()?;
        self.take_over(served, worker)
    }
}
