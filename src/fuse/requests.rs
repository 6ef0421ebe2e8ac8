//! How many requests there have been, and how many are under way.

use std::borrow::Borrow;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many requests the kernel had to make: what it remembers itself does not
/// come here.
#[derive(Debug, Default)]
pub struct Requests {
    taken: AtomicU64,
    answered: AtomicU64,
}

impl Requests {
    /// All of them so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// How many have been taken and not been answered yet.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        // In this order, so that it can be too many for a moment, but not too few.
        let answered = self.answered.load(Ordering::Acquire);
        self.taken.load(Ordering::Relaxed).saturating_sub(answered)
    }
}

/// A request that counts as taken and not answered until this is dropped.
#[derive(Debug)]
pub(super) struct InFlight<R: Borrow<Requests>>(R);

impl<R: Borrow<Requests>> InFlight<R> {
    pub(super) fn new(requests: R) -> Self {
        requests.borrow().taken.fetch_add(1, Ordering::Relaxed);
        Self(requests)
    }
}

impl<R: Borrow<Requests>> Drop for InFlight<R> {
    fn drop(&mut self) {
        self.0.borrow().answered.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn what_was_answered_is_not_in_flight() {
        let requests = Arc::new(Requests::default());
        let later = InFlight::new(Arc::clone(&requests));
        {
            let _now = InFlight::new(&*requests);
            assert_eq!((requests.count(), requests.in_flight()), (2, 2));
        }
        assert_eq!((requests.count(), requests.in_flight()), (2, 1));
        drop(later);
        assert_eq!((requests.count(), requests.in_flight()), (2, 0));
    }
}
