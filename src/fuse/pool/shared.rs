//! What the threads of a pool share: who takes which job, and how many threads there
//! have to be.
//!
//! `tests/models.rs` tries this file in many orders that its locks can be taken in.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::fuse::sync::{Condvar, Mutex};
use crate::inode::Ino;

use super::at_work::AtWork;
use super::turns::{Job, Turns};

/// How often jobs that nobody waits for are looked for, while threads are stuck.
pub(super) const CLEAR_EVERY: u32 = 10;

/// How many threads there are.
#[derive(Clone, Copy, Debug)]
pub(in crate::fuse) struct Size {
    /// That are not stuck.
    pub usual: usize,
    /// That may be stuck, and are replaced.
    pub stuck: usize,
}

/// How a pool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fuse) struct Condition {
    /// Whether anything is being done, or waits.
    pub is_busy: bool,
    /// How many threads are stuck.
    pub stuck: usize,
}

/// Jobs, and the threads that do them.
pub(super) struct Shared<J> {
    pub(super) size: Size,
    pub(super) state: Mutex<State<J>>,
    changed: Condvar,
    /// As the state has it, for those who do not want to wait for its lock.
    stuck: AtomicUsize,
    lost: AtomicUsize,
}

pub(super) struct State<J> {
    pub(super) turns: Turns<J>,
    pub(super) at_work: AtWork,
    pub(super) threads: usize,
    /// How many there have been, for their names.
    started: u64,
    ticks: u32,
    closed: bool,
}

impl<J: Job> Shared<J> {
    pub(super) fn new(size: Size) -> Self {
        Self {
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
        }
    }

    /// Has a job on a file done.
    pub(super) fn add(&self, file: Ino, job: J) {
        let mut state = self.state.lock();
        let share = self.share(&state);
        state.turns.add(file, job, share);
        drop(state);
        self.changed.notify_one();
    }

    /// The next job for the thread with this number, which has done the one it had;
    /// nothing where it is to end.
    pub(super) fn next(&self, number: u64) -> Option<J> {
        let mut state = self.state.lock();
        let share = self.share(&state);
        if let Some(file) = state.at_work.end(number) {
            state.turns.done(file, share);
            self.widen(&mut state, share);
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

    /// Counts so many threads in, and gives them numbers. They are to be started.
    pub(super) fn begin(&self, count: usize) -> Range<u64> {
        self.state.lock().begin(count)
    }

    /// Some of them could not be started.
    pub(super) fn not_begun(&self, numbers: Range<u64>) {
        self.state.lock().threads -= numbers.count();
    }

    /// Looks after stuck threads, and counts those in that are to be started in their
    /// place. Nobody waits for anything longer than `patience`.
    pub(super) fn look_after(
        &self,
        now: Instant,
        patience: Option<Duration>,
    ) -> (Condition, Range<u64>) {
        let mut state = self.state.lock();
        let share = self.share(&state);
        let lost = state.at_work.look(now, patience);
        self.widen(&mut state, share);
        if state.at_work.stuck() > 0 {
            state.ticks = state.ticks.wrapping_add(1);
            if state.ticks.is_multiple_of(CLEAR_EVERY) {
                state.turns.clear();
            }
        }
        self.stuck.store(state.at_work.stuck(), Ordering::Relaxed);
        self.lost.store(lost, Ordering::Relaxed);
        let condition = Condition {
            is_busy: !state.at_work.is_empty() || !state.turns.is_empty(),
            stuck: state.at_work.stuck(),
        };
        let more = self.more(&state);
        (condition, state.begin(more))
    }

    /// Whether as many threads as may be are stuck for longer than anybody waits.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed) >= self.size.stuck
    }

    /// How many threads are stuck.
    pub(super) fn stuck(&self) -> usize {
        self.stuck.load(Ordering::Relaxed)
    }

    /// No job is begun any more.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }

    /// How many threads are at one file at the most: not all, and few where many
    /// are stuck.
    fn share(&self, state: &State<J>) -> usize {
        if state.at_work.stuck() >= self.size.stuck / 4 {
            1
        } else {
            self.size.usual.saturating_sub(1).max(1)
        }
    }

    /// Gives files the turns that the share held back which there was before.
    fn widen(&self, state: &mut State<J>, before: usize) {
        let share = self.share(state);
        if share > before {
            state.turns.widen(share);
            self.changed.notify_all();
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
}

impl<J> State<J> {
    fn begin(&mut self, count: usize) -> Range<u64> {
        let first = self.started;
        self.started += count as u64;
        self.threads += count;
        first..self.started
    }
}
