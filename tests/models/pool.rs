//! Files of `src/fuse/pool`, all but the one that starts threads: jobs are done once,
//! files take turns, and threads that are stuck are replaced.

#[path = "../../src/fuse/pool/at_work.rs"]
mod at_work;
#[path = "../../src/fuse/pool/shared.rs"]
mod shared;
#[path = "../../src/fuse/pool/turns.rs"]
mod turns;

pub(super) use shared::Condition;

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::thread;
use shuttle::thread::JoinHandle;

use super::seats::STUCK_AFTER;
use crate::inode::Ino;
use crate::{by_itself, try_orders};
use shared::{Shared, Size};
use turns::{Job, Turns};

struct Task(Box<dyn FnOnce() + Send>);

impl Job for Task {
    fn run(self) {
        (self.0)();
    }
}

type Pool = Arc<Shared<Task>>;

fn start(pool: &Pool, numbers: Range<u64>) -> Vec<JoinHandle<()>> {
    numbers
        .map(|number| {
            let pool = Arc::clone(pool);
            thread::spawn(move || {
                while let Some(job) = pool.next(number) {
                    job.run();
                }
            })
        })
        .collect()
}

/// Counts up, and waits until it has come so far.
fn meet(count: &AtomicUsize, wanted: usize) {
    count.fetch_add(1, Ordering::SeqCst);
    wait_for(|| count.load(Ordering::SeqCst) >= wanted);
}

fn wait_for(is_so: impl Fn() -> bool) {
    while !is_so() {
        thread::yield_now();
    }
}

/// Looks after a pool as if it had been stuck for long, and starts what it asks for.
fn look_after(pool: &Pool, threads: &mut Vec<JoinHandle<()>>) -> Condition {
    let (condition, begun) = pool.look_after(Instant::now() + STUCK_AFTER, None);
    threads.extend(start(pool, begun));
    condition
}

fn end(pool: &Pool, threads: Vec<JoinHandle<()>>) {
    pool.close();
    for thread in threads {
        thread.join().unwrap();
    }
    let state = pool.state.lock();
    assert!(state.at_work.is_empty());
    assert_eq!(state.threads, 0);
}

/// A turn that was given while a file might have two threads counts for nothing once it
/// may have one.
#[test]
fn a_share_that_falls_holds_turns_back() {
    by_itself(|| {
        let mut turns = Turns::default();
        let add = |turns: &mut Turns<Task>, file| turns.add(Ino(file), Task(Box::new(|| {})), 2);
        let next = |turns: &mut Turns<Task>, share| turns.next(share).map(|(file, _)| file.0);
        for file in [2, 2, 2, 3] {
            add(&mut turns, file);
        }
        assert_eq!(next(&mut turns, 2), Some(2));
        assert_eq!(next(&mut turns, 1), Some(3));
        assert_eq!((next(&mut turns, 1), turns.waiting()), (None, 0));
        turns.done(Ino(2), 1);
        assert_eq!(next(&mut turns, 1), Some(2));
        turns.widen(2);
        assert_eq!(next(&mut turns, 2), Some(2));
        for file in [2, 2, 3] {
            turns.done(Ino(file), 2);
        }
        assert!(turns.is_empty());
    });
}

/// A file gets all threads but one, and does get them: its jobs wait for each other here,
/// two by two.
#[test]
fn a_file_has_its_share_and_no_more() {
    try_orders(|| {
        let pool = Arc::new(Shared::new(Size { usual: 3, stuck: 4 }));
        let threads = start(&pool, pool.begin(3));
        let at_it = Arc::new(AtomicUsize::new(0));
        let done = Arc::new(AtomicUsize::new(0));
        let pairs: [Arc<AtomicUsize>; 2] = Default::default();
        for pair in &pairs {
            for _ in 0..2 {
                let (pair, at_it, done) = (Arc::clone(pair), Arc::clone(&at_it), Arc::clone(&done));
                let job = Task(Box::new(move || {
                    assert!(at_it.fetch_add(1, Ordering::SeqCst) < 2);
                    meet(&pair, 2);
                    at_it.fetch_sub(1, Ordering::SeqCst);
                    done.fetch_add(1, Ordering::SeqCst);
                }));
                pool.add(Ino(2), job);
            }
        }
        let other = Arc::clone(&done);
        let job = Task(Box::new(move || {
            other.fetch_add(1, Ordering::SeqCst);
        }));
        pool.add(Ino(3), job);
        wait_for(|| done.load(Ordering::SeqCst) == 5);
        end(&pool, threads);
        assert_eq!(done.load(Ordering::SeqCst), 5);
        assert!(pool.state.lock().turns.is_empty());
    });
}

/// Another thread does what waits behind one that is stuck. When that comes back, as many
/// are left as there were.
#[test]
fn a_stuck_thread_is_replaced_and_one_leaves() {
    try_orders(|| {
        let pool = Arc::new(Shared::new(Size { usual: 1, stuck: 4 }));
        let mut threads = start(&pool, pool.begin(1));
        let done = Arc::new(AtomicUsize::new(0));
        let (waits, comes) = (Arc::clone(&done), Arc::clone(&done));
        pool.add(Ino(2), Task(Box::new(move || meet(&waits, 2))));
        pool.add(Ino(3), Task(Box::new(move || meet(&comes, 1))));
        while look_after(&pool, &mut threads).is_busy {
            assert!(pool.state.lock().threads <= 5);
            thread::yield_now();
        }
        assert_eq!(done.load(Ordering::SeqCst), 2);
        wait_for(|| pool.state.lock().threads == 1);
        assert_eq!(pool.state.lock().at_work.stuck(), 0);
        end(&pool, threads);
    });
}

/// While threads are stuck a file has one; once they are not, it has its share again, also
/// if nothing new comes.
#[test]
fn a_file_gets_its_share_again() {
    try_orders(|| {
        let pool = Arc::new(Shared::new(Size { usual: 3, stuck: 4 }));
        let mut threads = start(&pool, pool.begin(3));
        let gate = Arc::new(AtomicUsize::new(0));
        let pair = Arc::new(AtomicUsize::new(0));
        let stuck = Arc::clone(&gate);
        pool.add(Ino(2), Task(Box::new(move || meet(&stuck, 2))));
        wait_for(|| gate.load(Ordering::SeqCst) == 1);
        assert_eq!(look_after(&pool, &mut threads).stuck, 1);
        for _ in 0..2 {
            let pair = Arc::clone(&pair);
            pool.add(Ino(3), Task(Box::new(move || meet(&pair, 2))));
        }
        gate.fetch_add(1, Ordering::SeqCst);
        wait_for(|| pair.load(Ordering::SeqCst) == 2);
        end(&pool, threads);
    });
}
