//! What locks keep, in every order in which threads can come to them: shuttle runs
//! the files themselves, with its own locks instead of the system's.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, and does not use everything"
)]

#[path = "../src/verify/cache.rs"]
mod cache;
#[path = "../src/verify/flight.rs"]
mod flight;
#[path = "../src/fuse/handoff.rs"]
mod handoff;
#[path = "../src/fuse/owed.rs"]
mod owed;
#[path = "../src/verify/shared.rs"]
mod shared;

#[path = "models/kept.rs"]
mod kept;
#[path = "models/sync.rs"]
mod sync;

/// What `handoff.rs` needs of the crate.
mod inode {
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Ino(pub u64);
}

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use shuttle::rand::Rng;
use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler};
use shuttle::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use shuttle::{Config, FailurePersistence, Runner, thread};

use flight::Flights;
use owed::{Owed, Watch};

/// How many orders are tried of each model where not all of them are.
const ORDERS: usize = 10_000;
const PATIENCE: Duration = Duration::from_secs(1);

fn config() -> Config {
    let mut config = Config::new();
    config.failure_persistence = FailurePersistence::Print;
    config
}

/// Tries many orders, by chance and with few switches between threads.
fn try_orders(model: impl Fn() + Send + Sync + Copy + 'static) {
    Runner::new(RandomScheduler::new(ORDERS), config()).run(model);
    Runner::new(PctScheduler::new(3, ORDERS), config()).run(model);
}

/// Tries all orders.
fn try_all_orders(model: impl Fn() + Send + Sync + 'static) {
    let tried = Runner::new(DfsScheduler::new(None, false), config()).run(model);
    assert!(tried > 1, "{tried}");
}

/// Counts how often it is given and how often it is dropped.
struct Reply {
    given: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

impl Reply {
    fn new() -> (Self, Arc<AtomicUsize>, Arc<AtomicUsize>) {
        let given = Arc::new(AtomicUsize::new(0));
        let dropped = Arc::new(AtomicUsize::new(0));
        let reply = Self {
            given: Arc::clone(&given),
            dropped: Arc::clone(&dropped),
        };
        (reply, given, dropped)
    }

    fn give(self) {
        self.given.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

/// The thread that is done and the one that looks after the deadline.
#[test]
fn one_reply_whoever_is_first() {
    try_all_orders(|| {
        let owed = Arc::new(Owed::<Reply, u8>::new(Some(PATIENCE)));
        let (reply, given, dropped) = Reply::new();
        let begin = Instant::now();
        let ticket = owed.owe(reply, begin);
        let due = Arc::clone(&owed);
        let deadline = thread::spawn(move || {
            for (reply, _) in due.take_due(begin + PATIENCE) {
                reply.give();
            }
        });
        if let Some(reply) = ticket.take() {
            reply.give();
        }
        deadline.join().unwrap();
        assert_eq!(given.load(Ordering::SeqCst), 1);
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
        assert_eq!(owed.count(), 0);
    });
}

/// The same when the thread that works on it panics; and places are used again.
#[test]
fn one_reply_and_none_of_another() {
    try_orders(|| {
        let owed = Arc::new(Owed::<Reply, u8>::new(Some(PATIENCE)));
        let begin = Instant::now();
        let (reply, given, dropped) = Reply::new();
        let late = owed.owe(reply, begin);
        let (due, works) = (Arc::clone(&owed), Arc::clone(&owed));
        let deadline = thread::spawn(move || {
            for (reply, _) in due.take_due(begin + PATIENCE) {
                reply.give();
            }
        });
        let next = thread::spawn(move || {
            // Not due for long.
            let (reply, given, _) = Reply::new();
            let ticket = works.owe(reply, begin + 10 * PATIENCE);
            assert!(ticket.is_owed());
            ticket.take().unwrap().give();
            assert_eq!(given.load(Ordering::SeqCst), 1);
        });
        drop(late);
        deadline.join().unwrap();
        next.join().unwrap();
        // What is dropped says EIO.
        assert!(given.load(Ordering::SeqCst) <= 1);
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
        assert_eq!(owed.count(), 0);
    });
}

/// A content that is there is given at the time that was said, if whoever has it does
/// not come back.
#[test]
fn what_is_ready_is_given_once() {
    try_all_orders(|| {
        let owed = Arc::new(Owed::<Reply, u8>::new(None));
        let (reply, given, dropped) = Reply::new();
        let begin = Instant::now();
        let ticket = owed.owe(reply, begin);
        let due = Arc::clone(&owed);
        let deadline = thread::spawn(move || {
            for (reply, ready) in due.take_due(begin + PATIENCE) {
                assert_eq!(ready, Some(7));
                reply.give();
            }
        });
        ticket.is_ready(7, begin);
        if let Some(reply) = ticket.take() {
            reply.give();
        }
        deadline.join().unwrap();
        assert_eq!(given.load(Ordering::SeqCst), 1);
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
    });
}

/// Who needs all of a file waits while it comes, and no longer.
#[test]
fn a_deadline_is_put_off_while_a_file_comes() {
    shuttle::check_random(
        || {
            let begin = Instant::now();
            let owed = Arc::new(Owed::<Reply, u8>::new(Some(10 * PATIENCE)));
            let (reply, ..) = Reply::new();
            let ticket = owed.owe(reply, begin);
            let read = Arc::new(std::sync::atomic::AtomicU64::new(5 << 20));
            ticket.needs(&read, begin);
            let mut now = begin;
            let mut pass = |seconds, bytes| {
                now += seconds * PATIENCE;
                read.fetch_add(bytes, Ordering::Relaxed);
                owed.take_due(now).len()
            };
            for _ in 0..100 {
                // 1 MiB a second, though it comes by steps.
                assert_eq!(pass(1, 0), 0);
                assert_eq!(pass(1, 2 << 20), 0);
            }
            // Less is too little.
            for _ in 0..9 {
                assert_eq!(pass(1, 1 << 19), 0);
            }
            assert_eq!(pass(1, 1 << 19), 1);
            assert!(!ticket.is_owed());
        },
        1,
    );
}

/// Whoever looks after deadlines sleeps while nothing is owed, and is not asleep
/// while something is.
#[test]
fn no_deadline_is_slept_through() {
    try_orders(|| {
        let owed = Arc::new(Owed::<Reply, u8>::new(Some(PATIENCE)));
        let begin = Instant::now();
        let watched = Arc::clone(&owed);
        let watch = thread::spawn(move || {
            let mut seen = 0;
            while watched.wait(PATIENCE, false, &mut seen) == Watch::GoOn {
                for (reply, _) in watched.take_due(begin + PATIENCE) {
                    reply.give();
                }
                // Time goes by.
                thread::yield_now();
            }
        });
        let (reply, given, _) = Reply::new();
        let ticket = owed.owe(reply, begin);
        // Stuck for ever: only the deadline answers.
        while given.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
        drop(ticket);
        owed.close();
        watch.join().unwrap();
    });
}

/// All who come while one is at it have its result, and nobody has that of an earlier
/// one.
#[test]
fn a_flight_is_for_those_who_wait_for_it() {
    try_orders(|| {
        let flights = Arc::new(Flights::<u8, u64>::default());
        let runs = Arc::new(AtomicU64::new(0));
        let at_it = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (flights, runs, at_it) =
                    (Arc::clone(&flights), Arc::clone(&runs), Arc::clone(&at_it));
                thread::spawn(move || {
                    let before = runs.load(Ordering::SeqCst);
                    let value = flights.run(1, None, || {
                        assert_eq!(at_it.fetch_add(1, Ordering::SeqCst), 0);
                        thread::yield_now();
                        at_it.fetch_sub(1, Ordering::SeqCst);
                        runs.fetch_add(1, Ordering::SeqCst) + 1
                    });
                    let after = runs.load(Ordering::SeqCst);
                    // Not what was there before it asked.
                    let value = value.unwrap();
                    assert!(
                        value >= before && value <= after,
                        "{before} {value} {after}"
                    );
                    value
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        // Nothing is remembered.
        assert_eq!(flights.run(1, None, || 99), Some(99));
    });
}

/// A panic frees those who wait for it, and one of them does it instead.
#[test]
fn a_lost_flight_frees_all() {
    try_orders(|| {
        let flights = Arc::new(Flights::<u8, u64>::default());
        let runs = Arc::new(AtomicU64::new(0));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (flights, runs) = (Arc::clone(&flights), Arc::clone(&runs));
                thread::spawn(move || {
                    let run = || {
                        flights.run(1, None, || {
                            let number = runs.fetch_add(1, Ordering::SeqCst);
                            thread::yield_now();
                            if number == 0 {
                                std::panic::resume_unwind(Box::new("as planned"));
                            }
                            number
                        })
                    };
                    catch_unwind(AssertUnwindSafe(run)).is_ok_and(|value| value.is_some())
                })
            })
            .collect();
        let had = threads.into_iter().filter(|_| true);
        let had = had.map(|thread| thread.join().unwrap()).filter(|had| *had);
        assert_eq!(had.count(), 2);
    });
}

/// Who has waited for too long goes, and the one who is at it is not disturbed.
#[test]
fn nobody_waits_for_ever_for_a_flight() {
    try_orders(|| {
        let flights = Arc::new(Flights::<u8, u64>::default());
        let runs = Arc::new(AtomicU64::new(0));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (flights, runs) = (Arc::clone(&flights), Arc::clone(&runs));
                thread::spawn(move || {
                    let value = flights.run(1, Some(PATIENCE), || {
                        if shuttle::rand::thread_rng().gen_bool(0.5) {
                            thread::yield_now();
                        }
                        runs.fetch_add(1, Ordering::SeqCst)
                    });
                    value.is_some()
                })
            })
            .collect();
        let had: Vec<bool> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect();
        let runs = runs.load(Ordering::SeqCst);
        assert!(runs >= 1 && had.iter().any(|had| *had));
    });
}
