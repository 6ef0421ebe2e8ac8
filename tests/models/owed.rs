//! Replies: each is given once, by whoever comes first.

use std::sync::Arc;
use std::time::Instant;

use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::thread;

use super::owed::{Owed, Watch};
use crate::{PATIENCE, by_itself, try_all_orders, try_orders};

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
    by_itself(|| {
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
    });
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
