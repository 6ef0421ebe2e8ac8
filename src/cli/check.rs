//! `continuity check`.

use std::io::{self, Write};

use crate::rootfs::{self, Finding, JsonFindings, Options, RootfsError, Summary};

use super::manifest_file::ManifestFile;
use super::manifest_output::OutputError;
use super::output::{self, Output};
use super::{Failure, Outcome, report};

/// Tell what will not work in a manifest
///
/// With --rootfs, as the root of a container: mount targets that runtimes want
/// and are not there, symlinks that lead above the root, setuid programs, file
/// capabilities and devices that the mount takes away, whiteouts outside of
/// overlayfs, files that nothing can vouch for. Prints one warning a line. Only
/// the manifest is read. Exit status: 0 if there is nothing to tell, 1 if there
/// is, 2 if it cannot be told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Look at it as at the root of a container
    #[arg(long, required = true)]
    rootfs: bool,

    /// It is going to be mounted with -o suid
    #[arg(long)]
    suid: bool,

    /// It is going to be mounted with -o dev
    #[arg(long)]
    dev: bool,

    /// It is going to be a layer of overlayfs, with one on top that can be written
    /// to: whiteouts are in place, and runtimes make what is missing
    #[arg(long)]
    overlay: bool,

    /// Tell of owners and groups above N, such as 65535 for a user namespace with
    /// as many ids as most have
    #[arg(long, value_name = "N")]
    max_id: Option<u32>,

    /// Form of the warnings: text, or json (an array with an object each)
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Form::Text)]
    #[arg(hide_possible_values = true)]
    format: Form,

    #[command(flatten)]
    manifest: ManifestFile,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Text,
    Json,
}

/// Where the warnings go.
enum Sink {
    /// Only the exit status tells.
    Nothing,
    Text(Output),
    Json(JsonFindings<Output>),
}

pub(super) fn run(arguments: &Arguments, quiet: bool) -> Result<Outcome, Failure> {
    let manifest = arguments.manifest.load()?;
    let options = Options {
        suid: arguments.suid,
        dev: arguments.dev,
        overlay: arguments.overlay,
        max_id: arguments.max_id,
    };
    let mut sink = match arguments.format {
        _ if quiet => Sink::Nothing,
        Form::Text => Sink::Text(Output::stdout()),
        Form::Json => Sink::Json(JsonFindings::new(Output::stdout())),
    };
    let checked = rootfs::check(&manifest, &options, |finding| sink.tell(finding));
    let summary = checked.map_err(|error| match error {
        RootfsError::Manifest(cause) => Failure::from(arguments.manifest.refused(cause)),
        RootfsError::Output(error) => Failure::from(OutputError::Stdout(error)),
    })?;
    let is_text = matches!(sink, Sink::Text(_));
    sink.finish(&summary).map_err(OutputError::Stdout)?;
    if summary.warnings == 0 {
        return Ok(Outcome::Success);
    }
    if is_text {
        report::line(&format!(
            "warnings: {}, files: {}",
            summary.warnings, summary.inodes
        ));
    }
    Ok(Outcome::Different)
}

impl Sink {
    fn tell(&mut self, finding: &Finding) -> io::Result<()> {
        let told = match self {
            Self::Nothing => Ok(()),
            Self::Text(out) => writeln!(out, "{finding}"),
            Self::Json(json) => json.tell(finding),
        };
        if !output::is_still_read(told)? {
            *self = Self::Nothing;
        }
        Ok(())
    }

    fn finish(self, summary: &Summary) -> io::Result<()> {
        let finished = match self {
            Self::Nothing => Ok(()),
            Self::Text(out) => out.finish(),
            Self::Json(json) => json.finish(summary).and_then(Output::finish),
        };
        output::is_still_read(finished).map(drop)
    }
}
