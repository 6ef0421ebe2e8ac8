//! `continuity build`.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::build::{Convention, LeftOut, Options, Reuse, Times, build};
use crate::digest::Algorithm;
use crate::manifest::{Form, Limits, Timestamp, read_text};

use super::archive_file;
use super::jobs::JobsArguments;
use super::manifest_file::ManifestFile;
use super::manifest_output::{Contents, OutputError, write_file, write_stdout};
use super::progress::ProgressArguments;
use super::selection::SelectionArguments;
use super::whiteouts::Whiteouts;
use super::{Failure, Outcome};

/// Make a manifest of a directory, or of a tar archive
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Write the manifest to this file, whole or not at all; "-" is standard
    /// output [default: -]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write exactly what the Go tool writes, without times, chunk tables and
    /// the root's own metadata
    #[arg(long)]
    compat: bool,

    #[command(flatten)]
    selection: SelectionArguments,

    /// Say nothing of times
    #[arg(long)]
    no_times: bool,
    /// Say of later times that they are this one, in seconds since 1970
    /// [default: the variable SOURCE_DATE_EPOCH, if it is set]
    #[arg(
        long,
        value_name = "EPOCH",
        allow_negative_numbers = true,
        conflicts_with = "no_times"
    )]
    clamp_mtime: Option<i64>,
    /// Say when the inodes of files changed too, which --reuse needs
    #[arg(long, conflicts_with_all = ["compat", "no_times"])]
    ctimes: bool,
    /// Take digests from this older manifest, which was made with --ctimes, for
    /// files whose path, size and times of change are the same; they are not read
    #[arg(long, value_name = "MANIFEST")]
    reuse: Option<PathBuf>,
    /// How the tree says that files of lower layers are gone: "overlay" has
    /// devices 0:0 and opaque attributes, "aufs" (and OCI) has .wh. files, "none"
    /// says nothing [default: aufs of an archive, none of a directory]
    #[arg(long, value_name = "CONVENTION", value_parser = Whiteouts::parse)]
    whiteouts: Option<Whiteouts>,

    /// Hash files with this: sha256, sha384, sha512 or blake3; may be repeated,
    /// and all are made in one pass. The Go tool checks sha256 alone
    #[arg(long, value_name = "ALGORITHM", value_parser = algorithm)]
    #[arg(default_values_t = Options::default().algorithms, conflicts_with = "compat")]
    digest: Vec<Algorithm>,
    /// Size of the chunks that are hashed one by one
    #[arg(long, value_name = "BYTES", default_value_t = Options::default().chunk_size)]
    chunk_size: NonZeroU64,
    /// Hash the chunks of files that are at least this large
    #[arg(long, value_name = "BYTES", default_value_t = Options::default().chunk_threshold)]
    chunk_threshold: u64,
    /// What chunks are hashed with: blake3, sha256, sha384 or sha512
    #[arg(long, value_name = "ALGORITHM", value_parser = algorithm)]
    #[arg(default_value_t = Options::default().chunk_algorithm)]
    chunk_digest: Algorithm,
    #[command(flatten)]
    jobs: JobsArguments,
    #[command(flatten)]
    progress: ProgressArguments,
    /// Form of the manifest: there is one only
    #[arg(long, value_parser = ["pb"], default_value = "pb", hide = true)]
    format: String,
    /// Make the manifest of the text that "dump" wrote instead; "-" is standard
    /// input
    #[arg(long, value_name = "FILE", conflicts_with = "from_tar")]
    from_dump: Option<PathBuf>,
    /// Take a tar archive ("-" is standard input), plain or packed by gzip, zstd,
    /// xz or bzip2, without unpacking it: what unpacking would leave. It is taken whole
    #[arg(long, value_name = "FILE")]
    #[arg(conflicts_with_all = ["root", "ignore", "ignore_from", "one_file_system"])]
    #[arg(conflicts_with_all = ["exclude_caches", "strip_appledouble", "sockets"])]
    #[arg(conflicts_with_all = ["ctimes", "reuse"])]
    from_tar: Option<PathBuf>,
    /// The directory, or a symlink to it
    #[arg(
        value_name = "ROOT",
        required_unless_present_any = ["from_dump", "from_tar"],
        conflicts_with = "from_dump"
    )]
    root: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, quiet: bool) -> Result<Outcome, Failure> {
    if let Some(path) = &arguments.from_dump {
        let manifest = from_dump(path)?;
        write(arguments, &|out| out.write_all(&manifest))?;
    }
    if arguments.from_tar.is_some() || arguments.root.is_some() {
        build_or_read(arguments, quiet)?;
    }
    Ok(Outcome::Success)
}

fn write(arguments: &Arguments, manifest: &Contents<'_>) -> Result<(), OutputError> {
    match &arguments.output {
        Some(path) if path.as_os_str() != "-" => write_file(path, manifest),
        _ => write_stdout(manifest),
    }
}

fn from_dump(path: &Path) -> Result<Vec<u8>, Failure> {
    let file = ManifestFile::of_nobody(path);
    let text = file.load()?;
    Ok(read_text(&text).map_err(|error| file.refused(error))?)
}

const fn form(arguments: &Arguments) -> Form {
    if arguments.compat {
        Form::Compat
    } else {
        Form::Full
    }
}

fn build_or_read(arguments: &Arguments, quiet: bool) -> Result<(), Failure> {
    let mut algorithms = arguments.digest.clone();
    algorithms.sort_unstable();
    algorithms.dedup();
    let options = Options {
        form: form(arguments),
        content: true,
        selection: arguments.selection.read()?,
        times: times(arguments)?,
        ctimes_before: arguments.ctimes.then(ctimes_before).flatten(),
        reuse: arguments.reuse.as_deref().map(reuse).transpose()?,
        xattrs: arguments.selection.xattrs(),
        whiteouts: whiteouts(arguments),
        algorithms,
        chunk_threshold: arguments.chunk_threshold,
        chunk_size: arguments.chunk_size,
        chunk_algorithm: arguments.chunk_digest,
        jobs: arguments.jobs.count(),
        progress: Arc::default(),
    };
    let shown = arguments.progress.show(quiet, &options.progress);
    match (&arguments.from_tar, &arguments.root) {
        (Some(path), _) => {
            let found = archive_file::open(path)?.read(&options)?;
            drop(shown);
            let bytes = found.manifest.encode(options.form)?;
            write(arguments, &|out| out.write_all(&bytes))?;
            report(
                &found.left_out,
                found.manifest.resources.len(),
                found.content,
            );
        }
        (None, Some(root)) => {
            let built = build(root, &options);
            drop(shown);
            let built = built?;
            if let Some(reuse) = &options.reuse {
                log::info!("took the digests of {} files as they were", reuse.used());
            }
            write(arguments, &|mut out| built.write(&mut out))?;
            report(&built.left_out, built.count(), built.content);
            // The program ends: to give back each name by itself takes time for nothing.
            std::mem::forget(built);
        }
        (None, None) => {}
    }
    Ok(())
}

fn report(left_out: &LeftOut, resources: usize, content: u64) {
    if left_out.sockets != 0 {
        log::warn!("left out {} sockets", left_out.sockets);
    }
    if let Some(path) = &left_out.appledouble_taken {
        log::warn!(
            "took AppleDouble files, the first is {path:?}; --strip-appledouble leaves them out"
        );
    }
    for (count, what) in [
        (left_out.ignored, "ignored names"),
        (left_out.devices, "devices"),
        (left_out.appledouble, "AppleDouble files"),
        (left_out.caches, "contents of cache directories"),
        (left_out.filesystems, "contents of other filesystems"),
    ] {
        if count != 0 {
            log::info!("left out {count} {what}");
        }
    }
    log::info!("{resources} resources, {content} bytes of content");
}

/// The name under which the makers of reproducible builds agreed to pass a time
/// (<https://reproducible-builds.org/specs/source-date-epoch/>).
const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";

fn times(arguments: &Arguments) -> Result<Times, Failure> {
    if arguments.no_times {
        return Ok(Times::Dropped);
    }
    let latest = match (arguments.clamp_mtime, std::env::var_os(SOURCE_DATE_EPOCH)) {
        (Some(seconds), _) => seconds,
        (None, Some(text)) => text
            .to_str()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| format!("{SOURCE_DATE_EPOCH} is no number of seconds"))?,
        (None, None) => return Ok(Times::Kept),
    };
    Ok(Timestamp::new(latest, 0).map_or(Times::Kept, Times::Clamped))
}

/// Files that changed so long before the beginning, in seconds, cannot change
/// again without another time: no filesystem counts in longer steps than FAT.
const STEP: u64 = 2;

fn ctimes_before() -> Option<Timestamp> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let seconds = now.as_secs().checked_sub(STEP)?;
    Timestamp::new(i64::try_from(seconds).ok()?, now.subsec_nanos())
}

fn reuse(path: &Path) -> Result<Arc<Reuse>, Failure> {
    let file = ManifestFile::of_nobody(path);
    let manifest = file.load()?;
    let reuse = Reuse::read(&manifest, &Limits::default()).map_err(|error| file.refused(error))?;
    Ok(Arc::new(reuse))
}

fn whiteouts(arguments: &Arguments) -> Option<Convention> {
    match (arguments.whiteouts, &arguments.from_tar) {
        (Some(Whiteouts(convention)), _) => convention,
        (None, Some(_)) => Some(Convention::Aufs),
        (None, None) => None,
    }
}

fn algorithm(name: &str) -> Result<Algorithm, String> {
    Algorithm::from_name(name).ok_or_else(|| "not an algorithm that is known".to_owned())
}
