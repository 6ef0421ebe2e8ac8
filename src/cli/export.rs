//! `continuity export`.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;

use crate::archive::{WHOLE_MAX, WriteError, WriteOptions, Written, write};
use crate::build::Convention;
use crate::progress::Progress;
use crate::source::{MemorySource, Source};
use crate::verify::{self, Verifier};

use super::jobs::JobsArguments;
use super::manifest_file::ManifestFile;
use super::manifest_output::{OutputError, write_file_with};
use super::output::Output;
use super::progress::ProgressArguments;
use super::source::{self, SourceSpec};
use super::whiteouts::Whiteouts;
use super::{Failure, Outcome};

/// Write an archive of what a manifest declares, verified
///
/// The archive is pax, sorted, and the same bytes whenever the manifest is the
/// same. No byte of content is written that was not hashed and found to match.
/// Content that is refused ends it: FILE does not appear then, and standard
/// output has no end mark. Sockets are left out.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Write a tar archive; there is no other form yet
    #[arg(long, required = true)]
    tar: bool,

    #[arg(long, value_name = "SOURCE", value_parser = source::parser(), help = source::FORMS)]
    source: Option<SourceSpec>,

    /// Write the archive to this file, whole or not at all; "-" is standard
    /// output [default: -]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// How to say that files of lower layers are gone: "aufs" (or "oci") by .wh.
    /// files, as in container images; "overlay" by devices 0:0 and opaque
    /// attributes; "none" says nothing of them
    #[arg(long, value_name = "CONVENTION", value_parser = Whiteouts::parse, default_value = "aufs")]
    whiteouts: Whiteouts,

    #[command(flatten)]
    jobs: JobsArguments,

    #[command(flatten)]
    progress: ProgressArguments,

    #[command(flatten)]
    manifest: ManifestFile,
}

pub(super) fn run(arguments: &Arguments, quiet: bool) -> Result<Outcome, Failure> {
    let manifest = arguments.manifest.load()?;
    let source: Box<dyn Source> = match &arguments.source {
        Some(spec) => spec.open()?,
        // Enough for a manifest without content.
        None => Box::new(MemorySource::default()),
    };
    let sizes = verify::Options {
        small_file_max: WHOLE_MAX,
        ..verify::Options::default()
    };
    let verifier = Verifier::new(source, sizes)?;
    let Whiteouts(whiteouts): Whiteouts = arguments.whiteouts;
    let options = WriteOptions {
        whiteouts,
        jobs: arguments.jobs.count(),
        ..WriteOptions::default()
    };
    let progress = Arc::new(Progress::default());
    let shown = arguments.progress.show(quiet, &progress);
    let written = match &arguments.output {
        Some(path) if path.as_os_str() != "-" => write_file_with(path, |file| {
            let out = io::BufWriter::with_capacity(BUFFER_SIZE, file);
            write(&manifest, &verifier, &options, &progress, out)
        })?,
        _ if io::stdout().is_terminal() => return Err(OutputError::Terminal.into()),
        _ => write(&manifest, &verifier, &options, &progress, Output::stdout()),
    };
    drop(shown);
    let written = written.map_err(|error| match error {
        WriteError::Manifest(error) => Box::new(arguments.manifest.refused(error)),
        error => Failure::from(error),
    })?;
    report(&written, whiteouts);
    Ok(Outcome::Success)
}

/// Headers go through it; content is larger and does not.
const BUFFER_SIZE: usize = 64 << 10;

fn report(written: &Written, whiteouts: Option<Convention>) {
    let sockets = &written.sockets_left_out;
    if let Some(first) = sockets.first() {
        let count = sockets.len();
        log::warn!(
            "left out {count} sockets, for which an archive has no place; the first is {first:?}"
        );
    }
    if whiteouts.is_none() && written.whiteouts_left_out != 0 {
        log::info!("left out {} whiteouts", written.whiteouts_left_out);
    }
    log::info!(
        "{} members, {} bytes of content",
        written.members,
        written.content
    );
}
