//! `continuity verify`.

use std::io::{self, Write};
use std::path::PathBuf;

use crate::attributes::Attribute;
use crate::check::{CheckError, Finding, Options, Summary, verify};

use super::attributes::AttributeArguments;
use super::manifest_file::ManifestFile;
use super::progress::ProgressArguments;
use super::{Failure, Outcome, report};

/// Compare a directory with a manifest
///
/// Prints what differs, one difference a line, and nothing when nothing does.
/// Files that the manifest does not name are not looked at. Exit status: 0 if
/// nothing differs, 1 if something does, 2 if it cannot be told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Compare the times of the last change too
    #[arg(long)]
    times: bool,

    /// How many threads to use; 0 for one on each processor
    #[arg(short, long, value_name = "N", default_value_t = 0)]
    jobs: usize,

    #[command(flatten)]
    attributes: AttributeArguments,

    #[command(flatten)]
    progress: ProgressArguments,

    /// The directory, or a symlink to it
    root: PathBuf,

    #[command(flatten)]
    manifest: ManifestFile,
}

/// `quiet`: only the exit status tells.
pub(super) fn run(arguments: &Arguments, quiet: bool) -> Result<Outcome, Failure> {
    let manifest = arguments.manifest.load()?;
    let options = Options {
        jobs: arguments.jobs,
        ..Options::default()
    };
    let mut attributes = arguments.attributes.set(options.attributes.clone());
    if arguments.times {
        attributes = attributes.with(Attribute::Mtime);
    }
    let options = Options {
        attributes,
        ..options
    };
    let shown = arguments.progress.show(quiet, &options.progress);
    let mut out = io::LineWriter::new(io::stdout());
    let summary = verify(&arguments.root, &manifest, &options, |finding| {
        shown.beside(|| match finding {
            _ if quiet => {}
            // Nobody may be reading any more; the exit status still tells.
            Finding::Different(difference) => {
                let _ = writeln!(out, "{difference}");
            }
            Finding::Trouble(trouble) => report::line(&trouble.to_string()),
        });
    })
    .map_err(|error| match error {
        CheckError::Manifest(error) => Box::new(arguments.manifest.refused(error)),
        error => Failure::from(error),
    })?;
    drop(shown);
    let Summary {
        resources,
        differences,
        troubles,
        ..
    } = summary;
    if !summary.is_same() && !quiet {
        report::line(&format!(
            "differences: {differences}, could not be checked: {troubles}, resources: {resources}"
        ));
    }
    Ok(match (troubles, differences) {
        (0, 0) => Outcome::Success,
        (0, _) => Outcome::Different,
        _ => Outcome::Trouble,
    })
}
