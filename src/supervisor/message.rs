//! What supervisor and worker say to each other: short messages, one datagram
//! each, and the descriptors that go with them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::digest::Digest;
use crate::fuse::Turn;
use crate::sys::datagram;

/// Longest message, in bytes: the first message of the kernel is part of one.
const MESSAGE_MAX: usize = 16 << 10;

/// Both are of one program; but the worker may be of a newer one.
const VERSION: u8 = 1;

const BEGIN: u8 = b'B';
const LOADED: u8 = b'L';
const SERVE: u8 = b'S';
const SERVING: u8 = b'R';
const SHUT_DOWN: u8 = b'X';

/// One end of the socket between supervisor and worker.
#[derive(Debug)]
pub struct Link(OwnedFd);

/// To the worker.
#[derive(Debug)]
pub enum ToWorker {
    /// Read the manifest.
    Begin {
        /// What it has to be; a worker that follows another one serves the same.
        pin: Option<Digest>,
        /// The manifest.
        manifest: OwnedFd,
        /// The directory that has the content.
        backing: OwnedFd,
    },
    /// Serve it.
    Serve {
        /// Whether somebody did before.
        turn: Turn,
        /// The device number of the filesystem.
        device_number: u64,
        /// The first message of the kernel.
        init: Vec<u8>,
        /// How many workers there were before.
        restarts: u32,
        /// The connection.
        connection: OwnedFd,
        /// The socket on which whoever may asks for the status.
        status: Option<OwnedFd>,
    },
}

/// From the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromWorker {
    /// It could read the manifest, which has this digest.
    Loaded(Digest),
    /// It serves.
    Serving,
    /// It gives nothing out any more, because content was refused, and no other
    /// worker should.
    ShutDown,
}

impl From<OwnedFd> for Link {
    fn from(socket: OwnedFd) -> Self {
        Self(socket)
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn not_understood() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a message is not understood")
}

impl Link {
    /// Sends a message to the worker.
    ///
    /// # Errors
    /// As sendmsg(2).
    pub fn tell_worker(&self, message: &ToWorker) -> io::Result<()> {
        let mut bytes = vec![VERSION];
        match message {
            ToWorker::Begin {
                pin,
                manifest,
                backing,
            } => {
                bytes.push(BEGIN);
                if let Some(pin) = pin {
                    bytes.extend(pin.to_string().into_bytes());
                }
                datagram::send(&self.0, &bytes, &[manifest.as_fd(), backing.as_fd()])
            }
            ToWorker::Serve {
                turn,
                device_number,
                init,
                restarts,
                connection,
                status,
            } => {
                let flags = [*turn == Turn::Again, status.is_some()];
                bytes.push(SERVE);
                bytes.extend(flags.map(u8::from));
                bytes.extend(restarts.to_le_bytes());
                bytes.extend(device_number.to_le_bytes());
                bytes.extend(init);
                let descriptors = [connection].into_iter().chain(status);
                let descriptors: Vec<_> = descriptors.map(AsFd::as_fd).collect();
                datagram::send(&self.0, &bytes, &descriptors)
            }
        }
    }

    /// Waits for a message to the worker. Nothing at all when the supervisor is
    /// gone.
    ///
    /// # Errors
    /// As recvmsg(2), and for what is not understood.
    pub fn hear_supervisor(&self) -> io::Result<Option<ToWorker>> {
        let Some((bytes, descriptors)) = datagram::receive(&self.0, MESSAGE_MAX)? else {
            return Ok(None);
        };
        to_worker(&bytes, descriptors)
            .ok_or_else(not_understood)
            .map(Some)
    }

    /// Sends a message to the supervisor.
    ///
    /// # Errors
    /// As sendmsg(2).
    pub fn tell_supervisor(&self, message: FromWorker) -> io::Result<()> {
        let mut bytes = vec![VERSION];
        match message {
            FromWorker::Loaded(digest) => {
                bytes.push(LOADED);
                bytes.extend(digest.to_string().into_bytes());
            }
            FromWorker::Serving => bytes.push(SERVING),
            FromWorker::ShutDown => bytes.push(SHUT_DOWN),
        }
        datagram::send(&self.0, &bytes, &[])
    }

    /// Waits for a message of the worker. Nothing at all when it is gone.
    ///
    /// # Errors
    /// As recvmsg(2), and for what is not understood.
    pub fn hear_worker(&self) -> io::Result<Option<FromWorker>> {
        let Some((bytes, _)) = datagram::receive(&self.0, MESSAGE_MAX)? else {
            return Ok(None);
        };
        from_worker(&bytes).ok_or_else(not_understood).map(Some)
    }
}

/// What stands behind the version and the kind.
fn open(bytes: &[u8]) -> Option<(u8, &[u8])> {
    match bytes {
        [VERSION, kind, rest @ ..] => Some((*kind, rest)),
        _ => None,
    }
}

fn digest(text: &[u8]) -> Option<Digest> {
    Digest::parse(std::str::from_utf8(text).ok()?).ok()
}

fn to_worker(bytes: &[u8], descriptors: Vec<OwnedFd>) -> Option<ToWorker> {
    let mut descriptors = descriptors.into_iter();
    match open(bytes)? {
        (BEGIN, pin) => Some(ToWorker::Begin {
            pin: match pin {
                [] => None,
                pin => Some(digest(pin)?),
            },
            manifest: descriptors.next()?,
            backing: descriptors.next()?,
        }),
        (SERVE, [again, has_status, rest @ ..]) => {
            let (restarts, rest) = rest.split_first_chunk()?;
            let (device_number, init) = rest.split_first_chunk()?;
            Some(ToWorker::Serve {
                turn: match again {
                    0 => Turn::First,
                    _ => Turn::Again,
                },
                device_number: u64::from_le_bytes(*device_number),
                init: init.to_owned(),
                restarts: u32::from_le_bytes(*restarts),
                connection: descriptors.next()?,
                status: match has_status {
                    0 => None,
                    _ => Some(descriptors.next()?),
                },
            })
        }
        _ => None,
    }
}

fn from_worker(bytes: &[u8]) -> Option<FromWorker> {
    match open(bytes)? {
        (LOADED, text) => Some(FromWorker::Loaded(digest(text)?)),
        (SERVING, []) => Some(FromWorker::Serving),
        (SHUT_DOWN, []) => Some(FromWorker::ShutDown),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs::File;

    use crate::digest::Algorithm;

    fn links() -> (Link, Link) {
        let (ours, theirs) = datagram::pair().unwrap();
        (ours.into(), theirs.into())
    }

    fn null() -> OwnedFd {
        File::open("/dev/null").unwrap().into()
    }

    #[test]
    fn the_worker_hears_what_it_is_told() {
        let (supervisor, worker) = links();
        for pin in [None, Some(Algorithm::Sha512.hash(b"manifest"))] {
            let (manifest, backing) = (null(), null());
            supervisor
                .tell_worker(&ToWorker::Begin {
                    pin,
                    manifest,
                    backing,
                })
                .unwrap();
            match worker.hear_supervisor().unwrap().unwrap() {
                ToWorker::Begin { pin: heard, .. } => assert_eq!(heard, pin),
                other => panic!("{other:?}"),
            }
        }
        for turn in [Turn::First, Turn::Again] {
            supervisor
                .tell_worker(&ToWorker::Serve {
                    turn,
                    device_number: 45,
                    init: vec![7; 104],
                    restarts: 3,
                    connection: null(),
                    status: Some(null()),
                })
                .unwrap();
            match worker.hear_supervisor().unwrap().unwrap() {
                ToWorker::Serve {
                    turn: heard,
                    device_number,
                    init,
                    restarts,
                    status,
                    ..
                } => {
                    assert_eq!((heard, device_number, restarts), (turn, 45, 3));
                    assert_eq!(init, vec![7; 104]);
                    assert!(status.is_some());
                }
                other => panic!("{other:?}"),
            }
        }
        drop(supervisor);
        assert!(worker.hear_supervisor().unwrap().is_none());
    }

    #[test]
    fn the_supervisor_hears_the_worker() {
        let (supervisor, worker) = links();
        let loaded = FromWorker::Loaded(Algorithm::Sha256.hash(b"manifest"));
        for message in [loaded, FromWorker::Serving, FromWorker::ShutDown] {
            worker.tell_supervisor(message).unwrap();
            assert_eq!(supervisor.hear_worker().unwrap(), Some(message));
        }
    }

    #[test]
    fn nonsense_is_an_error() {
        let (supervisor, worker) = links();
        for bytes in [
            &b"x"[..],
            b"\x02R",
            b"\x01Rx",
            b"\x01Xx",
            b"\x01Lmd5:0",
            b"\x01L\xff",
        ] {
            datagram::send(&worker, bytes, &[]).unwrap();
            assert!(supervisor.hear_worker().is_err(), "{bytes:?}");
        }
        // No descriptors, too short, no digest.
        for bytes in [
            &b"\x01B"[..],
            b"\x01S\x00\x00\x00\x01",
            b"\x01Bsha256:0",
            b"\x01",
        ] {
            datagram::send(&supervisor, bytes, &[]).unwrap();
            assert!(worker.hear_supervisor().is_err(), "{bytes:?}");
        }
    }
}
