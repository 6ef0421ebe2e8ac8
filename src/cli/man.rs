//! `continuity man`: makes the man pages, for those who package it.

use std::path::PathBuf;

use clap::CommandFactory;

use super::{Failure, Outcome};

/// Write the man pages into a directory
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The directory, which must be there
    directory: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    clap_mangen::generate_to(super::Arguments::command(), &arguments.directory)?;
    Ok(Outcome::Success)
}
