//! `continuity diff`.

use crate::check::{CheckError, Which, diff};

use super::compare::CompareArguments;
use super::findings::Words;
use super::manifest_output::OutputError;
use super::side::{self, SideSpec};
use super::trust::TrustArguments;
use super::{Failure, Outcome};

/// Compare two trees, each a manifest, a directory or a tar archive
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

    #[command(flatten)]
    trust: TrustArguments,

    /// The first tree: a manifest, a directory, or a tar archive, plain or
    /// packed. "manifest:", "dir:" or "tar:" before the path says which it is;
    /// "-" is a manifest on standard input, "tar:-" an archive
    #[arg(value_name = "A", value_parser = side::parser())]
    first: SideSpec,

    /// The second tree, in the same way
    #[arg(value_name = "B", value_parser = side::parser())]
    second: SideSpec,
}

/// `quiet`: only the exit status tells.
pub(super) fn run(arguments: &Arguments, quiet: bool) -> Result<Outcome, Failure> {
    let options = arguments.compare.options(true);
    let mut writer = arguments.compare.writer(quiet, Words::Short, &options);
    let [first, second] = side::load(
        [&arguments.first, &arguments.second],
        &arguments.trust,
        &options,
    )?;
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
