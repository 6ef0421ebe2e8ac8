//! `--jobs`, the same for all who have it.

use clap::value_parser;

/// More threads than any of this gains from, and fewer than would hurt a system.
const MOST: i64 = 1024;

/// How many threads work.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(super) struct JobsArguments {
    /// How many threads to use, at most 1024 [default: one on each processor]
    #[arg(short, long, value_name = "N", value_parser = value_parser!(u16).range(1..=MOST))]
    jobs: Option<u16>,
}

impl JobsArguments {
    /// As the library has it: 0 for one on each processor.
    pub fn count(self) -> usize {
        self.jobs.map_or(0, usize::from)
    }
}
