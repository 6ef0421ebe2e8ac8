//! `continuity stats`.

use crate::list::Stats;

use super::manifest_file::ManifestFile;
use super::output::Output;
use super::{Failure, Outcome};

/// Count what is in a manifest
///
/// Every hard link counts as a file, and its size once.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    manifest: ManifestFile,

    /// Write a JSON object with more numbers
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let bytes = arguments.manifest.load()?;
    let stats = Stats::of(&bytes).map_err(|error| arguments.manifest.refused(error))?;
    let mut out = Output::stdout();
    if arguments.json {
        stats.write_json(&mut out)?;
    } else {
        stats.write_text(&mut out)?;
    }
    out.finish()?;
    Ok(Outcome::Success)
}
