//! Why there is no archive.

use std::io;

use thiserror::Error;

use crate::manifest::ManifestError;
use crate::path::{ManifestPath, PathError};
use crate::verify::VerifyError;

/// Why there is no archive, or only the beginning of one.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The manifest is refused.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Content is not what the manifest declares, or cannot be read.
    #[error("{:?} is refused: {}", .0.refused().path, .0.refused().reason)]
    Refused(VerifyError),
    /// A name that aufs takes for a whiteout.
    #[error("{0:?} would be taken for a whiteout in the form of aufs; choose another form")]
    MeansWhiteout(ManifestPath),
    /// A whiteout has no name in the form of aufs.
    #[error("{path:?} cannot be marked in the form of aufs: {error}")]
    Mark {
        /// What is gone, or opaque.
        path: ManifestPath,
        /// What is wrong with the name of the mark.
        #[source]
        error: PathError,
    },
    /// The output does not take it.
    #[error("cannot write: {0}")]
    Output(#[source] io::Error),
}
