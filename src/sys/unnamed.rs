//! A socket that listens, and that nobody else can find: it had a name for a moment, in a
//! directory that was closed to others.

use std::env;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::random;

/// It ends when this is dropped and nobody else has its listener.
#[derive(Debug)]
pub struct UnnamedSocket {
    listener: UnixListener,
    /// The socket as a file, by which this process alone can connect.
    place: OwnedFd,
}

impl UnnamedSocket {
    /// Listens.
    ///
    /// # Errors
    /// As mkdir(2) and bind(2), of the directory for temporary files.
    pub fn listen() -> io::Result<Self> {
        let number = u64::from_ne_bytes(random::bytes()?);
        let directory = env::temp_dir().join(format!("continuity-{number:016x}"));
        DirBuilder::new().mode(0o700).create(&directory)?;
        let made = Self::listen_in(&directory);
        fs::remove_dir(&directory)?;
        made
    }

    fn listen_in(directory: &Path) -> io::Result<Self> {
        let path = directory.join("socket");
        let listener = UnixListener::bind(&path)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let place = rustix::fs::open(&path, flags, Mode::empty());
        fs::remove_file(&path)?;
        Ok(Self {
            listener,
            place: place?,
        })
    }

    /// What listens.
    #[must_use]
    pub const fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// Where this process connects; no other can, but one that may look into this one.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.place.as_raw_fd()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn it_is_reached_without_a_name() {
        let socket = UnnamedSocket::listen().unwrap();
        let address = socket.listener().local_addr().unwrap();
        assert!(!address.as_pathname().unwrap().exists());
        assert!(!address.as_pathname().unwrap().parent().unwrap().exists());
        for _ in 0..2 {
            let mut stream = UnixStream::connect(socket.path()).unwrap();
            let (mut accepted, _) = socket.listener().accept().unwrap();
            accepted.write_all(b"x").unwrap();
            drop(accepted);
            let mut heard = String::new();
            stream.read_to_string(&mut heard).unwrap();
            assert_eq!(heard, "x");
        }
    }
}
