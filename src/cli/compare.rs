//! The options of all commands that compare.

use std::sync::Arc;
use std::time::Duration;

use crate::attributes::{Attribute, AttributeSet};
use crate::check::Options;

use super::attributes::AttributeArguments;
use super::findings::{FindingsWriter, FormArguments, Words};
use super::jobs::JobsArguments;
use super::progress::ProgressArguments;

/// What to compare, and how to tell.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct CompareArguments {
    #[command(flatten)]
    attributes: AttributeArguments,

    /// Compare the times of the last change too
    #[arg(long)]
    times: bool,

    /// Take times for the same that are less than this apart: a number with ns,
    /// us, ms or s behind it, such as 2s for FAT
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    time_granularity: Duration,

    /// Look at sockets too that only one side has, and that build leaves out
    #[arg(long)]
    sockets: bool,

    #[command(flatten)]
    jobs: JobsArguments,

    #[command(flatten)]
    form: FormArguments,

    #[command(flatten)]
    progress: ProgressArguments,
}

impl CompareArguments {
    pub fn options(&self, strict: bool) -> Options {
        // A tree whose times nobody kept is still the same tree.
        let without_times = AttributeSet::all().without(Attribute::Mtime);
        let asked = if self.times {
            &[Attribute::Mtime][..]
        } else {
            &[]
        };
        Options {
            attributes: self.attributes.set(without_times, asked),
            time_granularity: self.time_granularity,
            strict,
            sockets: self.sockets,
            jobs: self.jobs.count(),
            ..Options::default()
        }
    }

    pub fn writer<'a>(
        &self,
        quiet: bool,
        words: Words<'a>,
        options: &Options,
    ) -> FindingsWriter<'a> {
        let shown = self.progress.show(quiet, &Arc::clone(&options.progress));
        self.form.writer(quiet, words, shown)
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let wanted = || "wanted a number and ns, us, ms or s, such as 1s".to_owned();
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().map_err(|_| wanted())?;
    match text.strip_prefix(digits) {
        Some("ns") => Ok(Duration::from_nanos(number)),
        Some("us") => Ok(Duration::from_micros(number)),
        Some("ms") => Ok(Duration::from_millis(number)),
        Some("s") => Ok(Duration::from_secs(number)),
        _ => Err(wanted()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, nanoseconds) in [("0s", 0), ("7ns", 7), ("1us", 1000), ("2s", 2_000_000_000)] {
            assert_eq!(duration(text), Ok(Duration::from_nanos(nanoseconds)));
        }
        for wrong in [
            "",
            "1",
            "s",
            "-1s",
            "1.5s",
            "1 s",
            "1m",
            "99999999999999999999s",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
