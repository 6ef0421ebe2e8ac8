//! `continuity apply`.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::apply::{
    ApplyError, Devices, Event, Evidence, Mode, Options, Summary, Whiteouts, apply,
};
use crate::attributes::AttributeSet;
use crate::escape::Escaped;
use crate::progress::Progress;
use crate::source::Source;

use super::attributes::AttributeArguments;
use super::jobs::JobsArguments;
use super::manifest_file::ManifestFile;
use super::manifest_output::OutputError;
use super::progress::{ProgressArguments, Shown};
use super::source::{self, SourceSpec};
use super::{Failure, Outcome, report};

/// Bring a directory to what a manifest declares
///
/// Without --source, the content of all files must be in place already, and
/// owners, modes, times, attributes, links and everything that is no regular
/// file are brought to what is declared. With it, files are made anew where
/// their content is another. A file appears whole and verified, or not at all;
/// if it ends early, the next run goes on.
///
/// An entry that cannot be had is told, and the others are done all the same;
/// only a full or read-only filesystem ends it. Exit status: 0 if all is as
/// declared, 2 if not.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[arg(long, value_name = "SOURCE", value_parser = source::parser(), help = source::FORMS)]
    source: Option<SourceSpec>,

    #[command(flatten)]
    how: HowArguments,

    /// The directory, or a symlink to it; with --source it is made if it is
    /// missing
    root: PathBuf,

    #[command(flatten)]
    manifest: ManifestFile,
}

/// How to apply, for all subcommands that do.
#[derive(Debug, clap::Args)]
pub(super) struct HowArguments {
    /// How files get their content from the source: auto, reflink, copy,
    /// hardlink or move
    ///
    /// "auto" shares blocks where the filesystem can and copies where it
    /// cannot; "reflink" does nothing else. "hardlink" links the source's
    /// files, which must have the declared attributes. "move" takes them away
    /// from the source, and copies them first where the target is on another
    /// filesystem.
    #[arg(long, value_enum, value_name = "MODE", default_value_t = ModeWord::Auto)]
    #[arg(hide_possible_values = true)]
    mode: ModeWord,

    /// Remove what the manifest does not list, and directories that are in the
    /// way of other files
    #[arg(long)]
    delete: bool,

    /// Only print what would be done, one change a line
    #[arg(long)]
    dry_run: bool,

    /// What becomes of devices: they are made (create), left out (skip), or
    /// must be there (check)
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = DevicesWord::Create)]
    #[arg(hide_possible_values = true)]
    devices: DevicesWord,

    /// Make sockets too, which are left out otherwise
    #[arg(long)]
    pub sockets: bool,

    /// What becomes of whiteouts and opaque directories: they are made as
    /// overlayfs wants them (overlay), or left out (none)
    #[arg(long, value_enum, value_name = "FORM", default_value_t = WhiteoutsWord::Overlay)]
    #[arg(hide_possible_values = true)]
    whiteouts: WhiteoutsWord,

    /// Do not hash content: believe the source, and sizes and times of files
    /// that are there
    #[arg(long)]
    pub disable_digest: bool,

    /// Bring everything to the disk before saying that it is there
    #[arg(long)]
    fsync: bool,

    /// Go on into other filesystems that are mounted in the directory
    #[arg(long)]
    cross_mounts: bool,

    #[command(flatten)]
    pub jobs: JobsArguments,

    #[command(flatten)]
    attributes: AttributeArguments,

    #[command(flatten)]
    pub progress: ProgressArguments,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ModeWord {
    Auto,
    Reflink,
    Copy,
    Hardlink,
    Move,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum DevicesWord {
    Create,
    Skip,
    Check,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum WhiteoutsWord {
    Overlay,
    None,
}

/// What is brought to what.
pub(super) struct Work<'a> {
    pub root: &'a Path,
    pub manifest: &'a [u8],
    pub source: Option<&'a dyn Source>,
    pub evidence: Evidence,
}

/// The source would be removed with what the manifest does not list.
#[derive(Debug, Error)]
#[error(
    "{:?} lies inside of {:?}, and --delete would remove it",
    Escaped(.source_path.as_os_str().as_bytes()),
    Escaped(.root.as_os_str().as_bytes())
)]
pub struct SourceInside {
    source_path: PathBuf,
    root: PathBuf,
}

pub(super) fn run(arguments: &Arguments, quiet: bool) -> Result<Outcome, Failure> {
    let manifest = arguments.manifest.load()?;
    if let Some(source) = &arguments.source {
        arguments.how.spare(source.path(), &arguments.root)?;
    }
    let source = arguments
        .source
        .as_ref()
        .map(SourceSpec::open)
        .transpose()?;
    let progress = Arc::default();
    let shown = arguments.how.progress.show(quiet, &progress);
    arguments
        .how
        .apply(
            Work {
                root: &arguments.root,
                manifest: &manifest,
                source: source.as_deref(),
                evidence: Evidence::Digests,
            },
            progress,
            shown,
            quiet,
        )
        .map_err(|error| match error {
            ApplyError::Manifest(error) => Box::new(arguments.manifest.refused(error)),
            error => Failure::from(error),
        })
}

impl HowArguments {
    fn options(&self, progress: Arc<Progress>) -> Options {
        Options {
            mode: match self.mode {
                ModeWord::Auto => Mode::Auto,
                ModeWord::Reflink => Mode::Reflink,
                ModeWord::Copy => Mode::Copy,
                ModeWord::Hardlink => Mode::Hardlink,
                ModeWord::Move => Mode::Move,
            },
            delete: self.delete,
            dry_run: self.dry_run,
            attributes: self.attributes.set(AttributeSet::all(), &[]),
            devices: match self.devices {
                DevicesWord::Create => Devices::Create,
                DevicesWord::Skip => Devices::Skip,
                DevicesWord::Check => Devices::Check,
            },
            sockets: self.sockets,
            whiteouts: match self.whiteouts {
                WhiteoutsWord::Overlay => Whiteouts::Overlay,
                WhiteoutsWord::None => Whiteouts::None,
            },
            digests: !self.disable_digest,
            fsync: self.fsync,
            cross_mounts: self.cross_mounts,
            jobs: self.jobs.count(),
            progress,
            ..Options::default()
        }
    }

    /// Whether the source's files get other names, or lose theirs.
    pub const fn links(&self) -> bool {
        matches!(self.mode, ModeWord::Hardlink | ModeWord::Move)
    }

    /// Refuses to remove the source.
    ///
    /// # Errors
    /// When it lies inside of what is brought to the manifest, with `--delete`.
    pub fn spare(&self, source: &Path, root: &Path) -> Result<(), SourceInside> {
        let (Ok(real_source), Ok(real_root)) = (source.canonicalize(), root.canonicalize()) else {
            // What is not there is told by whoever opens it.
            return Ok(());
        };
        if self.delete && real_source != real_root && real_source.starts_with(real_root) {
            return Err(SourceInside {
                source_path: source.to_owned(),
                root: root.to_owned(),
            });
        }
        Ok(())
    }

    /// Applies a manifest and prints what there is to say.
    pub fn apply(
        &self,
        work: Work<'_>,
        progress: Arc<Progress>,
        shown: Shown,
        quiet: bool,
    ) -> Result<Outcome, ApplyError> {
        let is_unverified = self.disable_digest && matches!(work.evidence, Evidence::Digests);
        if is_unverified && !quiet {
            shown.beside(|| report::line("warning: content is not hashed, and so not verified"));
        }
        let mut out = io::LineWriter::new(io::stdout());
        let mut unwritten = None;
        let options = Options {
            evidence: work.evidence,
            ..self.options(progress)
        };
        let (root, manifest, source) = (work.root, work.manifest, work.source);
        let summary = apply(root, manifest, source, &options, |event| match event {
            Event::Change(change) if options.dry_run => {
                if let Err(error) = shown.beside_output(|| writeln!(out, "{change}")) {
                    unwritten.get_or_insert(error);
                }
            }
            Event::Change(change) => log::info!("{change}"),
            Event::Failure(failure) => shown.beside(|| report::line(&failure.to_string())),
        })?;
        drop(shown);
        if !quiet {
            summarize(&summary, options.dry_run);
        }
        // That nobody reads any more is no trouble.
        let unwritten = unwritten.filter(|error| error.kind() != io::ErrorKind::BrokenPipe);
        if let Some(error) = unwritten {
            report::error("continuity", &OutputError::Stdout(error));
            return Ok(Outcome::Trouble);
        }
        Ok(if summary.failures == 0 && !summary.stopped {
            Outcome::Success
        } else {
            Outcome::Trouble
        })
    }
}

fn summarize(summary: &Summary, is_dry: bool) {
    let Summary {
        created,
        replaced,
        linked,
        changed,
        removed,
        leftovers,
        left_out,
        failures,
        ..
    } = *summary;
    if left_out != 0 {
        log::warn!("left out {left_out} devices, sockets or whiteouts");
    }
    if leftovers != 0 {
        log::info!("removed {leftovers} left-overs of an earlier run");
    }
    if summary.owners_refused != 0 {
        report::line(
            "owners can only be set by root; --ignore-attr=uid,gid leaves them as they are",
        );
    }
    let counts = format!(
        "created: {created}, replaced: {replaced}, linked: {linked}, changed: {changed}, \
         removed: {removed}, failed: {failures}"
    );
    match (summary.stopped, failures) {
        (true, _) => report::line(&format!("given up; {counts}")),
        (false, 0) if !is_dry => log::info!("{counts}"),
        _ => report::line(&counts),
    }
}
