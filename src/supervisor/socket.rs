//! Where a mount can be asked for its status: a socket that is named after the
//! device number of its filesystem, in a directory of root's.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use crate::sys::unnamed::UnnamedSocket;
use crate::sys::{PrivateDirectory, peer};

/// What the names of sockets end in, of this kind and of that where one can ask for
/// something.
const KINDS: [&str; 2] = ["sock", "control"];

/// A socket that is gone when this is dropped.
#[derive(Debug)]
pub(super) enum StatusSocket {
    /// For whoever may come there.
    Named { listener: UnixListener, name: Name },
    /// For this process alone.
    Unnamed(UnnamedSocket),
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
        sweep(directory);
        let path = status_path(directory, device_number);
        let (listener, name) = listen(&path)?;
        Ok(Self::Named { listener, name })
    }

    /// Makes one that nobody else finds.
    pub(super) fn unnamed() -> io::Result<Self> {
        UnnamedSocket::listen().map(Self::Unnamed)
    }

    pub(super) fn path(&self) -> PathBuf {
        match self {
            Self::Named { name, .. } => name.path.clone(),
            Self::Unnamed(socket) => socket.path(),
        }
    }

    pub(super) const fn listener(&self) -> &UnixListener {
        match self {
            Self::Named { listener, .. } => listener,
            Self::Unnamed(socket) => socket.listener(),
        }
    }
}

/// The name of a socket, which is gone when this is dropped. By then the filesystem is
/// gone, and another one may have its number, and a socket of that name.
#[derive(Debug)]
pub(super) struct Name {
    path: PathBuf,
    inode: u64,
}

impl Drop for Name {
    fn drop(&mut self) {
        let found = fs::symlink_metadata(&self.path);
        if found.is_ok_and(|found| found.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens in a place. What is there is somebody's who is gone, since no other
/// filesystem has that number now.
pub(super) fn listen(path: &Path) -> io::Result<(UnixListener, Name)> {
    // Under another name first, for a moment passes until somebody listens.
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&new)?;
    fs::set_permissions(&new, Permissions::from_mode(0o600))?;
    let name = Name {
        path: path.to_owned(),
        inode: fs::symlink_metadata(&new)?.ino(),
    };
    fs::rename(&new, path)?;
    Ok((listener, name))
}

/// Takes away what was left by those who were killed.
fn sweep(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let is_socket = |path: &PathBuf| {
        let kind = path.extension().and_then(OsStr::to_str);
        kind.is_some_and(|kind| KINDS.contains(&kind))
    };
    for path in paths.filter(is_socket) {
        if peer::is_left(&path).unwrap_or(false) {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_have_left_is_taken_away() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in ["7.sock", "7.control", "8.new"] {
            drop(UnixListener::bind(path(name)).unwrap());
        }
        fs::write(path("notes"), "").unwrap();
        let serving = listen(&path("5.control")).unwrap();
        let own = StatusSocket::bind(directory.path(), 5).unwrap();
        let mut left: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["5.control", "5.sock", "8.new", "notes"]);
        // Whoever comes next has the number now, and keeps its name.
        let next = listen(&path("5.control")).unwrap();
        drop(serving);
        assert!(path("5.control").exists());
        drop(next);
        drop(own);
        assert!(!path("5.sock").exists() && !path("5.control").exists());
    }
}
