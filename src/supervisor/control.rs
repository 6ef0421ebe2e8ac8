//! What others can have a supervisor do, from any thread.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::fuse::{Unmounted, Unmounter};
use crate::sys::process::Process;

use super::Program;

/// Ends what a supervisor looks after.
#[derive(Clone, Debug, Default)]
pub struct Control(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    unmounter: Option<Unmounter>,
    worker: Option<Process>,
    killed: bool,
    /// Workers are of the program that is installed by now.
    renewed: bool,
}

impl Control {
    /// Takes the mount away from its place. Those who are still using it can go
    /// on; nobody else gets in.
    ///
    /// # Errors
    /// As umount(2). That it is gone already, or not there yet, is none.
    pub fn unmount(&self) -> io::Result<Unmounted> {
        let unmounter = self.0.lock().unmounter.clone();
        unmounter.map_or(Ok(Unmounted::Gone), |unmounter| unmounter.unmount())
    }

    /// Kills the worker, and lets no other take its place: who is still using
    /// the mount gets errors.
    ///
    /// # Errors
    /// As pidfd_send_signal(2). That it is gone already is none.
    pub fn kill(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        state.killed = true;
        state.kill_worker()
    }

    /// Kills the worker; another one takes its place, of the program that is
    /// installed by now.
    ///
    /// # Errors
    /// As pidfd_send_signal(2). That it is gone already is none.
    pub fn renew(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        state.renewed = true;
        state.kill_worker()
    }

    /// Kills the worker; another one takes its place.
    pub(super) fn replace(&self) -> io::Result<()> {
        self.0.lock().kill_worker()
    }

    pub(super) fn program(&self) -> Program {
        if self.0.lock().renewed {
            Program::Installed
        } else {
            Program::Same
        }
    }

    pub(super) fn go_back(&self) {
        self.0.lock().renewed = false;
    }

    pub(super) fn is_killed(&self) -> bool {
        self.0.lock().killed
    }

    pub(super) fn works(&self, worker: Process) {
        self.0.lock().worker = Some(worker);
    }

    pub(super) fn is_mounted(&self, unmounter: Unmounter) {
        self.0.lock().unmounter = Some(unmounter);
    }
}

impl State {
    fn kill_worker(&self) -> io::Result<()> {
        self.worker.as_ref().map_or(Ok(()), Process::kill)
    }
}
