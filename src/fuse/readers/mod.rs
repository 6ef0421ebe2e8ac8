//! Where content is read, such that nothing else waits for it.
//!
//! Most reads are quick: a block is read, hashed and handed out, on the thread
//! that took the request where it is small, on another one where not. A large file
//! without a chunk table has to be read in full before the first of its bytes
//! can be; that is done elsewhere, once for each file, and the reads that need
//! it are set aside until then instead of keeping threads waiting.
//!
//! The source may be silent for ever. So each reply lies in a table ([`super::owed`])
//! from which it is taken when its content is there, or at its deadline; threads that
//! are stuck are replaced ([`super::pool`]); and while any are, all but two of the
//! threads that take requests read nothing themselves, and those only beside what was
//! read just now.

mod job;
mod work;

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lru::LruCache;
use parking_lot::Mutex;

use crate::fs::Filesystem;
use crate::inode::Ino;
use crate::sys::Errno;

use super::end::End;
use super::guard::guard;
use super::handoff::Handoff;
use super::known::Known;
use super::owed::{Owed, Watch};
use super::pool::{Pool, Size};
use super::push_queue::Caught;
use super::pusher::Pusher;
use super::seats::{STUCK_AFTER, Seats};

use job::{Job, SMALL_READ, Wanted, part};
use work::{CLOSING, Preparation, Preparing, Shared, Task};

/// So many of the threads that take requests never read.
const NEVER_READING: usize = 2;
/// So many read only while something is stuck, and only where nothing was just now.
const READING_WITH_CARE: usize = 2;
/// How many directories are known to be lively.
const LIVELY_MAX: usize = 1024;
/// How many threads that read may be stuck.
const STUCK_READS: usize = 64;
/// How many threads that hash whole files may be stuck. Each has some megabytes.
const STUCK_PREPARATIONS: usize = 16;
/// How often deadlines and stuck threads are looked at, while there is anything to
/// look at.
const TICK: Duration = Duration::from_millis(100);

/// The kernel asks once more for one page of what could not be read. Who has just
/// waited in vain does not wait again for that.
const ASKS_AGAIN_WITHIN: Duration = Duration::from_secs(1);

/// The threads, and the reads that are set aside.
pub(super) struct Readers(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    quick: Arc<Pool<Task>>,
    slow: Pool<Preparation>,
    /// Where threads that take requests sit while they read.
    seats: Seats,
    /// The same for those that read with care.
    careful_seats: Seats,
    known: Arc<Known>,
    /// Of the connection, once it is served.
    end: Arc<OnceLock<End>>,
}

impl Readers {
    /// Threads for this machine.
    pub(super) fn new(
        filesystem: Arc<Filesystem>,
        pusher: Arc<OnceLock<Pusher>>,
        end: Arc<OnceLock<End>>,
        request_threads: usize,
    ) -> io::Result<Self> {
        let known = Arc::new(Known::new(filesystem.next_number()));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let owed = Arc::new(Owed::new(filesystem.patience()));
        let shared = Arc::new(Shared {
            filesystem,
            owed,
            pusher,
            preparing: Mutex::default(),
            silent: Mutex::default(),
            is_stalling: AtomicBool::new(false),
            lively: Mutex::new(LruCache::new(
                NonZeroUsize::new(LIVELY_MAX).unwrap_or(NonZeroUsize::MIN),
            )),
        });
        let quick = Size {
            // Some of them wait for the disk.
            usual: (2 * cores).clamp(4, 16),
            stuck: STUCK_READS,
        };
        let slow = Size {
            usual: cores.clamp(2, 8),
            stuck: STUCK_PREPARATIONS,
        };
        let inner = Arc::new(Inner {
            shared,
            quick: Arc::new(Pool::new("read", quick)?),
            slow: Pool::new("prepare", slow)?,
            seats: Seats::new(request_threads.saturating_sub(NEVER_READING + READING_WITH_CARE)),
            careful_seats: Seats::new(READING_WITH_CARE),
            known,
            end,
        });
        let readers = Self(inner);
        let inner = Arc::clone(&readers.0);
        std::thread::Builder::new()
            .name("deadlines".to_owned())
            .spawn(move || inner.watch())?;
        Ok(readers)
    }

    /// What the kernel was told of.
    pub(super) fn known(&self) -> &Arc<Known> {
        &self.0.known
    }

    /// Reads, and replies, here or on another thread.
    pub(super) fn read(
        &self,
        ino: Ino,
        offset: u64,
        size: u32,
        reply: impl FnOnce(Result<Bytes, Errno>) + Send + 'static,
    ) {
        let inner = &*self.0;
        let now = Instant::now();
        let wanted = Wanted {
            ino,
            offset,
            size,
            is_kept: true,
        };
        let Some(pusher) = inner.shared.pusher.get() else {
            return inner.answer(Job::new(&inner.shared.owed, wanted, now, reply), now);
        };
        if let Some(content) = pusher.handoff().begin_read(ino) {
            reply(Ok(part(&content, offset, size)));
            return;
        }
        let reading = Reading(Arc::clone(pusher.handoff()), ino);
        let mut job = Job::new(&inner.shared.owed, wanted, now, move |read| {
            reply(read);
            drop(reading);
        });
        if offset == 0 {
            inner.known.settle();
            job.ahead = inner.shared.filesystem.expect_after(ino);
            let caught = pusher.catch(ino);
            job.is_caught = !matches!(caught, Caught::No);
            if let Caught::Ready(content) = caught {
                job.content = Some(content);
            }
        }
        inner.answer(job, now);
    }

    /// The same for who reads past the page cache (`O_DIRECT`), and to whom
    /// nothing there is of use.
    pub(super) fn read_directly(
        &self,
        ino: Ino,
        offset: u64,
        size: u32,
        reply: impl FnOnce(Result<Bytes, Errno>) + Send + 'static,
    ) {
        let now = Instant::now();
        let wanted = Wanted {
            ino,
            offset,
            size,
            is_kept: false,
        };
        let job = Job::new(&self.0.shared.owed, wanted, now, reply);
        self.0.answer(job, now);
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.0.shared.owed.close();
    }
}

impl Inner {
    fn answer(&self, job: Job, now: Instant) {
        if self.shared.is_stalling.load(Ordering::Relaxed) && job.content.is_none() {
            self.answer_in_stall(job, now);
        } else if job.content.is_some() || self.shared.filesystem.is_prepared(job.wanted.ino) {
            self.answer_prepared(job, now);
        } else {
            self.set_aside(job, now);
        }
    }

    /// While something is stuck, nobody waits who need not, nor for what is known to
    /// be stuck.
    fn answer_in_stall(&self, mut job: Job, now: Instant) {
        let Wanted {
            ino, offset, size, ..
        } = job.wanted;
        let at_hand = || self.shared.filesystem.at_hand(ino, offset, size);
        if let Some(content) = (!job.wanted.is_anew()).then(at_hand).flatten() {
            self.shared.push(&mut job);
            return job.answer(Ok(content));
        }
        if self.shared.is_silent(ino, now) {
            return job.answer(Err(Errno::IO));
        }
        let is_prepared = self.shared.filesystem.is_prepared(ino);
        let is_lost = if is_prepared {
            self.quick.is_lost()
        } else {
            self.slow.is_lost()
        };
        if is_lost {
            self.shared.filesystem.note_stalled(ino, offset, size);
            return job.answer(Err(Errno::IO));
        }
        if is_prepared {
            self.answer_prepared(job, now);
        } else {
            self.set_aside(job, now);
        }
    }

    fn spawn(&self, job: Job) {
        let ino = job.wanted.ino;
        self.quick
            .spawn(ino, Task::Read(Arc::clone(&self.shared), job));
    }

    /// Small reads are done on the thread that took the request, for waking up
    /// another one can take longer than the read; but never on all of these
    /// threads, so that some are left for metadata however long a read takes.
    fn answer_prepared(&self, job: Job, now: Instant) {
        let wanted = job.wanted;
        let is_stalling = self.shared.is_stalling.load(Ordering::Relaxed);
        if let Some(content) = &job.content
            && is_stalling
        {
            let content = part(content, wanted.offset, wanted.size);
            job.ticket.is_ready(content, now + STUCK_AFTER);
        }
        let seat = if wanted.size > SMALL_READ {
            None
        } else if !is_stalling {
            self.seats.take(now)
        } else if self.shared.is_lively(wanted.ino, now) {
            self.careful_seats.take(now)
        } else {
            None
        };
        let Some(_seat) = seat else {
            return self.spawn(job);
        };
        self.shared.read(job);
        // The reader goes on meanwhile.
        if let Some((pusher, begin, chunk)) = self.shared.chunk_at_hand(wanted) {
            pusher.store_chunk(wanted.ino, begin, &chunk);
        }
        if self.shared.filesystem.has_unused() {
            let task = Task::Close(Arc::clone(&self.shared));
            self.quick.spawn(CLOSING, task);
        }
    }

    fn set_aside(&self, job: Job, now: Instant) {
        let ino = job.wanted.ino;
        let mut preparing = self.shared.preparing.lock();
        if let Some(found) = preparing.get_mut(&ino) {
            job.ticket.needs(&found.read, now);
            found.waiting.push(job);
            return;
        }
        let read = Arc::default();
        job.ticket.needs(&read, now);
        let waiting = vec![job];
        let read_too = Arc::clone(&read);
        preparing.insert(ino, Preparing { waiting, read });
        drop(preparing);
        let preparation = Preparation {
            shared: Arc::clone(&self.shared),
            quick: Arc::clone(&self.quick),
            ino,
            read: read_too,
        };
        self.slow.spawn(ino, preparation);
    }

    /// Looks after deadlines and stuck threads.
    fn watch(&self) {
        let owed = &self.shared.owed;
        let mut seen = 0;
        let mut is_busy = true;
        while owed.wait(TICK, is_busy, &mut seen) == Watch::GoOn {
            is_busy = self.look_after(Instant::now());
        }
    }

    /// Whether anything is going on.
    fn look_after(&self, now: Instant) -> bool {
        let patience = self.shared.filesystem.patience();
        let mut conditions = vec![
            self.quick.look_after(now, patience),
            self.slow.look_after(now, patience),
            self.seats.condition(now),
            self.careful_seats.condition(now),
        ];
        let pusher = self.shared.pusher.get();
        conditions.extend(pusher.map(|pusher| pusher.look_after(now)));
        let is_stalling = conditions.iter().any(|condition| condition.stuck > 0);
        self.shared
            .is_stalling
            .store(is_stalling, Ordering::Relaxed);
        for (reply, content) in self.shared.owed.take_due(now) {
            let Wanted {
                ino, offset, size, ..
            } = reply.wanted;
            if content.is_none() {
                self.shared.filesystem.note_stalled(ino, offset, size);
                let until = now + ASKS_AGAIN_WITHIN;
                self.shared.silent.lock().insert(ino, until);
            }
            // A reply that is dropped by a panic says EIO.
            let _ = guard(|| {
                (reply.give)(content.ok_or(Errno::IO));
                Ok(())
            });
        }
        if is_stalling {
            // Who should see it may be stuck.
            if let Some(end) = self.end.get() {
                end.look();
            }
            self.shared.forget_answered();
        }
        self.shared.silent.lock().retain(|_, until| *until > now);
        conditions.iter().any(|condition| condition.is_busy)
    }
}

/// A read that the handoff knows of, until this is dropped.
struct Reading(Arc<Handoff>, Ino);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.end_read(self.1);
    }
}

impl std::fmt::Debug for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readers")
            .field("owed", &self.0.shared.owed.count())
            .field("preparing", &self.0.shared.preparing.lock().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
