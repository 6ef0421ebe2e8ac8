//! `continuity dump`.

use std::path::PathBuf;

use crate::list;

use super::manifest_file::{ManifestFile, Pin};
use super::output::Output;
use super::{Failure, Outcome};

/// Print all of a manifest in protobuf text format
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The manifest; "-" is standard input
    #[arg(value_name = "MANIFEST", default_value = "-")]
    path: PathBuf,

    #[command(flatten)]
    pin: Pin,

    /// Write JSON, with bytes as hexadecimal digits and without unknown fields
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let manifest = ManifestFile {
        path: arguments.path.clone(),
        pin: arguments.pin.clone(),
    };
    let bytes = manifest.load()?;
    let mut out = Output::stdout();
    if arguments.json {
        list::dump_json(&bytes, &mut out)
    } else {
        list::dump(&bytes, &mut out)
    }
    .map_err(|error| manifest.not_printed(error))?;
    out.finish()?;
    Ok(Outcome::Success)
}
