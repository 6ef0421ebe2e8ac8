//! `continuity ls`.

use crate::list;

use super::manifest_file::ManifestFile;
use super::output::{self, Output};
use super::{Failure, Outcome};

/// List the files of a manifest: mode, owner, group, size, path
///
/// Hard links have a line each. On a terminal, names are escaped; elsewhere
/// they are written as they are.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    manifest: ManifestFile,

    /// Write a JSON array with an object for each path
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let bytes = arguments.manifest.load()?;
    let mut out = Output::stdout();
    if arguments.json {
        list::ls_json(&bytes, &mut out)
    } else {
        list::ls(&bytes, output::names(), &mut out)
    }
    .map_err(|error| arguments.manifest.not_printed(error))?;
    out.finish()?;
    Ok(Outcome::Success)
}
