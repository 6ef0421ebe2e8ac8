//! The end of a connection, where threads that take requests do not see it because
//! they are stuck in the source.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::Sender;
use std::time::Duration;

use crate::sys::descriptor::{Readiness, wait_readable};

/// Looks whether the kernel has let go of a connection, and says so.
#[derive(Debug)]
pub(super) struct End {
    device: OwnedFd,
    say: Sender<io::Result<()>>,
}

impl End {
    /// Of the connection behind `device`.
    pub(super) const fn new(device: OwnedFd, say: Sender<io::Result<()>>) -> Self {
        Self { device, say }
    }

    /// Says so if it has come.
    pub(super) fn look(&self) {
        // fs/fuse/dev.c: fuse_dev_poll has an error for what is not connected.
        if let Ok(Readiness::Gone) = wait_readable(&self.device, Duration::ZERO) {
            // Nobody hears it twice.
            let _ = self.say.send(Ok(()));
        }
    }
}
