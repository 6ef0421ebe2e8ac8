//! `continuity copy`.

use std::path::PathBuf;
use std::sync::Arc;

use crate::build::{self, build};
use crate::source::DirectorySource;
use crate::sys::RootDir;

use super::apply::HowArguments;
use super::manifest_output::write_file;
use super::{Failure, Outcome};

/// Copy a tree to another place, with everything that a manifest can hold
///
/// What "build" and "apply --source" do, one after the other: every file is
/// hashed in the source, and again when it has been copied, before it gets its
/// name; with --disable-digest neither, but for --output. What is there already and right is not touched. Exit status: 0 if the
/// copy is complete, 2 if not.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Write the manifest of the tree to this file too
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    how: HowArguments,

    /// The directory to copy, or a symlink to it
    #[arg(value_name = "SRC")]
    source: PathBuf,

    /// Where to; it is made if it is missing
    #[arg(value_name = "DST")]
    target: PathBuf,
}

pub(super) fn run(arguments: &Arguments, quiet: bool) -> Result<Outcome, Failure> {
    let how = &arguments.how;
    how.spare(&arguments.source, &arguments.target)?;
    let progress = Arc::default();
    let shown = how.progress.show(quiet, &progress);
    let options = build::Options {
        selection: build::Selection {
            sockets: how.sockets,
            // A copy is of everything.
            ignore_files: false,
            ..build::Selection::default()
        },
        // They are for those who read parts of a file.
        chunk_threshold: match arguments.output {
            Some(_) => build::Options::default().chunk_threshold,
            None => u64::MAX,
        },
        // Digests that nobody compares are for the manifest alone.
        content: !how.disable_digest || arguments.output.is_some(),
        jobs: how.jobs,
        progress: Arc::clone(&progress),
        ..build::Options::default()
    };
    let built = build(&arguments.source, &options)?;
    if built.left_out.sockets != 0 {
        log::warn!("left out {} sockets", built.left_out.sockets);
    }
    let bytes = built.encode();
    drop(built);
    if let Some(path) = &arguments.output {
        write_file(path, &|out| out.write_all(&bytes))?;
    }
    let source = DirectorySource::new(RootDir::open(&arguments.source)?).opening_nothing_else();
    Ok(how.apply(
        &arguments.target,
        &bytes,
        Some(&source),
        progress,
        shown,
        quiet,
    )?)
}
