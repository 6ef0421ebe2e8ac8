//! The command line: arguments, printing, exit codes, logging.
//!
//! A subcommand is one file with a struct of its arguments and a `run`, one
//! variant of `Command`, and one arm of `Command::run`.

mod apply;
mod archive_file;
mod attributes;
mod audit;
mod build;
mod cat;
mod check;
mod compare;
mod completions;
mod copy;
mod diff;
mod dump;
mod export;
mod findings;
mod jobs;
mod logfmt;
mod logging;
mod ls;
mod man;
pub mod manifest_file;
mod manifest_output;
mod mount;
pub mod mount_helper;
mod mounts;
pub mod output;
mod progress;
pub mod remount;
mod report;
mod selection;
mod side;
pub mod source;
mod stats;
pub mod trust;
mod umount;
mod verify;
mod whiteouts;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{ArgAction, CommandFactory, Parser, Subcommand};

use logging::Verbosity;
pub use mount::options::{OptionError, Options as MountOptions, Remark};

/// Why a subcommand could not do its work; printed by `report` alone.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How a subcommand that did its work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    Success,
    /// What was compared is not the same.
    Different,
    /// There was trouble, and it has been told.
    Trouble,
}

/// Exit status for trouble of any kind, wrong usage too.
const TROUBLE: u8 = 2;

impl Outcome {
    /// That of a search for differences: where there was trouble, not all are known.
    const fn of(differences: u64, troubles: u64) -> Self {
        match (differences, troubles) {
            (0, 0) => Self::Success,
            (_, 0) => Self::Different,
            _ => Self::Trouble,
        }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Success => Self::SUCCESS,
            Outcome::Different => Self::from(1),
            Outcome::Trouble => Self::from(TROUBLE),
        }
    }
}

/// The version, and in a release build from a git tree its commit.
const VERSION: &str = env!("CONTINUITY_VERSION");

/// Build, check, show and mount continuity manifests.
#[derive(Debug, Parser)]
#[command(name = "continuity", version = VERSION)]
#[command(after_help = EXIT_STATUS)]
struct Arguments {
    /// Say more on standard error; twice for everything
    #[arg(short, long, global = true, display_order = 900, action = ArgAction::Count, conflicts_with = "quiet")]
    verbose: u8,

    /// Say nothing on standard error but errors
    #[arg(short, long, global = true, display_order = 901)]
    quiet: bool,

    #[command(subcommand)]
    command: Command,
}

const EXIT_STATUS: &str = "Exit status: 0 if all is well, 1 if what was compared is different, \
2 if there was trouble.";

#[derive(Debug, Subcommand)]
enum Command {
    Build(build::Arguments),
    Verify(verify::Arguments),
    Diff(diff::Arguments),
    Check(check::Arguments),
    Apply(apply::Arguments),
    Copy(copy::Arguments),
    Mount(mount::Arguments),
    Mounts(mounts::Arguments),
    Umount(umount::Arguments),
    Audit(audit::Arguments),
    Remount(remount::Arguments),
    Cat(cat::Arguments),
    Export(export::Arguments),
    Ls(ls::Arguments),
    Stats(stats::Arguments),
    Dump(dump::Arguments),
    Completions(completions::Arguments),
    #[command(hide = true)]
    Man(man::Arguments),
}

impl Command {
    fn run(
        &self,
        quiet: bool,
        words: &[OsString],
        is_supervisor: bool,
        verbosity: Verbosity,
    ) -> Result<Outcome, Failure> {
        // What looks after a mount gives up rights first, while there is no thread yet.
        if !matches!(self, Self::Mount(_)) {
            verbosity.init();
        }
        match self {
            Self::Build(arguments) => build::run(arguments, quiet),
            Self::Verify(arguments) => verify::run(arguments, quiet),
            Self::Diff(arguments) => diff::run(arguments, quiet),
            Self::Check(arguments) => check::run(arguments, quiet),
            Self::Apply(arguments) => apply::run(arguments, quiet),
            Self::Copy(arguments) => copy::run(arguments, quiet),
            Self::Mount(arguments) => mount::run(arguments, words, is_supervisor, verbosity),
            Self::Mounts(arguments) => mounts::run(arguments),
            Self::Umount(arguments) => umount::run(arguments),
            Self::Audit(arguments) => audit::run(arguments, quiet),
            Self::Remount(arguments) => remount::run(arguments),
            Self::Cat(arguments) => cat::run(arguments),
            Self::Export(arguments) => export::run(arguments, quiet),
            Self::Ls(arguments) => ls::run(arguments),
            Self::Stats(arguments) => stats::run(arguments),
            Self::Dump(arguments) => dump::run(arguments),
            Self::Completions(arguments) => completions::run(arguments),
            Self::Man(arguments) => man::run(arguments),
        }
    }

    /// How much it says without being asked: what runs for long says when it
    /// begins and ends.
    const fn verbosity(&self) -> u8 {
        match self {
            Self::Mount(_) => 1,
            _ => 0,
        }
    }
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    if mount_helper::is_meant(&words, &Arguments::command()) {
        return mount_helper::run(words);
    }
    let worker = mount::worker::Role::take(&mut words);
    let is_supervisor = mount::background::take(&mut words);
    let arguments = match Arguments::try_parse_from(&words) {
        Ok(arguments) => arguments,
        Err(error) => return report::usage("continuity", &error),
    };
    let verbosity = Verbosity {
        verbose: arguments.verbose + arguments.command.verbosity(),
        quiet: arguments.quiet,
    };
    let result = match (worker, &arguments.command) {
        // It starts its log itself, when it is ready to.
        (Some(role), Command::Mount(arguments)) => mount::work(arguments, role, verbosity),
        (_, command) => command.run(arguments.quiet, &words, is_supervisor, verbosity),
    };
    logging::finish();
    match result {
        Ok(outcome) => outcome.into(),
        Err(error) if output::reader_is_gone(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            report::error("continuity", error.as_ref());
            ExitCode::from(TROUBLE)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Arguments::command().debug_assert();
    }
}
