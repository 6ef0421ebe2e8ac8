//! One read: what is asked for, and who waits for it.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::fuse::owed::{self, Owed};
use crate::inode::Ino;
use crate::sys::Errno;

/// Up to this size, in bytes, a read is small. The kernel reads ahead in larger
/// steps.
pub(super) const SMALL_READ: u32 = 128 << 10;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) ino: Ino,
    pub(super) offset: u64,
    pub(super) size: u32,
    /// Whether the kernel keeps what it gets.
    pub(super) is_kept: bool,
}

impl Wanted {
    /// Whether it is to come from the source, whatever is at hand. Who reads little
    /// past the page cache reads here and there, and would have a chunk hashed each
    /// time.
    pub(super) const fn is_anew(&self) -> bool {
        !self.is_kept && self.size > SMALL_READ
    }
}

/// A reply, and what it is to.
pub(super) struct Reply {
    pub(super) wanted: Wanted,
    pub(super) give: Box<dyn FnOnce(Result<Bytes, Errno>) + Send>,
}

pub(super) type Ticket = owed::Ticket<Reply, Bytes>;

/// One read.
pub(super) struct Job {
    pub(super) wanted: Wanted,
    pub(super) ticket: Ticket,
    /// Its file was to be pushed, and was read for that.
    pub(super) content: Option<Bytes>,
    /// Its file was to be pushed: its reader is faster than we are.
    pub(super) is_caught: bool,
    /// The files that will be read next, if this one can be read.
    pub(super) ahead: Vec<Ino>,
}

impl Job {
    pub(super) fn new(
        owed: &Arc<Owed<Reply, Bytes>>,
        wanted: Wanted,
        now: Instant,
        reply: impl FnOnce(Result<Bytes, Errno>) + Send + 'static,
    ) -> Self {
        let give = Box::new(reply);
        Self {
            wanted,
            ticket: owed.owe(Reply { wanted, give }, now),
            content: None,
            is_caught: false,
            ahead: Vec::new(),
        }
    }

    pub(super) fn answer(self, read: Result<Bytes, Errno>) {
        // Nothing is left of it after its deadline.
        if let Some(reply) = self.ticket.take() {
            (reply.give)(read);
        }
    }
}

/// What a read of a whole file's content gives.
pub(super) fn part(content: &Bytes, offset: u64, size: u32) -> Bytes {
    let length = content.len();
    let begin = usize::try_from(offset).unwrap_or(length).min(length);
    let end = begin.saturating_add(size as usize).min(length);
    content.slice(begin..end)
}
