//! Who has been at it since when: threads that may be stuck, and how many are.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::pool::Condition;

/// After so long with no sign of life work counts as stuck. What reads and hashes
/// one block takes a tenth of this.
pub(super) const STUCK_AFTER: Duration = Duration::from_millis(100);

/// A number of seats, each for one thread that works.
#[derive(Debug)]
pub(super) struct Seats {
    /// 0 where nobody sits, or since when somebody does, in microseconds.
    since: Box<[AtomicU64]>,
    begin: Instant,
}

/// A seat that is taken until this is dropped.
#[derive(Debug)]
pub(super) struct Seat<'a>(&'a AtomicU64);

impl Seats {
    pub(super) fn new(count: usize) -> Self {
        Self {
            since: (0..count).map(|_| AtomicU64::new(0)).collect(),
            begin: Instant::now(),
        }
    }

    /// A seat, if one is free.
    pub(super) fn take(&self, now: Instant) -> Option<Seat<'_>> {
        let since = self.micros(now);
        let free = self.since.iter().find(|seat| {
            let (taken, was_taken) = (Ordering::Relaxed, Ordering::Relaxed);
            seat.compare_exchange(0, since, taken, was_taken).is_ok()
        });
        free.map(Seat)
    }

    /// How those are who sit here.
    pub(super) fn condition(&self, now: Instant) -> Condition {
        Condition {
            is_busy: self.taken() > 0,
            stuck: self.stuck(now),
        }
    }

    /// How many seats are taken.
    pub(super) fn taken(&self) -> usize {
        self.count(|since| since != 0)
    }

    /// How many have been taken for so long that their threads are stuck.
    pub(super) fn stuck(&self, now: Instant) -> usize {
        let limit = self
            .micros(now)
            .saturating_sub(STUCK_AFTER.as_micros() as u64);
        self.count(|since| since != 0 && since <= limit)
    }

    fn count(&self, is_such: impl Fn(u64) -> bool) -> usize {
        let seats = self.since.iter();
        seats
            .filter(|since| is_such(since.load(Ordering::Relaxed)))
            .count()
    }

    /// Never 0.
    fn micros(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.begin).as_micros() as u64 + 1
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_sit_than_there_are_seats() {
        let seats = Seats::new(2);
        let now = Instant::now();
        for _ in 0..3 {
            let first = seats.take(now);
            let second = seats.take(now);
            assert!(first.is_some() && second.is_some());
            for _ in 0..5 {
                assert!(seats.take(now).is_none());
            }
            drop(first);
            assert!(seats.take(now).is_some());
        }
        assert_eq!(seats.taken(), 0);
    }

    #[test]
    fn who_sits_for_long_is_stuck() {
        let seats = Seats::new(3);
        let now = Instant::now();
        let long = seats.take(now);
        let short = seats.take(now + STUCK_AFTER);
        assert_eq!(seats.stuck(now + STUCK_AFTER / 2), 0);
        assert_eq!(seats.stuck(now + STUCK_AFTER), 1);
        assert_eq!(seats.stuck(now + 2 * STUCK_AFTER), 2);
        drop(long);
        assert_eq!((seats.taken(), seats.stuck(now + 2 * STUCK_AFTER)), (1, 1));
        drop(short);
    }
}
