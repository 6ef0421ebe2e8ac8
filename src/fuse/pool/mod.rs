//! Threads that do what may take long, or for ever.
//!
//! Jobs are on files, and the files take turns, so that one with many readers does
//! not hold up the others; nor can it have all threads. A thread that is stuck in a
//! job is replaced, up to a bound. When it comes back, there is one too many, and it
//! ends.

mod at_work;
mod shared;
mod turns;

use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::inode::Ino;

use shared::Shared;

pub(super) use shared::{Condition, Size};
pub(super) use turns::Job;

/// Threads that sleep while there is nothing to do. Threads that first look about
/// for work, as those of rayon do, use processor time that the reader could have.
/// When this is dropped no more jobs are taken; those that have begun go on.
pub(super) struct Pool<J: Job> {
    name: &'static str,
    shared: Arc<Shared<J>>,
}

impl<J: Job> Pool<J> {
    /// Starts threads with this name.
    pub(super) fn new(name: &'static str, size: Size) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(size));
        let pool = Self { name, shared };
        pool.start(pool.shared.begin(size.usual))?;
        Ok(pool)
    }

    /// Has a job on a file done.
    pub(super) fn spawn(&self, file: Ino, job: J) {
        self.shared.add(file, job);
    }

    /// Whether as many threads as may be are stuck for longer than anybody waits.
    pub(super) fn is_lost(&self) -> bool {
        self.shared.is_lost()
    }

    /// How many threads are stuck.
    pub(super) fn stuck(&self) -> usize {
        self.shared.stuck()
    }

    /// Looks after stuck threads; to be called every now and then while anything
    /// goes on. Nobody waits for anything longer than `patience`.
    pub(super) fn look_after(&self, now: Instant, patience: Option<Duration>) -> Condition {
        let (condition, begun) = self.shared.look_after(now, patience);
        if let Err(error) = self.start(begun) {
            log::error!(
                "event=no_thread {} threads are stuck, and no more can be started: {error}",
                condition.stuck
            );
        }
        condition
    }

    fn start(&self, numbers: Range<u64>) -> io::Result<()> {
        for number in numbers.clone() {
            let shared = Arc::clone(&self.shared);
            let started = std::thread::Builder::new()
                .name(format!("{}-{number}", self.name))
                .spawn(move || work(&shared, number));
            if let Err(error) = started {
                self.shared.not_begun(number..numbers.end);
                return Err(error);
            }
        }
        Ok(())
    }
}

fn work<J: Job>(shared: &Shared<J>, number: u64) {
    while let Some(job) = shared.next(number) {
        // A panic has been printed; it ends its job and not the thread.
        let _ = catch_unwind(AssertUnwindSafe(|| job.run()));
    }
}

impl<J: Job> std::fmt::Debug for Pool<J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("name", &self.name)
            .field("size", &self.shared.size)
            .field("stuck", &self.stuck())
            .finish_non_exhaustive()
    }
}

impl<J: Job> Drop for Pool<J> {
    fn drop(&mut self) {
        self.shared.close();
    }
}

#[cfg(test)]
mod tests;
