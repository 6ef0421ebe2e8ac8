//! Why nothing was compared.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::build::BuildError;
use crate::escape::Escaped;
use crate::manifest::ManifestError;

/// Why nothing was compared, or not to the end.
#[derive(Debug, Error)]
pub enum CheckError {
    /// A directory cannot be opened.
    #[error("cannot open directory {:?}: {error}", Escaped(.root.as_os_str().as_encoded_bytes()))]
    Root {
        /// The directory, as it was given.
        root: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A manifest is refused.
    #[error("{cause}")]
    Manifest {
        /// Which of the two, where there are two.
        which: Which,
        /// Why.
        #[source]
        cause: ManifestError,
    },
    /// The first directory cannot be listed.
    #[error(transparent)]
    List(#[from] BuildError),
    /// There can be no threads.
    #[error("cannot start threads: {0}")]
    Threads(#[source] rayon::ThreadPoolBuildError),
    /// Whoever was told of a finding could not take it.
    #[error(transparent)]
    Output(#[from] io::Error),
}

impl CheckError {
    /// Says which manifest is refused.
    pub(super) fn of(which: Which) -> impl Fn(ManifestError) -> Self {
        move |cause| Self::Manifest { which, cause }
    }
}

/// One side of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// What is wanted.
    First,
    /// What is found.
    Second,
}
