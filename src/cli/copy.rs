//! `continuity copy`.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use crate::apply::{Evidence, Record};
use crate::build::{self, build, content_of};
use crate::source::UnchangedSource;
use crate::sys::RootDir;

use super::apply::{HowArguments, Work};
use super::manifest_output::{OutputError, write_file_with};
use super::{Failure, Outcome};

/// Copy a tree to another place, with everything that a manifest can hold
///
/// The tree is looked at as a whole, and then copied as "apply --source" would do it,
/// each byte being read once. A file that is not what it was when it was looked at, or
/// changes while it is copied, is told and left out. What is there already and right is
/// not touched: its content is compared with the source's. Exit status: 0 if the copy is
/// complete, 2 if not.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Write the manifest of the copy to this file too, hashed while it is made; not
    /// if anything is missing in it
    #[arg(short, long, value_name = "FILE", conflicts_with = "dry_run")]
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
        // It is read when it is copied.
        content: false,
        jobs: how.jobs.count(),
        progress: Arc::clone(&progress),
        ..build::Options::default()
    };
    let mut built = build(&arguments.source, &options)?;
    if built.left_out.sockets != 0 {
        log::warn!("left out {} sockets", built.left_out.sockets);
    }
    let bytes = built.encode();
    let mut source = UnchangedSource::new(RootDir::open(&arguments.source)?, built.take_seen());
    if how.links() {
        source = source.being_linked();
    }
    let record = arguments.output.is_some().then(|| {
        let options = options.clone();
        let algorithms = options.algorithms.clone();
        Arc::new(Record::new(algorithms, move |size| options.chunks(size)))
    });
    let work = Work {
        root: &arguments.target,
        manifest: &bytes,
        source: Some(&source),
        evidence: Evidence::Source(record.clone()),
    };
    let copy = || how.apply(work, progress, shown, quiet);
    let (Some(path), Some(record)) = (&arguments.output, record) else {
        return Ok(copy()?);
    };
    // It is begun first: who has no place for it is told so before all is copied.
    let written = write_file_with(path, |file| {
        match copy() {
            Ok(Outcome::Success) => {}
            // There is no manifest of a part, and that has been told.
            Ok(outcome) => return Err(Ok(outcome)),
            Err(error) => return Err(Err(Failure::from(error))),
        }
        let bytes = built.declare(&bytes, |resource, size| {
            let hashes = record.take(&resource.paths)?;
            Some(content_of(size, hashes, options.chunks(size)))
        });
        let bytes = bytes.map_err(|error| Err(error.into()))?;
        file.write_all(&bytes).map_err(|error| {
            let path = Box::from(&**path);
            Err(OutputError::File { path, error }.into())
        })
    })?;
    match written {
        Ok(()) => Ok(Outcome::Success),
        Err(ended) => ended,
    }
}
