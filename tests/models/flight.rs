//! One piece of work for all who want it at the same time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use shuttle::rand::Rng;
use shuttle::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use shuttle::thread;

use super::flight::Flights;
use crate::{PATIENCE, try_orders};

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
