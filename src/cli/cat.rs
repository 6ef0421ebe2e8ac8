//! `continuity cat`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use crate::cat::{CatError, cat};
use crate::inode::{InodeTable, RootOwner};
use crate::manifest::Limits;
use crate::verify::{self, Verifier};

use super::manifest_file::ManifestFile;
use super::output::Output;
use super::source::{self, SourceSpec};
use super::{Failure, Outcome, report};

/// Write the content of files, verified
///
/// No byte is written that was not hashed and found to match. A large file
/// that has no chunk table is checked in full before its first byte is written.
/// Symlinks are followed inside the manifest, as if its root were that of the
/// system.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[arg(long, value_name = "SOURCE", value_parser = source::parser(), help = source::FORMS)]
    source: SourceSpec,

    #[command(flatten)]
    manifest: ManifestFile,

    /// Paths in the manifest; with or without a leading slash
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<OsString>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let manifest = arguments.manifest.load()?;
    let table = InodeTable::build(&manifest, &Limits::default(), RootOwner::default())
        .map_err(|error| arguments.manifest.refused(error))?;
    drop(manifest);
    let verifier = Verifier::new(arguments.source.open()?, verify::Options::default())?;
    let mut out = Output::stdout();
    let mut outcome = Outcome::Success;
    for path in &arguments.paths {
        match cat(&table, &verifier, path.as_bytes(), &mut out) {
            Ok(_) => {}
            Err(error @ CatError::Output(_)) => return Err(error.into()),
            // The others can still be had.
            Err(error) => {
                outcome = Outcome::Trouble;
                report::error("continuity", &error);
            }
        }
    }
    out.finish()?;
    Ok(outcome)
}
