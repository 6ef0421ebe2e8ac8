//! Having the kernel forget what is different now (`FUSE_NOTIFY_INVAL_ENTRY` and
//! `FUSE_NOTIFY_INVAL_INODE`, fs/fuse/dir.c and inode.c).

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use crate::inode::{Change, Ino};
use crate::sys::Errno;

/// Tells the kernel what to forget. Somebody must serve meanwhile: the kernel waits
/// for who is looking into a directory at the same time.
#[derive(Debug)]
pub struct Forgetting(pub(super) fuser::Notifier);

impl Forgetting {
    /// Has the kernel forget all of these.
    ///
    /// The order matters: what a name leads to goes first. For that the kernel takes
    /// the lock of the directory, so that nobody is still adding what was answered
    /// before when its pages go.
    ///
    /// # Errors
    /// As write(2). What the kernel does not know is no error.
    pub fn forget(&self, changes: &[Change]) -> io::Result<()> {
        for change in changes {
            match self.tell(change) {
                Err(error) if is_unknown(&error) => {}
                told => told?,
            }
        }
        Ok(())
    }

    fn tell(&self, change: &Change) -> io::Result<()> {
        match change {
            Change::Entry(parent, name) => {
                self.0.inval_entry(number(*parent), OsStr::from_bytes(name))
            }
            // From the first byte to the last: the names are in the pages.
            Change::Names(ino) => self.0.inval_inode(number(*ino), 0, 0),
            // No byte.
            Change::Attributes(ino) => self.0.inval_inode(number(*ino), -1, 0),
        }
    }
}

const fn number(ino: Ino) -> fuser::INodeNo {
    fuser::INodeNo(ino.0)
}

fn is_unknown(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOENT | Errno::NOTDIR)
    )
}
