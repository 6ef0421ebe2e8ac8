//! `continuity dump`.

use std::path::PathBuf;

use crate::inode::{InodeTable, RootOwner};
use crate::list;
use crate::manifest::{Limits, read_header};

use super::manifest_file::ManifestFile;
use super::output::Output;
use super::trust::TrustArguments;
use super::{Failure, Outcome};

/// Print all of a manifest
///
/// "text" is protobuf's text format, from which "build --from-dump" makes the
/// same bytes again. "json" has the same names, with bytes as hexadecimal digits
/// and without unknown fields. "mtree" is a specification for mtree(8), which
/// has no words for extended attributes and chunks, or for two names being one
/// file.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The manifest; "-" is standard input
    #[arg(value_name = "MANIFEST", default_value = "-")]
    path: PathBuf,

    #[command(flatten)]
    trust: TrustArguments,

    /// What to write: text, json or mtree
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    #[arg(hide_possible_values = true)]
    format: Format,

    /// The same as --format=json
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
    Mtree,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let manifest = ManifestFile {
        path: arguments.path.clone(),
        trust: arguments.trust.clone(),
    };
    let bytes = manifest.load()?;
    let mut out = Output::stdout();
    match arguments.format {
        Format::Text if !arguments.json => {
            list::dump(&bytes, &mut out).map_err(|error| manifest.not_printed(error))?;
        }
        Format::Mtree => {
            let limits = Limits::default();
            let refused = |error| manifest.refused(error);
            let header = read_header(&bytes, &limits).map_err(refused)?;
            let table =
                InodeTable::build(&bytes, &limits, RootOwner::default()).map_err(refused)?;
            list::mtree(&table, header.root.is_some(), &mut out)?;
        }
        Format::Text | Format::Json => {
            list::dump_json(&bytes, &mut out).map_err(|error| manifest.not_printed(error))?;
        }
    }
    out.finish()?;
    Ok(Outcome::Success)
}
