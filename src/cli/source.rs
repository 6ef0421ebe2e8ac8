//! Where content comes from, as the command line says it.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser};
use thiserror::Error;

use crate::escape::Escaped;
use crate::source::{BlobSource, DirectorySource, Source, TarSource, TarSourceError};
use crate::sys::RootDir;

/// What to say of the forms in a help text.
pub const FORMS: &str = "Where content comes from: a directory with the files under their paths \
(DIR or dir:DIR), a tar archive of them (tar:FILE; if it is packed it is unpacked to a file without a name in the directory for temporary files), or a directory with a blob for each content, blobs/ALGORITHM/HEX (oci:DIR)";

/// A place that has content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSpec {
    /// `dir:PATH`, or only `PATH`: a tree.
    Directory(PathBuf),
    /// `tar:FILE`: an archive.
    Tar(PathBuf),
    /// `oci:DIR`: blobs by their digests.
    Blobs(PathBuf),
}

/// Why an argument names no source.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SpecError {
    /// Nothing stands behind the colon.
    #[error("nothing stands behind the colon")]
    Empty,
    /// The word in front of the colon is no kind of source.
    #[error(
        "{0:?} is no kind of source; known are dir:, tar: and oci: (a directory of that name: ./{0}:…)"
    )]
    Kind(String),
}

/// Why a source cannot be used.
#[derive(Debug, Error)]
#[error("cannot open {what} {:?}: {error}", Escaped(.path.as_os_str().as_bytes()))]
pub struct OpenError {
    what: &'static str,
    path: PathBuf,
    #[source]
    error: io::Error,
}

/// For clap.
pub fn parser() -> impl TypedValueParser<Value = SourceSpec> {
    OsStringValueParser::new().try_map(SourceSpec::parse)
}

impl SourceSpec {
    /// Reads `KIND:PATH`, or only `PATH`.
    ///
    /// # Errors
    /// See [`SpecError`].
    pub fn parse(text: OsString) -> Result<Self, SpecError> {
        let Some((kind, rest)) = split_kind(text.as_bytes()) else {
            return Ok(Self::Directory(text.into()));
        };
        let path = PathBuf::from(OsString::from_vec(rest.to_vec()));
        match kind {
            _ if rest.is_empty() => Err(SpecError::Empty),
            "dir" => Ok(Self::Directory(path)),
            "tar" => Ok(Self::Tar(path)),
            "oci" => Ok(Self::Blobs(path)),
            other => Err(SpecError::Kind(other.to_owned())),
        }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Directory(path) | Self::Tar(path) | Self::Blobs(path) => path,
        }
    }

    /// Opens it. Nothing is read yet but the headers of an archive.
    ///
    /// # Errors
    /// When it is not there, or not what it should be.
    pub fn open(&self) -> Result<Box<dyn Source>, OpenError> {
        let open = |what, path: &Path| {
            RootDir::open(path).map_err(|error| OpenError {
                what,
                path: path.to_owned(),
                error,
            })
        };
        Ok(match self {
            Self::Directory(path) => {
                let root = open("the source directory", path)?;
                Box::new(DirectorySource::new(root).opening_nothing_else())
            }
            Self::Tar(path) => {
                let source = File::open(path)
                    .map_err(TarSourceError::from)
                    .and_then(|file| TarSource::open(file, tempfile::tempfile));
                Box::new(source.map_err(|error| OpenError {
                    what: "the source archive",
                    path: path.clone(),
                    error: match error {
                        TarSourceError::Io(error) => error,
                        error => io::Error::other(error),
                    },
                })?)
            }
            Self::Blobs(path) => {
                let blobs = open("the directory of blobs", &path.join("blobs"))?;
                Box::new(BlobSource::new(blobs).opening_nothing_else())
            }
        })
    }
}

/// A word of letters and digits in front of the first colon; a path that has
/// such a beginning is written `./…` or `dir:…`.
fn split_kind(text: &[u8]) -> Option<(&str, &[u8])> {
    let colon = text.iter().position(|byte| *byte == b':')?;
    let (kind, rest) = text.split_at_checked(colon)?;
    let is_word = !kind.is_empty() && kind.iter().all(u8::is_ascii_alphanumeric);
    let kind = std::str::from_utf8(kind).ok().filter(|_| is_word)?;
    Some((kind, rest.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_path_is_a_directory() {
        let parse = |text: &str| SourceSpec::parse(text.into());
        let directory = |path: &str| Ok(SourceSpec::Directory(path.into()));
        for (text, expected) in [
            ("backing", directory("backing")),
            ("dir:backing", directory("backing")),
            ("dir:dir:x", directory("dir:x")),
            ("./s3:bucket", directory("./s3:bucket")),
            ("/a/b:c", directory("/a/b:c")),
            (":x", directory(":x")),
            ("oci:image", Ok(SourceSpec::Blobs("image".into()))),
            ("tar:a.tar", Ok(SourceSpec::Tar("a.tar".into()))),
            ("oci:", Err(SpecError::Empty)),
            ("s3:bucket", Err(SpecError::Kind("s3".into()))),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        let raw = OsString::from_vec(b"dir:\xff".to_vec());
        let expected = PathBuf::from(OsString::from_vec(b"\xff".to_vec()));
        assert_eq!(SourceSpec::parse(raw), Ok(SourceSpec::Directory(expected)));
    }
}
