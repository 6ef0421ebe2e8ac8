//! `continuity verify`.

use std::path::PathBuf;

use crate::check::{CheckError, verify};

use super::compare::CompareArguments;
use super::findings::Words;
use super::manifest_file::ManifestFile;
use super::manifest_output::OutputError;
use super::{Failure, Outcome};

/// Compare a directory with a manifest
///
/// Prints what differs, one difference a line, and nothing when nothing does.
/// Files that the manifest does not list are not looked at, unless --strict is
/// given. Exit status: 0 if nothing differs, 1 if something does, 2 if it cannot
/// be told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Tell of files, extended attributes and hard links too that the manifest
    /// does not declare
    #[arg(long)]
    strict: bool,

    #[command(flatten)]
    compare: CompareArguments,

    /// The directory, or a symlink to it
    root: PathBuf,

    #[command(flatten)]
    manifest: ManifestFile,
}

/// `quiet`: only the exit status tells.
pub(super) fn run(arguments: &Arguments, quiet: bool) -> Result<Outcome, Failure> {
    let manifest = arguments.manifest.load()?;
    let options = arguments.compare.options(arguments.strict);
    let words = Words::Go(&arguments.root);
    let mut writer = arguments.compare.writer(quiet, words, &options);
    let verified = verify(&arguments.root, &manifest, &options, |finding| {
        writer.tell(finding)
    });
    let summary = verified.map_err(|error| match error {
        CheckError::Manifest { cause, .. } => Failure::from(arguments.manifest.refused(cause)),
        CheckError::Output(error) => Failure::from(OutputError::Stdout(error)),
        error => Failure::from(error),
    })?;
    Ok(writer.finish(&summary)?)
}
