//! Why a mount did not come about, or ended.

use std::io;
use std::process::ExitStatus;

use thiserror::Error;

use crate::fuse::MountError;
use crate::sandbox::SandboxError;

use super::message::FromWorker;
use super::worker::{Ended, Worker};

/// Why a mount did not come about, or ended.
#[derive(Debug, Error)]
pub enum SupervisorError {
    /// The worker did not want to, and has said why.
    #[error("the worker refused")]
    Refused(ExitStatus),
    /// The worker died before it could say anything.
    #[error("the worker ended ({0}) before it was ready")]
    Died(ExitStatus),
    /// It cannot be started, or does not say what it should.
    #[error("the worker: {0}")]
    Worker(#[source] io::Error),
    /// Mounting failed.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// What it has no use for any more cannot be given up.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// What was left of the mount is of no use.
    #[error("cannot go on with the mount as it was left: {0}")]
    NotResumed(#[source] io::Error),
    /// Whoever waited for the mount cannot be told.
    #[error(transparent)]
    Told(io::Error),
    /// The connection to the kernel failed.
    #[error("the connection to the kernel: {0}")]
    Connection(#[source] io::Error),
    /// Too many workers died.
    #[error("too many workers died, the last one: {0}")]
    GaveUp(String),
    /// Content was refused, and that was to end the view.
    #[error("it was shut down because content was refused (errors=shutdown)")]
    ShutDown,
    /// Somebody wanted it to end at once.
    #[error("ended at once")]
    Killed,
}

/// Why a worker cannot be told anything: most often it has ended, and how it did
/// says more.
pub(super) fn not_told(worker: Worker, error: io::Error) -> SupervisorError {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => not_ready(worker, None),
        _ => SupervisorError::Worker(error),
    }
}

/// Why a worker did not say what it should.
pub(super) fn not_ready(worker: Worker, said: Option<FromWorker>) -> SupervisorError {
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

/// Waits until a worker has ended.
pub(super) fn end_of(worker: Worker) -> Result<Ended, SupervisorError> {
    worker.wait().map_err(SupervisorError::Worker)
}
