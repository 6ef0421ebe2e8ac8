//! Opens, where large files have private copies that the kernel reads by itself
//! (FUSE passthrough, Linux 6.9 and later; needs `CAP_SYS_ADMIN`).
//!
//! An open has to be answered with its copy or without, once and for all. So it
//! waits for the copy of a file that could not be read sooner anyway, since all
//! of it must be hashed before any of it can be given out, and of one that is
//! copied in an instant. A larger file that can be read in parts is opened
//! without, and copied when it is closed, if it was read.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use fuser::{FileHandle, FopenFlags, ReplyOpen};
use parking_lot::{Condvar, Mutex};

use crate::fs::{CopyCache, Filesystem, FsError};
use crate::inode::Ino;

use super::answers::{Answers, Copy, Open};
use super::copies::{Opening, SIZE_MIN, Way};
use super::guard::guard;
use super::ledger::HANDLE_OTHER;
use super::pool::{Job, Pool, Size};
use super::requests::{InFlight, Requests};
use super::seats::STUCK_AFTER;

/// Up to this size, in bytes, a file is copied before it is opened, even if it
/// could be read in parts.
const AT_ONCE_MAX: u64 = 64 << 20;
/// How long no copies are made after one could not be written.
const PAUSE: Duration = Duration::from_secs(60);
/// How many threads that make copies may be stuck. Each has some megabytes.
const STUCK_MAX: usize = 4;

/// Answers opens, and makes copies.
#[derive(Debug)]
pub(super) struct Opener {
    desk: Arc<Desk>,
    makers: Arc<Pool<Making>>,
}

/// A copy that is to be made.
struct Making {
    desk: Arc<Desk>,
    ino: Ino,
    size: u64,
    /// How many bytes came so far.
    read: Arc<AtomicU64>,
}

impl Job for Making {
    fn run(self) {
        self.desk.make(self.ino, self.size, &self.read);
    }

    fn pulse(&self) -> Option<Arc<AtomicU64>> {
        Some(Arc::clone(&self.read))
    }
}

#[derive(Debug)]
struct Desk {
    filesystem: Arc<Filesystem>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    answers: Answers,
    waiting: HashMap<Ino, Vec<Waiting>>,
    /// Files whose copies are being made for longer than anybody waits. Some may
    /// never be: their source is silent.
    overdue: HashSet<Ino>,
    makers: usize,
    support: Support,
    paused_until: Option<Instant>,
    closed: bool,
}

/// Whether the kernel lets us give it files to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Support {
    Unknown,
    There,
    Missing,
}

#[derive(Debug)]
struct Waiting {
    open: Open,
    until: Instant,
    _in_flight: InFlight<Arc<Requests>>,
}

impl Opener {
    /// Nothing, where no file is to be copied.
    pub(super) fn new(filesystem: &Arc<Filesystem>) -> io::Result<Option<Self>> {
        let Some(cache) = filesystem.cache() else {
            return Ok(None);
        };
        let size = |ino| filesystem.getattr(ino).map_or(0, |found| found.size);
        let answers = match Answers::new(cache, size) {
            Ok(answers) => answers,
            Err(error) => {
                log::warn!("event=copies_off what the kernel has of them cannot be read: {error}");
                return Ok(None);
            }
        };
        if answers.is_empty() && !filesystem.has_file_of(SIZE_MIN..=cache.max_bytes) {
            log::info!("event=copies_off no file is of a size for private copies");
            return Ok(None);
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // One that waits for a slow disk should not hold up all others.
        let makers = Size {
            usual: cores.clamp(2, 4),
            stuck: STUCK_MAX,
        };
        let desk = Arc::new(Desk {
            filesystem: Arc::clone(filesystem),
            state: Mutex::new(State {
                answers,
                waiting: HashMap::new(),
                overdue: HashSet::new(),
                makers: makers.usual + makers.stuck,
                support: Support::Unknown,
                paused_until: None,
                closed: false,
            }),
            changed: Condvar::new(),
        });
        let makers = Arc::new(Pool::new("copy", makers)?);
        let (clock, clocked) = (Arc::clone(&desk), Arc::clone(&makers));
        std::thread::Builder::new()
            .name("opens".to_owned())
            .spawn(move || clock.end_waits(&clocked))?;
        Ok(Some(Self { desk, makers }))
    }

    /// Answers an open for reading, now or later. Gives the reply back where
    /// the kernel reads no copies.
    pub(super) fn open(
        &self,
        open: Open,
        in_flight: InFlight<Arc<Requests>>,
    ) -> Result<(), ReplyOpen> {
        let ino = open.ino;
        let size = self.desk.size(ino);
        let mut state = self.desk.state.lock();
        if state.support == Support::Unknown {
            state.support = match state.answers.take_over(&open.reply) {
                true => Support::There,
                false => self.desk.probe(&open.reply),
            };
        }
        if state.support == Support::Missing {
            return Err(open.reply);
        }
        if !state.answers.copies.takes(size) {
            drop(state);
            open.reply
                .opened(HANDLE_OTHER, FopenFlags::FOPEN_KEEP_CACHE);
            return Ok(());
        }
        let Err(open) = state.answers.again(open) else {
            return Ok(());
        };
        let at_once =
            state.may_wait(ino) && (size <= AT_ONCE_MAX || !self.desk.filesystem.is_prepared(ino));
        match state.answers.copies.open(ino, size, at_once) {
            Opening::Asking => state.answers.asking(open),
            Opening::Native(copy) => self.desk.open_native(&mut state, &copy, open),
            Opening::Wait => self.desk.wait(&mut state, open, in_flight),
            Opening::Make => {
                self.desk.wait(&mut state, open, in_flight);
                self.make(state, ino, size);
            }
        }
        Ok(())
    }

    /// Takes notice that somebody asks for content of an open file.
    pub(super) fn read(&self, ino: Ino, handle: FileHandle, size: u32) {
        if handle != HANDLE_OTHER {
            let mut state = self.desk.state.lock();
            state.answers.copies.read(ino, u64::from(size));
        }
    }

    /// Takes notice that an open file is closed.
    pub(super) fn close(&self, ino: Ino, handle: FileHandle) {
        if handle == HANDLE_OTHER {
            return;
        }
        let mut state = self.desk.state.lock();
        match state.answers.close(ino, handle) {
            // Nobody has asked this worker yet whether the kernel takes copies.
            Some(_) if state.is_paused() || state.support != Support::There => {
                state.answers.copies.made(ino, None);
            }
            Some(size) => self.make(state, ino, size),
            None => {}
        }
    }

    /// Has a copy made, after those are gone that made room for it.
    fn make(&self, mut state: parking_lot::MutexGuard<'_, State>, ino: Ino, size: u64) {
        let evicted = state.answers.evict();
        drop(state);
        if let Some(cache) = self.desk.cache() {
            cache.counters.note_evicted(evicted.len());
        }
        let gone = evicted.drop_copies();
        if !gone.is_empty() {
            self.desk.state.lock().answers.evicted(gone);
        }
        let making = Making {
            desk: Arc::clone(&self.desk),
            ino,
            size,
            read: Arc::default(),
        };
        self.makers.spawn(ino, making);
        // Whoever looks after the threads may be asleep.
        self.desk.changed.notify_one();
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        self.desk.state.lock().closed = true;
        self.desk.changed.notify_one();
        if let Some(cache) = self.desk.cache() {
            log::info!("event=copies {}", cache.counters);
        }
    }
}

impl Desk {
    fn cache(&self) -> Option<&CopyCache> {
        self.filesystem.cache()
    }

    fn size(&self, ino: Ino) -> u64 {
        self.filesystem.getattr(ino).map_or(0, |found| found.size)
    }

    /// Gives the kernel an empty file, to see whether it takes it.
    fn probe(&self, reply: &ReplyOpen) -> Support {
        let probe = |cache: &CopyCache| reply.open_backing(cache.directory.create()?.seal()?);
        match self.cache().map(probe) {
            Some(Ok(_)) => Support::There,
            Some(Err(error)) => {
                log::warn!(
                    "event=copies_off the kernel reads no private copies, files are served without: {error}"
                );
                Support::Missing
            }
            None => Support::Missing,
        }
    }

    fn wait(&self, state: &mut State, open: Open, in_flight: InFlight<Arc<Requests>>) {
        let patience = self.cache().map_or(Duration::ZERO, |cache| cache.patience);
        let patience = self.filesystem.patience().unwrap_or(patience).min(patience);
        let until = Instant::now() + patience;
        let waiting = state.waiting.entry(open.ino).or_default();
        waiting.push(Waiting {
            open,
            until,
            _in_flight: in_flight,
        });
        self.changed.notify_one();
    }

    fn open_native(&self, state: &mut State, copy: &Copy, open: Open) {
        if self.filesystem.shut_down_by().is_some() {
            state.answers.count_out(open.ino, Way::Native);
            return open.reply.error(fuser::Errno::EIO);
        }
        if state.answers.native(copy, open)
            && let Some(cache) = self.cache()
        {
            cache.counters.note_open();
        }
    }

    /// Makes a copy, and answers those who wait for it.
    fn make(&self, ino: Ino, size: u64, read: &AtomicU64) {
        // That the content is refused is told to who reads it.
        let copied = guard(|| match self.filesystem.copy(ino, read) {
            Err(FsError::Copy(error)) => Ok(Err(error)),
            copied => copied.map(Ok),
        });
        let mut state = self.state.lock();
        if let Some(CopyCache { counters, .. }) = self.cache() {
            match &copied {
                Ok(Ok(_)) => counters.note_made(size),
                _ => counters.note_failed(),
            }
        }
        let copy = match copied {
            Ok(Ok(file)) => Some(Copy::new(file, size)),
            Ok(Err(error)) => {
                state.paused_until = Instant::now().checked_add(PAUSE);
                log::warn!(
                    "event=copy_failed size={size} no private copies for {} s: {error}",
                    PAUSE.as_secs()
                );
                None
            }
            Err(_) => None,
        };
        state.answers.copies.made(ino, copy);
        state.overdue.remove(&ino);
        for Waiting { open, .. } in state.waiting.remove(&ino).unwrap_or_default() {
            match state.answers.copies.open(ino, size, false) {
                Opening::Native(copy) => self.open_native(&mut state, &copy, open),
                _ => state.answers.asking(open),
            }
        }
    }

    /// Answers those who have waited too long, and looks after threads that are
    /// stuck.
    fn end_waits(&self, makers: &Pool<Making>) {
        let mut state = self.state.lock();
        while !state.closed {
            for open in state.take_late(Instant::now()) {
                state.overdue.insert(open.ino);
                state.answers.copies.open_asking(open.ino);
                state.answers.asking(open);
            }
            let now = Instant::now();
            let is_busy = makers.look_after(now, self.filesystem.patience()).is_busy;
            let look_again = is_busy.then(|| now + STUCK_AFTER);
            match state.next_end().into_iter().chain(look_again).min() {
                Some(until) => drop(self.changed.wait_until(&mut state, until)),
                None => self.changed.wait(&mut state),
            }
        }
    }
}

impl State {
    fn is_paused(&self) -> bool {
        self.paused_until
            .is_some_and(|until| Instant::now() < until)
    }

    /// Whether an open may wait for the copy of this file: not if others have
    /// waited in vain.
    fn may_wait(&self, ino: Ino) -> bool {
        !self.is_paused() && !self.overdue.contains(&ino) && self.overdue.len() < self.makers
    }

    fn next_end(&self) -> Option<Instant> {
        let all = self.waiting.values().flatten();
        all.map(|waiting| waiting.until).min()
    }

    fn take_late(&mut self, now: Instant) -> Vec<Open> {
        let all = self.waiting.values_mut();
        all.flat_map(|waiting| waiting.extract_if(.., |waiting| waiting.until <= now))
            .map(|waiting| waiting.open)
            .collect()
    }
}
