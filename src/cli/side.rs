//! One side of `continuity diff`: a manifest, a directory or an archive.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::build::{self, Convention};
use crate::check::{self, Options, Side};
use crate::digest::Algorithm;
use crate::manifest::ManifestError;
use crate::tar::Stream;

use super::manifest_file::{self, Refused};
use super::trust::TrustArguments;
use super::{Failure, archive_file};

/// Where a side is, and what it is where that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SideSpec {
    kind: Option<Kind>,
    path: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Manifest,
    Directory,
    Tar,
}

/// Takes any string: what begins with no known word and a colon is a path.
pub(super) fn parser() -> impl TypedValueParser<Value = SideSpec> {
    OsStringValueParser::new().map(|text| SideSpec::parse(&text))
}

impl SideSpec {
    fn parse(text: &OsStr) -> Self {
        for (prefix, kind) in [
            ("dir:", Kind::Directory),
            ("manifest:", Kind::Manifest),
            ("tar:", Kind::Tar),
        ] {
            if let Some(path) = text.as_bytes().strip_prefix(prefix.as_bytes()) {
                let path = PathBuf::from(OsStr::from_bytes(path));
                let kind = Some(kind);
                return Self { kind, path };
            }
        }
        Self {
            kind: None,
            path: PathBuf::from(text),
        }
    }

    /// Whether it is standard input.
    fn is_stdin(&self) -> bool {
        self.path.as_os_str() == "-" && self.kind != Some(Kind::Directory)
    }

    /// Finds out what it is, and reads it if it is a manifest.
    fn load(&self, trust: &TrustArguments) -> Result<Loaded<'_>, Failure> {
        let path = &*self.path;
        Ok(match self.kind.unwrap_or_else(|| self.look()) {
            Kind::Directory => Loaded::Directory(path),
            Kind::Manifest => {
                Loaded::Manifest(path, manifest_file::load(path, trust)?.into_bytes())
            }
            Kind::Tar => Loaded::Archive(path),
        })
    }

    /// What it is. What cannot be looked at is told when it is opened.
    fn look(&self) -> Kind {
        let is_directory = || fs::metadata(&self.path).is_ok_and(|found| found.is_dir());
        if self.is_stdin() {
            Kind::Manifest
        } else if is_directory() {
            Kind::Directory
        } else if is_archive(&self.path).unwrap_or(false) {
            Kind::Tar
        } else {
            Kind::Manifest
        }
    }
}

/// Where a header of POSIX's or GNU tar's has this word.
const TAR_MAGIC: (usize, &[u8]) = (257, b"ustar");

/// Whether a regular file begins as a packed file does, or an archive of this
/// century. A manifest begins as neither.
fn is_archive(path: &Path) -> io::Result<bool> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(false);
    }
    let mut start = Vec::new();
    let (offset, magic) = TAR_MAGIC;
    let length = offset + magic.len();
    file.take(length as u64).read_to_end(&mut start)?;
    // An archive with nothing in it is its end mark.
    let is_empty = start.len() == length && start.iter().all(|byte| *byte == 0);
    Ok(is_empty || Stream::is_packed(&start) || start.get(offset..) == Some(magic))
}

/// Reads what is to be compared; archives last, for they are hashed as the other
/// side is. What is demanded of a manifest is demanded of each side that is one.
pub(super) fn load<'a>(
    sides: [&'a SideSpec; 2],
    trust: &TrustArguments,
    options: &Options,
) -> Result<[Loaded<'a>; 2], Failure> {
    if sides.iter().all(|side| side.is_stdin()) {
        return Err("standard input can be one side only".into());
    }
    let [first, second] = sides;
    let (first, second) = (first.load(trust)?, second.load(trust)?);
    let is_manifest = |side: &Loaded<'_>| matches!(side, Loaded::Manifest(..));
    if !(trust.is_empty() || is_manifest(&first) || is_manifest(&second)) {
        return Err("a digest or a signature is asked for, and neither side is a manifest".into());
    }
    let algorithms = (first.algorithms(options), second.algorithms(options));
    Ok([
        first.read(algorithms.1, options)?,
        second.read(algorithms.0, options)?,
    ])
}

/// A side that is there.
#[derive(Debug)]
pub(super) enum Loaded<'a> {
    Manifest(&'a Path, Vec<u8>),
    Directory(&'a Path),
    /// Not read yet.
    Archive(&'a Path),
}

impl<'a> Loaded<'a> {
    /// What something must be hashed with to be compared with it.
    fn algorithms(&self, options: &Options) -> Vec<Algorithm> {
        let found = match self {
            Self::Manifest(_, bytes) => check::algorithms(bytes, &options.limits).ok(),
            Self::Directory(_) | Self::Archive(_) => None,
        };
        // A manifest that is refused is told later; one without content does not
        // matter.
        found.unwrap_or_else(|| build::Options::default().algorithms)
    }

    /// Reads an archive.
    fn read(self, algorithms: Vec<Algorithm>, options: &Options) -> Result<Self, Failure> {
        Ok(match self {
            Self::Archive(path) => {
                // Whiteouts are those of container images.
                let whiteouts = Some(Convention::Aufs);
                let bytes = archive_file::manifest(path, algorithms, whiteouts, options)?;
                Self::Manifest(path, bytes)
            }
            ready => ready,
        })
    }

    pub fn side(&self) -> Side<'_> {
        match self {
            Self::Manifest(_, bytes) => Side::Manifest(bytes),
            Self::Directory(path) | Self::Archive(path) => Side::Directory(path),
        }
    }

    /// Says which manifest an error is about.
    pub fn refused(&self, cause: ManifestError) -> Refused<ManifestError> {
        let (Self::Manifest(path, _) | Self::Directory(path) | Self::Archive(path)) = self;
        manifest_file::refused(path, cause)
    }
}
