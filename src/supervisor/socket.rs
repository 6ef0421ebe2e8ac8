//! Where a mount can be asked for its status: a socket that is named after the
//! device number of its filesystem, in a directory of root's.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use crate::sys::PrivateDirectory;

/// A socket that is gone when this is dropped.
#[derive(Debug)]
pub(super) struct StatusSocket {
    listener: UnixListener,
    path: PathBuf,
}

/// The path of the socket of a filesystem.
#[must_use]
pub fn status_path(directory: &Path, device_number: u64) -> PathBuf {
    directory.join(format!("{device_number:x}.sock"))
}

impl StatusSocket {
    /// Makes it. The directory is made if there is none, and must be closed to
    /// others.
    pub(super) fn bind(directory: &Path, device_number: u64) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        PrivateDirectory::open(directory).map_err(io::Error::other)?;
        let path = status_path(directory, device_number);
        // No other filesystem has this number now.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        Ok(Self { listener, path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn listener(&self) -> &UnixListener {
        &self.listener
    }
}

impl Drop for StatusSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
