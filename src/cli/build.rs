//! `continuity build`.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;

use crate::build::{Options, build};
use crate::digest::Algorithm;
use crate::manifest::Form;

use super::manifest_output::{write_file, write_stdout};
use super::progress::ProgressArguments;
use super::{Failure, Outcome};

/// Make a manifest of a directory
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Write the manifest to this file, whole or not at all [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write exactly what the Go tool writes, without times, chunk tables and
    /// the root's own metadata
    #[arg(long)]
    compat: bool,
    /// Take sockets too, which are left out otherwise
    #[arg(long, conflicts_with = "compat")]
    sockets: bool,
    /// Size of the chunks that are hashed one by one
    #[arg(long, value_name = "BYTES", default_value_t = Options::default().chunk_size)]
    chunk_size: NonZeroU64,
    /// Hash the chunks of files that are at least this large
    #[arg(long, value_name = "BYTES", default_value_t = Options::default().chunk_threshold)]
    chunk_threshold: u64,
    /// What chunks are hashed with: blake3, sha256, sha384 or sha512
    #[arg(long, value_name = "ALGORITHM", value_parser = chunk_algorithm)]
    #[arg(default_value_t = Options::default().chunk_algorithm)]
    chunk_digest: Algorithm,
    /// How many threads to use; 0 for one on each processor
    #[arg(short, long, value_name = "N", default_value_t = 0)]
    jobs: usize,
    #[command(flatten)]
    progress: ProgressArguments,
    /// Form of the manifest: there is one only
    #[arg(long, value_parser = ["pb"], default_value = "pb", hide = true)]
    format: String,
    /// The directory, or a symlink to it
    #[arg(value_name = "ROOT")]
    root: PathBuf,
}

pub(super) fn run(arguments: &Arguments, quiet: bool) -> Result<Outcome, Failure> {
    let form = if arguments.compat {
        Form::Compat
    } else {
        Form::Full
    };
    let options = Options {
        form,
        sockets: arguments.sockets,
        chunk_threshold: arguments.chunk_threshold,
        chunk_size: arguments.chunk_size,
        chunk_algorithm: arguments.chunk_digest,
        jobs: arguments.jobs,
        progress: Arc::default(),
    };
    let shown = arguments.progress.show(quiet, &options.progress);
    let built = build(&arguments.root, &options)?;
    drop(shown);
    let bytes = built.manifest.encode(form)?;
    match &arguments.output {
        Some(path) => write_file(path, &bytes)?,
        None => write_stdout(&bytes)?,
    }
    if built.sockets_skipped != 0 {
        log::warn!("left out {} sockets", built.sockets_skipped);
    }
    log::info!(
        "{} resources, {} bytes of content, manifest of {} bytes",
        built.manifest.resources.len(),
        built.content,
        bytes.len()
    );
    Ok(Outcome::Success)
}

fn chunk_algorithm(name: &str) -> Result<Algorithm, String> {
    Algorithm::from_name(name).ok_or_else(|| "not an algorithm that is known".to_owned())
}
