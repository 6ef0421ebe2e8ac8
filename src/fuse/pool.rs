//! Threads that do what may take long.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

/// Threads that take jobs in the order in which they come.
///
/// They sleep while there is none; threads that first look about for work, as
/// those of rayon do, use processor time that the reader could have. When this
/// is dropped no more jobs are taken; those that have begun go on.
pub(super) struct Pool(Arc<Queue>);

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    jobs: Mutex<Jobs>,
    changed: Condvar,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    closed: bool,
}

impl Pool {
    /// Starts `count` threads with this name.
    pub(super) fn new(name: &str, count: usize) -> io::Result<Self> {
        let pool = Self(Arc::default());
        for number in 0..count {
            let queue = Arc::clone(&pool.0);
            std::thread::Builder::new()
                .name(format!("{name}-{number}"))
                .spawn(move || queue.work())?;
        }
        Ok(pool)
    }

    /// Has a job done.
    pub(super) fn spawn(&self, job: impl FnOnce() + Send + 'static) {
        self.0.jobs.lock().waiting.push_back(Box::new(job));
        self.0.changed.notify_one();
    }
}

impl Queue {
    fn work(&self) {
        while let Some(job) = self.next() {
            // A panic has been printed; it ends its job and not the thread.
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    }

    fn next(&self) -> Option<Job> {
        let mut jobs = self.jobs.lock();
        loop {
            if jobs.closed {
                return None;
            }
            if let Some(job) = jobs.waiting.pop_front() {
                return Some(job);
            }
            self.changed.wait(&mut jobs);
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.0.jobs.lock().closed = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_panic_ends_its_job_and_no_more() {
        let pool = Pool::new("test", 1).unwrap();
        let (say, hear) = channel();
        pool.spawn(|| panic!("as planned"));
        pool.spawn(move || say.send(1).unwrap());
        assert_eq!(hear.recv(), Ok(1));
    }
}
