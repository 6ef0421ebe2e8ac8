//! `continuity diff`.

use crate::check::{CheckError, Which, diff};

use super::compare::CompareArguments;
use super::findings::Words;
use super::manifest_output::OutputError;
use super::side::{self, SideSpec};
use super::{Failure, Outcome};

/// Compare two trees, each a manifest or a directory
///
/// Prints a line for each path that differs: A and the path where only the
/// second tree has it, D where only the first has it, T where it is another kind
/// of file, M where other attributes differ, with their values in the first and
/// in the second tree. Directories end in a slash. Exit status: 0 if nothing
/// differs, 1 if something does, 2 if it cannot be told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    compare: CompareArguments,

    /// The first tree: a manifest or a directory; "-" is a manifest on standard
    /// input. "manifest:" or "dir:" before the path says which it is
    #[arg(value_name = "A", value_parser = side::parser())]
    first: SideSpec,

    /// The second tree, in the same way
    #[arg(value_name = "B", value_parser = side::parser())]
    second: SideSpec,
}

/// `quiet`: only the exit status tells.
pub(super) fn run(arguments: &Arguments, quiet: bool) -> Result<Outcome, Failure> {
    if arguments.first.is_stdin() && arguments.second.is_stdin() {
        return Err("standard input can be one side only".into());
    }
    let first = arguments.first.load()?;
    let second = arguments.second.load()?;
    let options = arguments.compare.options(true);
    let mut writer = arguments.compare.writer(quiet, Words::Short, &options);
    let compared = diff(first.side(), second.side(), &options, |finding| {
        writer.tell(finding)
    });
    let summary = compared.map_err(|error| match error {
        CheckError::Manifest { which, cause } => Failure::from(match which {
            Which::First => first.refused(cause),
            Which::Second => second.refused(cause),
        }),
        CheckError::Output(error) => Failure::from(OutputError::Stdout(error)),
        error => Failure::from(error),
    })?;
    Ok(writer.finish(&summary)?)
}
