//! Evidence of what was refused: a count, and a log that cannot be flooded.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::verify::VerifyError;

/// How many lines may come at once.
const BURST: u32 = 20;
/// One more line may come after each such time.
const REFILL: Duration = Duration::from_secs(1);

/// Counts refusals, and logs the first ones and then one a second.
#[derive(Debug)]
pub(super) struct Refusals(Mutex<State>);

#[derive(Debug)]
struct State {
    count: u64,
    lines: u32,
    refilled: Instant,
    suppressed: u64,
}

impl Default for Refusals {
    fn default() -> Self {
        Self(Mutex::new(State {
            count: 0,
            lines: BURST,
            refilled: Instant::now(),
            suppressed: 0,
        }))
    }
}

impl Refusals {
    /// Takes notice of a refusal.
    pub(super) fn note(&self, error: &VerifyError) {
        let suppressed = self.0.lock().take(Instant::now());
        match suppressed {
            Some(0) => log::error!("{error}"),
            Some(suppressed) => log::error!("{error} suppressed={suppressed}"),
            None => {}
        }
    }

    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        self.0.lock().count
    }
}

impl State {
    /// Whether there may be a line now, and how many had none before it.
    fn take(&mut self, now: Instant) -> Option<u64> {
        self.count = self.count.saturating_add(1);
        while self.lines < BURST && now.duration_since(self.refilled) >= REFILL {
            self.refilled += REFILL;
            self.lines += 1;
        }
        if self.lines == BURST {
            self.refilled = now;
        }
        if let Some(lines) = self.lines.checked_sub(1) {
            self.lines = lines;
            return Some(std::mem::take(&mut self.suppressed));
        }
        self.suppressed = self.suppressed.saturating_add(1);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_refusals_are_a_few_lines() {
        let refusals = Refusals::default();
        let mut state = refusals.0.lock();
        let start = Instant::now();
        let mut lines = 0;
        let mut told = 0;
        // A hundred seconds of ten thousand refusals a second.
        for number in 0..1_000_000_u32 {
            if let Some(suppressed) = state.take(start + Duration::from_micros(100) * number) {
                lines += 1;
                told += 1 + suppressed;
            }
        }
        assert!((100..150).contains(&lines), "{lines}");
        assert_eq!(told + state.suppressed, 1_000_000);
        assert_eq!(state.count, 1_000_000);
    }
}
