//! `continuity verify`.

use std::path::{Path, PathBuf};

use crate::build::Convention;
use crate::check::{self, CheckError, Options, verify, verify_manifest};

use super::archive_file;
use super::compare::CompareArguments;
use super::findings::Words;
use super::manifest_file::ManifestFile;
use super::manifest_output::OutputError;
use super::whiteouts::Whiteouts;
use super::{Failure, Outcome};

/// Compare a directory, or a tar archive, with a manifest
///
/// Prints what differs, one difference a line, and nothing when nothing does.
/// Files that the manifest does not list are not looked at, unless --strict is
/// given. Exit status: 0 if nothing differs, 1 if something does, 2 if it cannot
/// be told.
#[derive(Debug, clap::Args)]
#[command(allow_missing_positional = true)]
pub(super) struct Arguments {
    /// Tell of files, extended attributes and hard links too that the manifest
    /// does not declare
    #[arg(long)]
    strict: bool,

    #[command(flatten)]
    compare: CompareArguments,

    /// Compare what unpacking this tar archive would leave, which "build
    /// --from-tar" reads; "-" is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "root")]
    tar: Option<PathBuf>,

    /// How the archive says that files of lower layers are gone: "aufs" (or
    /// "oci"), "overlay", or "none" [default: aufs]
    #[arg(long, value_name = "CONVENTION", value_parser = Whiteouts::parse, requires = "tar")]
    whiteouts: Option<Whiteouts>,

    /// The directory, or a symlink to it
    #[arg(required_unless_present = "tar")]
    root: Option<PathBuf>,

    #[command(flatten)]
    manifest: ManifestFile,
}

/// `quiet`: only the exit status tells.
pub(super) fn run(arguments: &Arguments, quiet: bool) -> Result<Outcome, Failure> {
    let manifest = arguments.manifest.load()?;
    let options = arguments.compare.options(arguments.strict);
    let Some(place) = arguments.root.as_ref().or(arguments.tar.as_ref()) else {
        return Err("there is no directory".into());
    };
    let archive = match &arguments.tar {
        Some(tar) => Some(read_archive(arguments, tar, &manifest, &options)?),
        None => None,
    };
    let words = Words::Go(place);
    let mut writer = arguments.compare.writer(quiet, words, &options);
    let verified = match archive {
        Some(found) => verify_manifest(&found, &manifest, &options, |finding| writer.tell(finding)),
        None => verify(place, &manifest, &options, |finding| writer.tell(finding)),
    };
    let summary = verified.map_err(|error| match error {
        CheckError::Manifest { cause, .. } => Failure::from(arguments.manifest.refused(cause)),
        CheckError::Output(error) => Failure::from(OutputError::Stdout(error)),
        error => Failure::from(error),
    })?;
    Ok(writer.finish(&summary)?)
}

/// The manifest of an archive, with digests by the algorithms of the other one.
fn read_archive(
    arguments: &Arguments,
    tar: &Path,
    manifest: &[u8],
    options: &Options,
) -> Result<Vec<u8>, Failure> {
    let algorithms = check::algorithms(manifest, &options.limits)
        .map_err(|error| arguments.manifest.refused(error))?;
    let whiteouts = match arguments.whiteouts {
        Some(Whiteouts(whiteouts)) => whiteouts,
        None => Some(Convention::Aufs),
    };
    archive_file::manifest(tar, algorithms, whiteouts, options)
}
