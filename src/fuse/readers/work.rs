//! What the threads that read do.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lru::LruCache;
use parking_lot::Mutex;

use crate::fs::Filesystem;
use crate::fuse::guard::guard;
use crate::fuse::owed::Owed;
use crate::fuse::pool::{self, Pool};
use crate::fuse::pusher::Pusher;
use crate::fuse::seats::STUCK_AFTER;
use crate::inode::Ino;

use super::job::{Job, Reply, SMALL_READ, Wanted, part};

/// For how long files beside one that was read count as not stuck.
const LIVELY_FOR: Duration = Duration::from_secs(1);

/// What the threads that read do.
pub(super) enum Task {
    Read(Arc<Shared>, Job),
    /// Closing files of the source, which may take as long as reading them.
    Close(Arc<Shared>),
}

/// Checking a whole file, for all reads that wait for that.
pub(super) struct Preparation {
    pub(super) shared: Arc<Shared>,
    pub(super) quick: Arc<Pool<Task>>,
    pub(super) ino: Ino,
    pub(super) read: Arc<AtomicU64>,
}

/// What all threads know.
pub(super) struct Shared {
    pub(super) filesystem: Arc<Filesystem>,
    pub(super) owed: Arc<Owed<Reply, Bytes>>,
    /// Where files go that will be read next, once there is a connection.
    pub(super) pusher: Arc<OnceLock<Pusher>>,
    /// The files that are being prepared, and who waits for each.
    pub(super) preparing: Mutex<HashMap<Ino, Preparing>>,
    /// The files whose readers have just waited in vain, and until when nobody else
    /// waits for them.
    pub(super) silent: Mutex<HashMap<Ino, Instant>>,
    /// Whether anything is stuck just now.
    pub(super) is_stalling: AtomicBool,
    /// The directories in which a file was read lately while something was stuck, and
    /// when.
    pub(super) lively: Mutex<LruCache<Ino, Instant>>,
}

pub(super) struct Preparing {
    pub(super) waiting: Vec<Job>,
    /// How many bytes came so far.
    pub(super) read: Arc<AtomicU64>,
}

impl Shared {
    /// Reads what is wanted, and replies.
    pub(super) fn read(&self, mut job: Job) {
        let Wanted {
            ino, offset, size, ..
        } = job.wanted;
        let read = match job.content.take() {
            Some(content) => Ok(part(&content, offset, size)),
            None if job.wanted.is_anew() => guard(|| self.filesystem.read_anew(ino, offset, size)),
            None => guard(|| self.filesystem.read(ino, offset, size)),
        };
        if !self.silent.lock().is_empty() {
            self.silent.lock().remove(&ino);
        }
        if let Ok(content) = &read {
            if self.is_stalling.load(Ordering::Relaxed) {
                let directory = self.filesystem.parent(ino);
                self.lively.lock().put(directory, Instant::now());
            }
            self.push(&mut job);
            if job.is_caught
                && let Some(pusher) = self.pusher.get()
            {
                // Before the reader goes on, more files get ready for it. If one of
                // them is stuck, that is no reason to wait.
                let soon = Instant::now() + STUCK_AFTER;
                job.ticket.is_ready(content.clone(), soon);
                pusher.help();
            }
        }
        job.answer(read);
    }

    /// Has the files pushed that will be read next. Not before this one is there: if
    /// it is stuck, they are most likely too.
    pub(super) fn push(&self, job: &mut Job) {
        if let Some(pusher) = self.pusher.get() {
            pusher.push(std::mem::take(&mut job.ahead));
        }
    }

    /// All of the chunk of which a part was read, to be stored.
    pub(super) fn chunk_at_hand(&self, wanted: Wanted) -> Option<(&Pusher, u64, Bytes)> {
        let pusher = self.pusher.get().filter(|_| wanted.is_kept)?;
        let (begin, chunk) = self.filesystem.chunk_at_hand(wanted.ino, wanted.offset)?;
        Some((pusher, begin, chunk))
    }

    pub(super) fn is_silent(&self, ino: Ino, now: Instant) -> bool {
        let silent = self.silent.lock();
        silent.get(&ino).is_some_and(|until| *until > now)
    }

    /// Whether another file in the same directory was read just now.
    pub(super) fn is_lively(&self, ino: Ino, now: Instant) -> bool {
        let directory = self.filesystem.parent(ino);
        let lively = self.lively.lock();
        let at = lively.peek(&directory);
        at.is_some_and(|at| now.saturating_duration_since(*at) < LIVELY_FOR)
    }

    /// Lets go of reads that were set aside and have been answered.
    pub(super) fn forget_answered(&self) {
        for preparing in self.preparing.lock().values_mut() {
            preparing.waiting.retain(|job| job.ticket.is_owed());
        }
    }
}

/// Closing takes turns with the files that are read.
pub(super) const CLOSING: Ino = Ino(0);

impl pool::Job for Task {
    fn run(self) {
        let shared = match self {
            Self::Read(shared, job) => {
                let wanted = job.wanted;
                shared.read(job);
                if wanted.size <= SMALL_READ
                    && let Some((pusher, begin, chunk)) = shared.chunk_at_hand(wanted)
                {
                    pusher.store_chunk_later(wanted.ino, begin, chunk);
                }
                shared
            }
            Self::Close(shared) => shared,
        };
        shared.filesystem.close_unused();
    }

    fn is_wanted(&self) -> bool {
        match self {
            Self::Read(_, job) => job.ticket.is_owed(),
            Self::Close(_) => true,
        }
    }
}

impl pool::Job for Preparation {
    fn run(self) {
        let Self {
            shared,
            quick,
            ino,
            read,
        } = self;
        let prepared = guard(|| shared.filesystem.prepare(ino, &read));
        shared.silent.lock().remove(&ino);
        let done = shared.preparing.lock().remove(&ino);
        let now = Instant::now();
        for job in done.into_iter().flat_map(|done| done.waiting) {
            match prepared {
                Ok(()) => {
                    job.ticket.begin(now);
                    quick.spawn(ino, Task::Read(Arc::clone(&shared), job));
                }
                Err(errno) => job.answer(Err(errno)),
            }
        }
    }

    fn pulse(&self) -> Option<Arc<AtomicU64>> {
        Some(Arc::clone(&self.read))
    }
}
