//! The manifest file that a subcommand works on.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::digest::Digest;
use crate::escape::Escaped;
use crate::manifest::PrintError;

use super::Failure;

/// Largest manifest that is read, in bytes: 4 GiB.
pub const SIZE_MAX: u64 = 4 << 30;

/// Which manifest, and what it must be.
#[derive(Clone, Debug, clap::Args)]
pub struct ManifestFile {
    /// The manifest; "-" is standard input
    #[arg(value_name = "MANIFEST")]
    pub path: PathBuf,

    /// What it must be.
    #[command(flatten)]
    pub pin: Pin,
}

/// What the manifest must be.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Pin {
    /// Refuse the manifest unless its bytes have this digest, such as
    /// "sha256:" and 64 hexadecimal digits
    #[arg(long, value_name = "DIGEST", value_parser = Digest::parse)]
    pub digest: Option<Digest>,
}

impl ManifestFile {
    /// Reads the whole manifest and compares it with the pin.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(&self) -> Result<Vec<u8>, LoadError> {
        load(&self.path, self.pin.digest.as_ref())
    }

    /// Opens it, for [`Self::load_from`].
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn open(&self) -> Result<File, LoadError> {
        open(&self.path).map_err(|cause| not_read(&self.path, cause))
    }

    /// Says which manifest could not be read.
    pub fn not_read(&self, cause: io::Error) -> LoadError {
        not_read(&self.path, cause)
    }

    /// The same as [`Self::load`] of a file that somebody has opened.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load_from(&self, file: File) -> Result<Vec<u8>, LoadError> {
        load_from(&self.path, file, self.pin.digest.as_ref())
    }

    /// Says which manifest an error is about.
    pub fn refused<E>(&self, cause: E) -> Refused<E> {
        refused(&self.path, cause)
    }

    /// The same of what printing it says, which may be about the output.
    pub(super) fn not_printed(&self, error: PrintError) -> Failure {
        match error {
            PrintError::Manifest(cause) => Box::new(self.refused(cause)),
            PrintError::Output(_) => Box::new(error),
        }
    }
}

/// Says which manifest an error is about.
pub fn refused<E>(path: &Path, cause: E) -> Refused<E> {
    Refused {
        file: Name::of(path),
        cause,
    }
}

/// A manifest that could be read, and something is wrong with it.
#[derive(Debug, Error)]
#[error("{file}")]
pub struct Refused<E> {
    file: Name,
    #[source]
    cause: E,
}

/// Why there is no manifest.
#[derive(Debug, Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("cannot read {file}")]
    Read {
        /// The file.
        file: Name,
        /// What reading said.
        #[source]
        cause: io::Error,
    },
    /// It is larger than [`SIZE_MAX`].
    #[error("{0} has more than {SIZE_MAX} bytes, too many for a manifest")]
    Size(Name),
    /// It is not the one that was asked for.
    #[error("{file} is not the manifest wanted: wanted {wanted}, found {found}", wanted = .digests.0, found = .digests.1)]
    Pin {
        /// The file.
        file: Name,
        /// The digest that was asked for, and that of the bytes.
        digests: Box<(Digest, Digest)>,
    },
}

/// Name of a manifest file, safe to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(PathBuf);

impl Name {
    fn of(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_stdin(&self.0) {
            f.write_str("standard input")
        } else {
            Escaped(self.0.as_os_str().as_bytes()).fmt(f)
        }
    }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Reads a whole manifest and compares the digest of its bytes with `pin`;
/// the path `-` is standard input.
///
/// # Errors
/// See [`LoadError`].
pub fn load(path: &Path, pin: Option<&Digest>) -> Result<Vec<u8>, LoadError> {
    let file = open(path).map_err(|cause| not_read(path, cause))?;
    load_from(path, file, pin)
}

fn open(path: &Path) -> io::Result<File> {
    if is_stdin(path) {
        io::stdin().as_fd().try_clone_to_owned().map(File::from)
    } else {
        File::open(path)
    }
}

fn not_read(path: &Path, cause: io::Error) -> LoadError {
    LoadError::Read {
        file: Name::of(path),
        cause,
    }
}

fn load_from(path: &Path, file: File, pin: Option<&Digest>) -> Result<Vec<u8>, LoadError> {
    let bytes = file.metadata().and_then(|found| read(file, found.len()));
    let bytes = bytes
        .map_err(|cause| not_read(path, cause))?
        .ok_or_else(|| LoadError::Size(Name::of(path)))?;
    if let Some(wanted) = pin {
        let found = wanted.algorithm().hash(&bytes);
        if found != *wanted {
            return Err(LoadError::Pin {
                file: Name::of(path),
                digests: Box::new((*wanted, found)),
            });
        }
    }
    Ok(bytes)
}

/// `None` when there is too much; `size` is what is to be expected.
fn read(from: impl Read, size: u64) -> io::Result<Option<Vec<u8>>> {
    if size > SIZE_MAX {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    // One more, so that reading sees the end without growing the memory.
    let expected = usize::try_from(size.saturating_add(1)).unwrap_or(0);
    bytes.try_reserve_exact(expected)?;
    from.take(SIZE_MAX + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= SIZE_MAX).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_must_match() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        io::Write::write_all(&mut file, b"abc").unwrap();
        for algorithm in crate::digest::Algorithm::ALL {
            let good = algorithm.hash(b"abc");
            assert_eq!(load(file.path(), Some(&good)).unwrap(), b"abc");
            let other = algorithm.hash(b"abd");
            let error = load(file.path(), Some(&other)).unwrap_err().to_string();
            assert!(error.contains(&format!("wanted {other}, found {good}")));
        }
        assert_eq!(load(file.path(), None).unwrap(), b"abc");
    }

    #[test]
    fn a_sparse_giant_is_refused_without_reading_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(SIZE_MAX + 1).unwrap();
        assert!(matches!(load(file.path(), None), Err(LoadError::Size(_))));
    }
}
