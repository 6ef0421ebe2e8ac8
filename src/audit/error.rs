//! Why there is no audit.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::escape::Escaped;

/// Why there is no audit.
#[derive(Debug, Error)]
pub enum AuditError {
    /// The mount cannot be looked at.
    #[error("cannot read {:?}", Escaped(root.as_os_str().as_encoded_bytes()))]
    Root {
        /// The place.
        root: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// There are no threads to be had.
    #[error("cannot start threads")]
    Threads(#[source] rayon::ThreadPoolBuildError),
    /// What was found cannot be written.
    #[error("cannot write what was found")]
    Output(#[source] io::Error),
}
