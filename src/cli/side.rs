//! One side of `continuity diff`: a manifest or a directory.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::check::Side;
use crate::manifest::ManifestError;

use super::Failure;
use super::manifest_file::{self, Refused};

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
}

/// Takes any string: what begins with no known word and a colon is a path.
pub(super) fn parser() -> impl TypedValueParser<Value = SideSpec> {
    OsStringValueParser::new().map(|text| SideSpec::parse(&text))
}

impl SideSpec {
    fn parse(text: &OsStr) -> Self {
        for (prefix, kind) in [("dir:", Kind::Directory), ("manifest:", Kind::Manifest)] {
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
    pub fn is_stdin(&self) -> bool {
        self.path.as_os_str() == "-" && self.kind != Some(Kind::Directory)
    }

    /// Finds out what it is, and reads it unless it is a directory.
    pub fn load(&self) -> Result<Loaded<'_>, Failure> {
        let is_directory = match self.kind {
            Some(kind) => kind == Kind::Directory,
            None => !self.is_stdin() && fs::metadata(&self.path).is_ok_and(|found| found.is_dir()),
        };
        if is_directory {
            return Ok(Loaded::Directory(&self.path));
        }
        let bytes = manifest_file::load(&self.path, None)?;
        Ok(Loaded::Manifest(&self.path, bytes))
    }
}

/// A side that is ready to be compared.
#[derive(Debug)]
pub(super) enum Loaded<'a> {
    Manifest(&'a Path, Vec<u8>),
    Directory(&'a Path),
}

impl Loaded<'_> {
    pub fn side(&self) -> Side<'_> {
        match self {
            Self::Manifest(_, bytes) => Side::Manifest(bytes),
            Self::Directory(path) => Side::Directory(path),
        }
    }

    /// Says which manifest an error is about.
    pub fn refused(&self, cause: ManifestError) -> Refused<ManifestError> {
        let (Self::Manifest(path, _) | Self::Directory(path)) = self;
        manifest_file::refused(path, cause)
    }
}
