//! What to do when the worker has died.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// More crashes than this within [`WINDOW`] are no accidents.
const CRASHES_MAX: usize = 5;
const WINDOW: Duration = Duration::from_secs(10);

/// How a worker died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    /// Somebody sent a signal that ends it. That says nothing about what it was doing.
    Killed,
    /// By itself.
    Crashed,
}

/// What follows a death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another worker, which gets all requests again that this one had.
    Again,
    /// Another worker, without these requests, for one of them may be what
    /// crashes it. They fail.
    Without,
    /// No other worker. All requests fail.
    Never,
}

impl Next {
    /// Its name in the log.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Again => "again",
            Self::Without => "without_its_requests",
            Self::Never => "never",
        }
    }
}

/// The last crashes.
#[derive(Debug, Default)]
pub(super) struct Policy(VecDeque<Instant>);

impl Policy {
    /// Notes a death.
    pub(super) fn died(&mut self, death: Death, now: Instant) -> Next {
        if death == Death::Killed {
            return Next::Again;
        }
        self.0
            .retain(|crash| now.saturating_duration_since(*crash) < WINDOW);
        self.0.push_back(now);
        match self.0.len() {
            1 => Next::Again,
            count if count <= CRASHES_MAX => Next::Without,
            _ => Next::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accidents_are_made_good_and_no_more() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut policy = Policy::default();
        for _ in 0..1000 {
            assert_eq!(policy.died(Death::Killed, after(0)), Next::Again);
        }
        assert_eq!(policy.died(Death::Crashed, after(0)), Next::Again);
        assert_eq!(policy.died(Death::Crashed, after(11)), Next::Again);
        for _ in 0..4 {
            assert_eq!(policy.died(Death::Crashed, after(12)), Next::Without);
        }
        assert_eq!(policy.died(Death::Crashed, after(20)), Next::Never);
        assert_eq!(policy.died(Death::Crashed, after(60)), Next::Again);
    }
}
