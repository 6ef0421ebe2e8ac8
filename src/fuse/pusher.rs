//! Giving files to the kernel before it asks for them (`FUSE_NOTIFY_STORE`,
//! fs/fuse/dev.c: `fuse_notify_store`).
//!
//! The kernel takes no content of a file that it was not told of, and it is
//! told of them piece by piece, as it reads a directory. Files that it will be
//! told of next are read and checked meanwhile, and stored once it knows them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::fs::Filesystem;
use crate::inode::Ino;

use super::guard::guard;
use super::handoff::Handoff;
use super::known::Known;
use super::pool::Condition;
use super::push_queue::{Caught, Step};
use super::pushes::Pushes;
use super::seats::Seats;

/// How long a reader that has caught up is kept waiting, such that more than
/// one file is there when it goes on. Its own file is ready by then; this is
/// the price of a few round trips.
const HEAD_START: Duration = Duration::from_micros(500);

/// How many threads may be stuck in the source, and are replaced.
const STUCK_MAX: usize = 8;

/// Threads that read files, check them, and store them in the kernel's page
/// cache.
///
/// They are threads of their own because storing waits for a page that is being
/// read at the same time, and that read must be answered meanwhile. And nobody
/// waits for them, whatever they wait for.
#[derive(Debug)]
pub(super) struct Pusher(Arc<Shared>);

struct Shared {
    notifier: fuser::Notifier,
    filesystem: Arc<Filesystem>,
    handoff: Arc<Handoff>,
    pushes: Pushes,
    /// Where threads sit while they do something.
    seats: Seats,
    threads: AtomicUsize,
    /// How many threads there are that are not stuck.
    usual: usize,
}

impl Pusher {
    /// Starts `count` threads. They end when this is dropped.
    pub(super) fn start(
        notifier: fuser::Notifier,
        filesystem: Arc<Filesystem>,
        known: Arc<Known>,
        count: usize,
    ) -> io::Result<Self> {
        let pusher = Self(Arc::new(Shared {
            notifier,
            filesystem,
            handoff: Arc::default(),
            pushes: Pushes::new(known),
            seats: Seats::new(count + STUCK_MAX),
            threads: AtomicUsize::new(0),
            usual: count,
        }));
        for _ in 0..count {
            pusher.0.start()?;
        }
        Ok(pusher)
    }

    /// Replaces threads that are stuck, as long as they are not too many, and tells
    /// how many there are. To be called every now and then.
    pub(super) fn look_after(&self, now: Instant) -> Condition {
        let shared = &self.0;
        let stuck = shared.seats.stuck(now);
        let threads = shared.threads.load(Ordering::Relaxed);
        let live = threads.saturating_sub(stuck);
        if live < shared.usual {
            // What comes next may lie in the same place.
            shared.pushes.forget_waiting();
            let room = (shared.usual + STUCK_MAX).saturating_sub(threads);
            for _ in 0..(shared.usual - live).min(room) {
                if shared.start().is_err() {
                    break;
                }
            }
        }
        Condition {
            is_busy: shared.seats.taken() > 0,
            stuck,
        }
    }

    /// To be told of reads, so that they and the pushes do not wait for each
    /// other.
    pub(super) fn handoff(&self) -> &Arc<Handoff> {
        &self.0.handoff
    }

    /// Gives these files to the kernel, soon or not at all.
    pub(super) fn push(&self, files: Vec<Ino>) {
        self.0.pushes.add(files);
    }

    /// Stores all of a chunk of which a part was asked for.
    pub(super) fn store_chunk(&self, ino: Ino, begin: u64, chunk: &Bytes) {
        self.0.give(ino, begin, chunk);
    }

    /// The same on one of the threads here.
    pub(super) fn store_chunk_later(&self, ino: Ino, begin: u64, chunk: Bytes) {
        self.0.pushes.add_part(ino, begin, chunk);
    }

    /// Takes a file that is asked for out of those that are to be pushed. If it
    /// was among them, its reader is faster than we are.
    pub(super) fn catch(&self, ino: Ino) -> Caught {
        self.0.pushes.catch(ino)
    }

    /// Pushes on this thread for a moment.
    pub(super) fn help(&self) {
        let begin = Instant::now();
        while begin.elapsed() < HEAD_START {
            match self.0.pushes.next() {
                Some(step) => self.0.go(step),
                None => return,
            }
        }
    }
}

impl Shared {
    fn start(self: &Arc<Self>) -> io::Result<()> {
        let shared = Arc::clone(self);
        self.threads.fetch_add(1, Ordering::Relaxed);
        let started = std::thread::Builder::new()
            .name("push".to_owned())
            .spawn(move || shared.work());
        if started.is_err() {
            self.threads.fetch_sub(1, Ordering::Relaxed);
        }
        started.map(drop)
    }

    fn work(&self) {
        while let Some(step) = self.pushes.wait() {
            let seat = self.seats.take(Instant::now());
            self.go(step);
            drop(seat);
            if self.leaves() {
                return;
            }
        }
    }

    /// Whether there is one thread too many, which then is this one.
    fn leaves(&self) -> bool {
        let one_less = |threads: usize| {
            if threads == self.usual {
                return None;
            }
            let stuck = self.seats.stuck(Instant::now());
            (threads > self.usual + stuck).then(|| threads - 1)
        };
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        self.threads.fetch_update(set, get, one_less).is_ok()
    }

    fn go(&self, step: Step) {
        match step {
            Step::Store(ino, content) => self.store(ino, &content),
            Step::StorePart(ino, begin, chunk) => self.give(ino, begin, &chunk),
            Step::Read(ino) => {
                // What cannot be read, the kernel will ask for.
                let Ok(content) = guard(|| self.filesystem.read_ahead(ino)) else {
                    return;
                };
                if let Some(content) = self.pushes.checked(ino, content) {
                    self.store(ino, &content);
                }
            }
        }
    }

    fn store(&self, ino: Ino, content: &Bytes) {
        self.handoff
            .store(ino, content, || self.give(ino, 0, content));
    }

    /// Gives content to the kernel, unless the view has ended.
    fn give(&self, ino: Ino, begin: u64, content: &[u8]) {
        if self.filesystem.shut_down_by().is_none() {
            // The kernel may have forgotten the file.
            let _ = self.notifier.store(fuser::INodeNo(ino.0), begin, content);
        }
    }
}

impl Drop for Pusher {
    fn drop(&mut self) {
        self.0.pushes.close();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pusher")
            .field("pushes", &self.pushes)
            .finish_non_exhaustive()
    }
}
