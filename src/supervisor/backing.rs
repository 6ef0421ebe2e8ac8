//! The backing, as a worker is given it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sys::served;

/// The directory that has the content.
#[derive(Debug)]
pub struct Backing {
    /// It.
    pub directory: OwnedFd,
    /// Whether it has just answered; who enters one that is silent may wait for ever.
    pub answers: bool,
}

impl Backing {
    /// A copy of this directory, which is asked first.
    pub(super) fn of(directory: &OwnedFd) -> io::Result<Self> {
        Ok(Self {
            answers: served::answers(directory.as_fd()),
            directory: directory.try_clone()?,
        })
    }
}

impl AsFd for Backing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}
