//! The manifest file that a subcommand works on.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::escape::Escaped;
use crate::manifest::PrintError;
use crate::trust::{Policy, TrustError, Vouched};

use super::Failure;
use super::trust::TrustArguments;

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
    pub trust: TrustArguments,
}

impl ManifestFile {
    /// A manifest of which nothing is demanded.
    #[must_use]
    pub fn of_nobody(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            trust: TrustArguments::default(),
        }
    }

    /// Reads the whole manifest, and asks who vouches for it.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(&self) -> Result<Vouched, LoadError> {
        load(&self.path, &self.trust)
    }

    /// Reads all that is needed to ask who vouches for the manifest, but not the
    /// manifest.
    ///
    /// # Errors
    /// [`LoadError::Trust`].
    pub fn policy(&self) -> Result<Policy, LoadError> {
        policy(&self.path, &self.trust)
    }

    /// Opens it, for [`Self::read_from`].
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

    /// Reads all of it, when somebody has opened it.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn read_from(&self, file: File) -> Result<Vec<u8>, LoadError> {
        read_from(&self.path, file)
    }

    /// Asks who vouches for what was read.
    ///
    /// # Errors
    /// [`LoadError::Trust`].
    pub fn vouch(&self, policy: &Policy, bytes: Vec<u8>) -> Result<Vouched, LoadError> {
        vouch(&self.path, policy, bytes)
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
    /// It is not what was demanded.
    #[error("{file} is not trusted")]
    Trust {
        /// The file.
        file: Name,
        /// What is missing.
        #[source]
        cause: Box<TrustError>,
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

fn policy(path: &Path, trust: &TrustArguments) -> Result<Policy, LoadError> {
    let name = (!is_stdin(path)).then_some(path);
    trust.policy(name).map_err(|cause| not_trusted(path, cause))
}

fn not_trusted(path: &Path, cause: TrustError) -> LoadError {
    LoadError::Trust {
        file: Name::of(path),
        cause: Box::new(cause),
    }
}

/// Reads a whole manifest, and asks who vouches for its bytes; the path `-` is
/// standard input.
///
/// # Errors
/// See [`LoadError`].
pub fn load(path: &Path, trust: &TrustArguments) -> Result<Vouched, LoadError> {
    let policy = policy(path, trust)?;
    let file = open(path).map_err(|cause| not_read(path, cause))?;
    vouch(path, &policy, read_from(path, file)?)
}

fn vouch(path: &Path, policy: &Policy, bytes: Vec<u8>) -> Result<Vouched, LoadError> {
    let vouched = policy
        .vouch(bytes)
        .map_err(|cause| not_trusted(path, cause))?;
    if !vouched.by().is_nobody() {
        log::info!(
            "event=vouched path={:?} {}",
            Escaped(path.as_os_str().as_bytes()),
            vouched.by()
        );
    }
    Ok(vouched)
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

fn read_from(path: &Path, file: File) -> Result<Vec<u8>, LoadError> {
    let bytes = file.metadata().and_then(|found| read(file, found.len()));
    bytes
        .map_err(|cause| not_read(path, cause))?
        .ok_or_else(|| LoadError::Size(Name::of(path)))
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

    fn pin(digest: crate::digest::Digest) -> TrustArguments {
        TrustArguments {
            digest: vec![digest],
            ..TrustArguments::default()
        }
    }

    #[test]
    fn a_pin_must_match() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        io::Write::write_all(&mut file, b"abc").unwrap();
        for algorithm in crate::digest::Algorithm::ALL {
            let good = algorithm.hash(b"abc");
            let loaded = load(file.path(), &pin(good)).unwrap();
            assert_eq!(loaded.as_bytes(), b"abc");
            assert_eq!(loaded.by().pin, Some(good));
            let other = algorithm.hash(b"abd");
            let error = load(file.path(), &pin(other)).unwrap_err();
            let LoadError::Trust { cause, .. } = error else {
                panic!("{error}");
            };
            assert_eq!(cause.to_string(), format!("wanted {other}, found {good}"));
        }
        let loaded = load(file.path(), &TrustArguments::default()).unwrap();
        assert_eq!(loaded.as_bytes(), b"abc");
        assert!(loaded.by().is_nobody());
    }

    #[test]
    fn a_sparse_giant_is_refused_without_reading_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(SIZE_MAX + 1).unwrap();
        let loaded = load(file.path(), &TrustArguments::default());
        assert!(matches!(loaded, Err(LoadError::Size(_))));
    }
}
