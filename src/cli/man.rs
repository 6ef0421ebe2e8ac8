//! `continuity man`: makes the man pages, for those who package it.

use std::fs;
use std::path::PathBuf;

use clap::CommandFactory;
use clap_mangen::Man;

use super::{Failure, Outcome, mount_helper};

/// Write the man pages into a directory
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The directory; it is made if it is missing
    directory: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let directory = &arguments.directory;
    fs::create_dir_all(directory)
        .map_err(|error| format!("cannot make directory {}: {error}", directory.display()))?;
    clap_mangen::generate_to(super::Arguments::command(), directory)?;
    Man::new(mount_helper::command())
        .section("8")
        .generate_to(directory)?;
    Ok(Outcome::Success)
}
