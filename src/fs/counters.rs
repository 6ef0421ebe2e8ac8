//! What a mount has counted, for whoever watches it.

use std::collections::BTreeMap;
use std::fmt;

use crate::verify::Word;

/// Counts since the process began to serve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Refusals of content, by reason; those that there were.
    pub refused: BTreeMap<Word, u64>,
    /// Refusals that have no line in the log, because there were too many.
    pub log_suppressed: u64,
}

impl Counters {
    /// Refusals of content, for whatever reason.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        let counts = self.refused.values();
        counts.fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// As Prometheus reads it, with every reason, so that none appears late.
impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for reason in Word::ALL {
            let count = self.refused.get(&reason).copied().unwrap_or_default();
            writeln!(f, "continuity_refused_total{{reason=\"{reason}\"}} {count}")?;
        }
        writeln!(f, "continuity_log_suppressed_total {}", self.log_suppressed)
    }
}
