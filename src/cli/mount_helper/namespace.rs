//! Another mount namespace, as mount(8) names it with `-N`.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::cli::Failure;
use crate::escape::Escaped;
use crate::sys::namespace::{self, Outside};

/// Why there is no way into it.
#[derive(Debug, Error)]
#[error("cannot enter the mount namespace {:?}", Escaped(path.as_os_str().as_encoded_bytes()))]
pub(super) struct NamespaceError {
    path: PathBuf,
    #[source]
    pub(super) cause: io::Error,
}

/// A namespace that this process is in now, and the way back.
pub(super) struct Entered {
    namespace: File,
    pub(super) outside: Outside,
}

impl Entered {
    /// Its name for a worker: mount(8), by which it was named, may be gone by then.
    pub(super) fn words(&self) -> [OsString; 2] {
        let (pid, number) = (std::process::id(), self.namespace.as_raw_fd());
        ["-N".into(), format!("/proc/{pid}/fd/{number}").into()]
    }
}

/// Goes there. A thread stays outside if `returns`.
pub(super) fn enter(name: &Path, returns: bool) -> Result<Option<Entered>, Failure> {
    let is_process = name
        .to_str()
        .is_some_and(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    let path = if is_process {
        Path::new("/proc").join(name).join("ns/mnt")
    } else {
        name.to_owned()
    };
    let go = || -> io::Result<_> {
        let namespace = File::open(&path)?;
        let outside = returns.then(|| Outside::stay("outside")).transpose()?;
        namespace::enter(&namespace)?;
        Ok(outside.map(|outside| Entered { namespace, outside }))
    };
    go().map_err(|cause| NamespaceError { path, cause }.into())
}
