//! `continuity audit`.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::audit::{self, AuditError, Finding, Options, Summary, Wrong};
use crate::check::{JsonFindings, JsonForm};
use crate::escape::{Escaped, serialize_name};
use crate::fuse::FILE_SYSTEM;
use crate::progress::Progress;
use crate::sys::mount::{self, Seen};
use crate::sys::xattr;

use super::findings::{Form, FormArguments, flush_for_people};
use super::jobs::JobsArguments;
use super::logfmt;
use super::manifest_output::OutputError;
use super::mounts::ask;
use super::output::{self, Output};
use super::progress::{ProgressArguments, Shown};
use super::{Failure, Outcome, report};

/// Read everything through a mount, and tell which files it refuses
///
/// Reads all regular files below MOUNTPOINT, the targets of all symlinks and the
/// attributes of everything, and prints which paths are refused, and why. The mount
/// itself says why: by the attribute user.continuity.refusal, if it was mounted with -o
/// introspect, or on its socket, to root.
///
/// What this proves: whoever reads these files now gets bytes that were hashed and
/// match the manifest. Files are read past the kernel's page cache (O_DIRECT), so each
/// chunk comes from the backing and is hashed for this audit. With --cached they are
/// read as everybody reads them: pages that the kernel had are believed, which were
/// checked when they came in, and may no longer be what the backing has. Of a mount
/// with cache_dir=, files that have a private copy are read from that. What was
/// mounted over the mount, or in it, is left out.
///
/// Exit status: 0 if all could be read, 1 if something was refused, 2 if it cannot be
/// told: this is no continuity mount, or something in it could not be looked at.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Read through the kernel's page cache, as others do
    #[arg(long)]
    cached: bool,

    #[command(flatten)]
    jobs: JobsArguments,

    #[command(flatten)]
    form: FormArguments,

    #[command(flatten)]
    progress: ProgressArguments,

    /// A continuity mount, or a directory in one
    mountpoint: PathBuf,
}

/// `quiet`: only the exit status tells.
pub(super) fn run(arguments: &Arguments, quiet: bool) -> Result<Outcome, Failure> {
    let place = &arguments.mountpoint;
    let cannot = |cause| AuditError::Root {
        root: place.clone(),
        cause,
    };
    let root = place.canonicalize().map_err(cannot)?;
    let device = root.metadata().map_err(cannot)?.dev();
    let seen = mount::seen(FILE_SYSTEM)?;
    let ours = || seen.iter().filter(|seen| seen.device_number == device);
    let below = ours().filter(|seen| root.starts_with(&seen.path));
    let nearest = below.max_by_key(|seen| seen.path.as_os_str().len());
    let Some(mount) = nearest.or_else(|| ours().next_back()) else {
        let place = Escaped(place.as_os_str().as_bytes());
        return Err(format!("{place:?} is no continuity mount").into());
    };
    let options = Options {
        cached: arguments.cached,
        jobs: arguments.jobs.count(),
        progress: Arc::default(),
    };
    expect(&root, &seen, &options.progress);
    let mut writer = Writer {
        root: &root,
        inner: root.strip_prefix(&mount.path).unwrap_or(Path::new("")),
        mount,
        sink: Sink::new(arguments.form.form(), quiet),
        shown: arguments.progress.show(quiet, &options.progress),
    };
    let audited = audit::audit(&root, &options, |finding| writer.tell(finding));
    let summary = audited.map_err(|error| match error {
        AuditError::Output(error) => Failure::from(OutputError::Stdout(error)),
        error => Failure::from(error),
    })?;
    writer.finish(&summary)
}

/// Says how much there is, where that is the whole of a mount.
fn expect(root: &Path, seen: &[Seen], progress: &Progress) {
    const ROOT: u64 = 1;
    let is_whole = root.metadata().is_ok_and(|root| root.ino() == ROOT)
        && seen.iter().any(|seen| seen.path == root);
    if is_whole && let Ok((files, bytes)) = mount::extent(root) {
        // All but the root.
        progress.begin(files.saturating_sub(1), bytes);
    }
}

/// Writes findings to standard output, and trouble to standard error where the form
/// has no place for it.
struct Writer<'a> {
    root: &'a Path,
    /// Where that is in the mount.
    inner: &'a Path,
    mount: &'a Seen,
    sink: Sink,
    shown: Shown,
}

enum Sink {
    /// Only the exit status tells.
    Nothing,
    Text(Output),
    Json(JsonFindings<Output>),
    Paths0(Output),
}

impl Sink {
    fn new(form: Form, quiet: bool) -> Self {
        let json = |form| Self::Json(JsonFindings::new(Output::stdout(), form));
        match form {
            _ if quiet => Self::Nothing,
            Form::Text => Self::Text(Output::stdout()),
            Form::Json => json(JsonForm::Array),
            Form::Ndjson => json(JsonForm::Lines),
            Form::Paths0 => Self::Paths0(Output::stdout()),
        }
    }
}

impl Writer<'_> {
    fn tell(&mut self, finding: &Finding) -> io::Result<()> {
        let told = Told {
            path: in_mount(&self.inner.join(&finding.path)),
            why: match finding.wrong {
                Wrong::Refused { .. } => self.why(finding),
                Wrong::Trouble(_) => String::new(),
            },
            finding,
        };
        let Self { sink, shown, .. } = self;
        let written = match (&mut *sink, &finding.wrong) {
            (Sink::Nothing, _) => Ok(()),
            (Sink::Json(json), _) => shown.beside_output(|| {
                json.write(&told)?;
                flush_for_people(json.get_mut())
            }),
            (Sink::Text(_) | Sink::Paths0(_), Wrong::Trouble(error)) => {
                shown.beside(|| report::line(&format!("{}: {error}", Escaped(&told.path))));
                Ok(())
            }
            (Sink::Text(out), Wrong::Refused { .. }) => shown.beside_output(|| {
                writeln!(out, "{}: {}", Escaped(&told.path), told.why)?;
                flush_for_people(out)
            }),
            (Sink::Paths0(out), Wrong::Refused { .. }) => shown.beside_output(|| {
                out.write_all(&told.path)?;
                out.write_all(b"\0")
            }),
        };
        if !output::is_still_read(written)? {
            self.sink = Sink::Nothing;
        }
        Ok(())
    }

    /// Why the mount has refused a file just now, in the words of its log.
    fn why(&self, finding: &Finding) -> String {
        let path = self.root.join(&finding.path);
        let by_attribute = xattr::value(&path, "user.continuity.refusal")
            .map(|value| String::from_utf8_lossy(&value).into_owned());
        by_attribute
            .or_else(|_| ask(self.mount, &format!("refusal {}", finding.ino)))
            .ok()
            .filter(|why| !why.is_empty())
            .unwrap_or_else(|| match finding.wrong {
                Wrong::Refused { offset } => format!("error=\"Input/output error\" off={offset}"),
                Wrong::Trouble(_) => String::new(),
            })
    }

    fn finish(mut self, summary: &Summary) -> Result<Outcome, Failure> {
        let sink = std::mem::replace(&mut self.sink, Sink::Nothing);
        let mut line = None;
        let written = match sink {
            Sink::Nothing => Ok(()),
            Sink::Json(json) => json
                .finish_with(&SummaryObject(summary))
                .and_then(Output::finish),
            Sink::Paths0(out) => out.finish(),
            Sink::Text(out) => {
                line = Some(format!(
                    "refused: {}, could not be looked at: {}, files: {}, bytes that match: {}",
                    summary.refused, summary.troubles, summary.files, summary.bytes
                ));
                out.finish()
            }
        };
        output::is_still_read(written).map_err(OutputError::Stdout)?;
        // The progress goes away first.
        drop(self);
        let is_well = summary.refused == 0 && summary.troubles == 0;
        if let (Some(line), false) = (line, is_well) {
            report::line(&line);
        }
        if summary.covered > 0 {
            log::warn!(
                "{} places were left out, because something else is mounted there",
                summary.covered
            );
        }
        Ok(Outcome::of(summary.refused, summary.troubles))
    }
}

/// A path as manifests have it.
fn in_mount(path: &Path) -> Vec<u8> {
    let mut bytes = b"/".to_vec();
    bytes.extend_from_slice(path.as_os_str().as_bytes());
    // Of the root itself, for joining nothing leaves a slash.
    if bytes.len() > 1 && bytes.ends_with(b"/") {
        bytes.pop();
    }
    bytes
}

/// A finding with all that is known of it.
struct Told<'a> {
    path: Vec<u8>,
    why: String,
    finding: &'a Finding,
}

impl Serialize for Told<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.finding.wrong {
            Wrong::Refused { .. } => {
                map.serialize_entry("finding", "refused")?;
                serialize_name(&mut map, "path", "path_hex", &self.path)?;
                for pair in logfmt::split(&self.why).0 {
                    let (key, value) = pair.to_json();
                    map.serialize_entry(&key, &value)?;
                }
            }
            Wrong::Trouble(error) => {
                map.serialize_entry("finding", "trouble")?;
                serialize_name(&mut map, "path", "path_hex", &self.path)?;
                map.serialize_entry("message", &error.to_string())?;
            }
        }
        map.end()
    }
}

struct SummaryObject<'a>(&'a Summary);

impl Serialize for SummaryObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Summary {
            paths,
            files,
            bytes,
            refused,
            troubles,
            covered,
        } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("finding", "summary")?;
        for (name, count) in [
            ("paths", paths),
            ("files", files),
            ("bytes", bytes),
            ("refused", refused),
            ("troubles", troubles),
            ("covered", covered),
        ] {
            map.serialize_entry(name, count)?;
        }
        map.end()
    }
}
