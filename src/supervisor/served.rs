//! A mount that is served, and how a worker is let serve it.

use std::fs::File;
use std::io;

use crate::fuse::{Connection, Mounted, Turn};

use super::ask::{Ask, ControlSocket};
use super::counts::Counts;
use super::error::{SupervisorError, not_ready, not_told};
use super::message::{FromWorker, ToWorker};
use super::socket::StatusSocket;
use super::worker::{self, Worker};

/// A mount that is served.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) mounted: Mounted,
    pub(super) tools: Tools,
    /// Where it is asked for another manifest.
    pub(super) control: Option<ControlSocket>,
    pub(super) can_hand_over: bool,
}

impl Served {
    pub(super) fn next_ask(&self) -> Option<Ask> {
        self.control.as_ref()?.next()
    }
}

/// What a worker needs to serve, beside the connection.
#[derive(Debug)]
pub(super) struct Tools {
    /// The first message of the kernel.
    pub(super) init: Vec<u8>,
    pub(super) device_number: u64,
    pub(super) status: Option<StatusSocket>,
    /// What the kernel has of private copies.
    pub(super) copies: Option<File>,
    /// Whether another supervisor goes on when this one is killed.
    pub(super) is_kept: bool,
    /// What the supervisor has given up.
    pub(super) confined: String,
}

impl Tools {
    /// Lets a worker serve, and waits until it does.
    pub(super) fn serve(
        &self,
        worker: Worker,
        connection: &Connection,
        turn: Turn,
        counts: Counts,
    ) -> Result<Worker, SupervisorError> {
        let tell = || -> io::Result<()> {
            let status = self.status.as_ref().map(StatusSocket::listener);
            worker.tell(&ToWorker::Serve {
                turn,
                device_number: self.device_number,
                init: self.init.clone(),
                counts,
                is_kept: self.is_kept,
                supervisor: self.confined.clone(),
                connection: worker::copy(connection)?,
                status: status.map(worker::copy).transpose()?,
                copies: self.copies.as_ref().map(worker::copy).transpose()?,
            })
        };
        if let Err(error) = tell() {
            return Err(not_told(worker, error));
        }
        match worker.hear().map_err(SupervisorError::Worker)? {
            Some(FromWorker::Serving) => Ok(worker),
            other => Err(not_ready(worker, other)),
        }
    }
}
