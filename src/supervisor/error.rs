//! Why a mount did not come about, or ended.

use std::io;
use std::process::ExitStatus;

use thiserror::Error;

use crate::fuse::MountError;

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
