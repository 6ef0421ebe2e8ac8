//! The archive that a subcommand reads.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::archive::{self, Found};
use crate::attributes::Attribute;
use crate::build::{Convention, Options};
use crate::check;
use crate::digest::Algorithm;
use crate::escape::Escaped;
use crate::manifest::Form;
use crate::tar::{Owners, Stream, TarError};

use super::Failure;

/// An archive that was opened.
pub(super) struct ArchiveFile {
    path: PathBuf,
    stream: Stream<'static>,
}

/// Why there is nothing of an archive.
#[derive(Debug, Error)]
pub(super) enum ArchiveError {
    /// It cannot be read at all.
    #[error("cannot read {}: {error}", shown(.path))]
    Open {
        path: PathBuf,
        #[source]
        error: io::Error,
    },
    /// Something in it is wrong.
    #[error("{}: {error}", shown(.path))]
    Tar {
        path: PathBuf,
        #[source]
        error: TarError,
    },
}

fn shown(path: &Path) -> String {
    match path.as_os_str().as_bytes() {
        b"-" => "standard input".to_owned(),
        bytes => Escaped(bytes).to_string(),
    }
}

/// Opens an archive; "-" is standard input.
pub(super) fn open(path: &Path) -> Result<ArchiveFile, ArchiveError> {
    let from: io::Result<Box<dyn Read>> = match path.as_os_str().as_bytes() {
        b"-" => Ok(Box::new(io::stdin().lock())),
        _ => File::open(path).map(|file| Box::new(file) as Box<dyn Read>),
    };
    match from.and_then(Stream::open) {
        Ok(stream) => Ok(ArchiveFile {
            path: path.to_owned(),
            stream,
        }),
        Err(error) => Err(ArchiveError::Open {
            path: path.to_owned(),
            error,
        }),
    }
}

/// The manifest of an archive that is to be compared, with digests by these
/// algorithms, unless content does not count.
pub(super) fn manifest(
    path: &Path,
    mut algorithms: Vec<Algorithm>,
    whiteouts: Option<Convention>,
    options: &check::Options,
) -> Result<Vec<u8>, Failure> {
    let mut chunk_threshold = Options::default().chunk_threshold;
    if !options.attributes.has(Attribute::Content) {
        algorithms.clear();
        chunk_threshold = u64::MAX;
    }
    let found = open(path)?.read(&Options {
        algorithms,
        chunk_threshold,
        whiteouts,
        progress: Arc::clone(&options.progress),
        ..Options::default()
    })?;
    Ok(found.manifest.encode(Form::Full)?)
}

impl ArchiveFile {
    /// The manifest of what it holds.
    pub fn read(self, options: &Options) -> Result<Found, ArchiveError> {
        let Self { path, stream } = self;
        // Those by whom unpacking it here would go.
        let [passwd, group] =
            ["/etc/passwd", "/etc/group"].map(|path| fs::read(path).unwrap_or_default());
        let owners = Owners::parse(&passwd, &group);
        archive::read(stream, owners, options).map_err(|error| ArchiveError::Tar { path, error })
    }
}
