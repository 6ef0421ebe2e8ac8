//! Threads that do what may take long, or for ever.
//!
//! Jobs are on files, and the files take turns, so that one with many readers does
//! not hold up the others; nor can it have all threads. A thread that is stuck in a
//! job is replaced, up to a bound. When it comes back, there is one too many, and it
//! ends.

mod at_work;
mod turns;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::inode::Ino;

use at_work::AtWork;
use turns::Turns;

/// How often jobs that nobody waits for are looked for, while threads are stuck.
const CLEAR_EVERY: u32 = 10;

/// What a thread has to do.
pub(super) trait Job: Send + 'static {
    /// Does it.
    fn run(self);

    /// Whether anybody waits for it. If not, it is not begun.
    fn is_wanted(&self) -> bool {
        true
    }

    /// Something that counts on as long as it gets on, if it may take long.
    fn pulse(&self) -> Option<Arc<AtomicU64>> {
        None
    }
}

/// How many threads there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// That are not stuck.
    pub usual: usize,
    /// That may be stuck, and are replaced.
    pub stuck: usize,
}

/// Threads that sleep while there is nothing to do. Threads that first look about
/// for work, as those of rayon do, use processor time that the reader could have.
/// When this is dropped no more jobs are taken; those that have begun go on.
pub(super) struct Pool<J: Job>(Arc<Shared<J>>);

struct Shared<J> {
    name: &'static str,
    size: Size,
    state: Mutex<State<J>>,
    changed: Condvar,
    /// As the state has it, for those who do not want to wait for its lock.
    stuck: AtomicUsize,
    lost: AtomicUsize,
}

struct State<J> {
    turns: Turns<J>,
    at_work: AtWork,
    threads: usize,
    /// How many there have been, for their names.
    started: u64,
    ticks: u32,
    closed: bool,
}

/// How a pool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    /// Whether anything is being done, or waits.
    pub is_busy: bool,
    /// How many threads are stuck.
    pub stuck: usize,
}

impl<J: Job> Pool<J> {
    /// Starts threads with this name.
    pub(super) fn new(name: &'static str, size: Size) -> io::Result<Self> {
        let pool = Self(Arc::new(Shared {
            name,
            size,
            state: Mutex::new(State {
                turns: Turns::default(),
                at_work: AtWork::default(),
                threads: 0,
                started: 0,
                ticks: 0,
                closed: false,
            }),
            changed: Condvar::new(),
            stuck: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
        }));
        let state = pool.0.state.lock();
        pool.0.start(state, size.usual)?;
        Ok(pool)
    }

    /// Has a job on a file done.
    pub(super) fn spawn(&self, file: Ino, job: J) {
        let mut state = self.0.state.lock();
        let share = self.0.share(&state);
        state.turns.add(file, job, share);
        drop(state);
        self.0.changed.notify_one();
    }

    /// Whether as many threads as may be are stuck for longer than anybody waits.
    pub(super) fn is_lost(&self) -> bool {
        self.0.lost.load(Ordering::Relaxed) >= self.0.size.stuck
    }

    /// How many threads are stuck.
    pub(super) fn stuck(&self) -> usize {
        self.0.stuck.load(Ordering::Relaxed)
    }

    /// Looks after stuck threads; to be called every now and then while anything
    /// goes on. Nobody waits for anything longer than `patience`.
    pub(super) fn look_after(&self, now: Instant, patience: Option<Duration>) -> Condition {
        let mut state = self.0.state.lock();
        let lost = state.at_work.look(now, patience);
        if state.at_work.stuck() > 0 {
            state.ticks = state.ticks.wrapping_add(1);
            if state.ticks.is_multiple_of(CLEAR_EVERY) {
                state.turns.clear();
            }
        }
        self.0.stuck.store(state.at_work.stuck(), Ordering::Relaxed);
        self.0.lost.store(lost, Ordering::Relaxed);
        let condition = Condition {
            is_busy: !state.at_work.is_empty() || !state.turns.is_empty(),
            stuck: state.at_work.stuck(),
        };
        let more = self.0.more(&state);
        if more > 0
            && let Err(error) = self.0.start(state, more)
        {
            log::error!(
                "event=no_thread {} threads are stuck, and no more can be started: {error}",
                condition.stuck
            );
        }
        condition
    }
}

impl<J: Job> Shared<J> {
    /// How many threads are at one file at the most: not all, and few where many
    /// are stuck.
    fn share(&self, state: &State<J>) -> usize {
        if state.at_work.stuck() >= self.size.stuck / 4 {
            1
        } else {
            self.size.usual.saturating_sub(1).max(1)
        }
    }

    /// How many threads to start. Those that are stuck are replaced, and where all
    /// that replaced them got stuck as well, twice as many, until what waits is not
    /// behind what is stuck.
    fn more(&self, state: &State<J>) -> usize {
        let live = state.threads.saturating_sub(state.at_work.stuck());
        let wanted = self
            .size
            .usual
            .max(state.at_work.stuck())
            .saturating_sub(live);
        let room = (self.size.usual + self.size.stuck).saturating_sub(state.threads);
        let waiting = state.turns.waiting();
        let replaced = self.size.usual.saturating_sub(live);
        wanted.min(waiting.max(replaced)).min(room)
    }

    fn start(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State<J>>,
        count: usize,
    ) -> io::Result<()> {
        let first = state.started;
        state.started += count as u64;
        state.threads += count;
        drop(state);
        for number in (first..).take(count) {
            let shared = Arc::clone(self);
            let started = std::thread::Builder::new()
                .name(format!("{}-{number}", self.name))
                .spawn(move || shared.work(number));
            if let Err(error) = started {
                let missing = first + count as u64 - number;
                self.state.lock().threads -= missing as usize;
                return Err(error);
            }
        }
        Ok(())
    }

    fn work(&self, number: u64) {
        while let Some(job) = self.next(number) {
            // A panic has been printed; it ends its job and not the thread.
            let _ = catch_unwind(AssertUnwindSafe(|| job.run()));
        }
    }

    fn next(&self, number: u64) -> Option<J> {
        let mut state = self.state.lock();
        let share = self.share(&state);
        if let Some(file) = state.at_work.end(number) {
            state.turns.done(file, share);
        }
        loop {
            let live = state.threads.saturating_sub(state.at_work.stuck());
            let is_surplus = live > self.size.usual && state.turns.waiting() == 0;
            if state.closed || is_surplus {
                state.threads -= 1;
                return None;
            }
            let share = self.share(&state);
            if let Some((file, job)) = state.turns.next(share) {
                state.at_work.begin(number, file, job.pulse());
                return Some(job);
            }
            self.changed.wait(&mut state);
        }
    }
}

impl<J: Job> std::fmt::Debug for Pool<J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("name", &self.0.name)
            .field("size", &self.0.size)
            .field("stuck", &self.stuck())
            .finish_non_exhaustive()
    }
}

impl<J: Job> Drop for Pool<J> {
    fn drop(&mut self) {
        self.0.state.lock().closed = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
