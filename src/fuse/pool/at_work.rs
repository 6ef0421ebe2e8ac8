//! Which threads are at which job, and which of them are stuck in it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::fuse::seats::STUCK_AFTER;
use crate::inode::Ino;

/// Threads that have a job, by their numbers.
#[derive(Default)]
pub(super) struct AtWork {
    running: HashMap<u64, Running>,
    stuck: usize,
}

struct Running {
    file: Ino,
    /// When it last gave a sign of life.
    alive: Instant,
    pulse: Option<Arc<AtomicU64>>,
    beats: u64,
    is_stuck: bool,
}

impl AtWork {
    /// A thread begins a job on a file.
    pub(super) fn begin(&mut self, thread: u64, file: Ino, pulse: Option<Arc<AtomicU64>>) {
        let running = Running {
            file,
            alive: Instant::now(),
            beats: pulse
                .as_ref()
                .map_or(0, |pulse| pulse.load(Ordering::Relaxed)),
            pulse,
            is_stuck: false,
        };
        self.running.insert(thread, running);
    }

    /// A thread is done with its job, if it had one; on which file that was.
    pub(super) fn end(&mut self, thread: u64) -> Option<Ino> {
        let Running { file, is_stuck, .. } = self.running.remove(&thread)?;
        if is_stuck {
            self.stuck -= 1;
        }
        Some(file)
    }

    /// Sees which threads are stuck, and counts those that have been for longer than
    /// anybody waits.
    pub(super) fn look(&mut self, now: Instant, patience: Option<Duration>) -> usize {
        let mut lost = 0;
        let mut stuck = 0;
        for running in self.running.values_mut() {
            if let Some(pulse) = &running.pulse {
                let beats = pulse.load(Ordering::Relaxed);
                if beats != running.beats {
                    running.beats = beats;
                    running.alive = now;
                }
            }
            let silent = now.saturating_duration_since(running.alive);
            running.is_stuck = silent >= STUCK_AFTER;
            stuck += usize::from(running.is_stuck);
            lost += usize::from(patience.is_some_and(|patience| silent >= patience));
        }
        self.stuck = stuck;
        lost
    }

    /// How many threads were stuck when that was last looked at, and still are.
    pub(super) fn stuck(&self) -> usize {
        self.stuck
    }

    /// Whether no thread has a job.
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }
}
