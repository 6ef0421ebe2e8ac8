//! The thread that mounts. It keeps the rights that this program was started with, which
//! all others have given up, for as long as something may have to be mounted.

use std::io;

use crate::sandbox::{self, SandboxError, Supervision};
use crate::sys::namespace::Outside;

/// The thread that mounts.
#[derive(Debug)]
pub struct Mounter {
    thread: Outside,
    /// What it gives up once it has mounted.
    mode: sandbox::Mode,
    is_confined: bool,
}

impl Mounter {
    /// Starts it, with the rights of the thread that does.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub fn stay(mode: sandbox::Mode) -> io::Result<Self> {
        Ok(Self {
            thread: Outside::stay("mounter")?,
            mode,
            is_confined: false,
        })
    }

    /// Where to mount.
    #[must_use]
    pub const fn thread(&self) -> &Outside {
        &self.thread
    }

    /// Gives up what is of no use once it has mounted; by then it has taken away
    /// what nobody served in that place.
    pub(super) fn has_mounted(&mut self) -> Result<(), SandboxError> {
        if self.is_confined {
            return Ok(());
        }
        self.is_confined = true;
        let mode = self.mode;
        let confine = move || {
            let supervision = Supervision {
                mounts: true,
                ..Supervision::default()
            };
            sandbox::supervise(&supervision, mode)
        };
        let confined = self.thread.run(confine).map_err(SandboxError::Uncounted)?;
        confined.map(drop)
    }
}
