//! What supervisor and worker say to each other: short messages, one datagram
//! each, and the descriptors that go with them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::digest::Digest;
use crate::fuse::Turn;
use crate::sys::datagram;

use super::backing::Backing;
use super::counts::Counts;

/// Longest message, in bytes: the first message of the kernel is part of one.
const MESSAGE_MAX: usize = 16 << 10;

/// Both are of one program; but the worker may be of a newer one.
const VERSION: u8 = 5;

const BEGIN: u8 = b'B';
const LOADED: u8 = b'L';
const NATURAL: u8 = b'n';
const KEPT: u8 = b'k';
const FOLLOWING: u8 = b'f';
const SERVE: u8 = b'S';
const SERVING: u8 = b'R';
const SHUT_DOWN: u8 = b'X';
const REFUSED: u8 = b'N';
const NUMBERS: u8 = b'#';

/// Longest reason, in bytes.
const REASON_MAX: usize = 4096;
/// Most numbers of inodes in one message, in bytes.
const NUMBERS_MAX: usize = 8 << 10;

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
        /// Where the content is.
        backing: Backing,
        /// What numbers its inodes get.
        numbers: Numbers,
    },
    /// Serve it.
    Serve {
        /// Whether somebody did before.
        turn: Turn,
        /// The device number of the filesystem.
        device_number: u64,
        /// The first message of the kernel.
        init: Vec<u8>,
        /// What happened before.
        counts: Counts,
        /// Whether it ends with its supervisor, since another supervisor goes on.
        is_kept: bool,
        /// What its supervisor has given up, as JSON.
        supervisor: String,
        /// The connection.
        connection: OwnedFd,
        /// The socket on which whoever may asks for the status.
        status: Option<OwnedFd>,
        /// What the kernel has of private copies, if there may be any.
        copies: Option<OwnedFd>,
    },
}

/// What numbers inodes get.
#[derive(Debug)]
pub enum Numbers {
    /// Those that follow from the manifest.
    Natural,
    /// Those that were kept in this file.
    Kept(OwnedFd),
    /// As they follow those of another manifest; the supervisor is told them.
    Following(Before),
}

/// The manifest that was served before, and of which the kernel remembers much.
#[derive(Debug)]
pub struct Before {
    /// What it has to be.
    pub pin: Digest,
    /// It.
    pub manifest: OwnedFd,
    /// The numbers that its inodes had, if they do not follow from it.
    pub numbers: Option<OwnedFd>,
}

/// From the worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromWorker {
    /// Some of the numbers that its inodes got, as they are kept; all of them come
    /// before it says that it is loaded.
    Numbers(Vec<u8>),
    /// It could read the manifest, which has this digest.
    Loaded(Digest),
    /// It serves.
    Serving,
    /// It gives nothing out any more, because content was refused, and no other
    /// worker should.
    ShutDown,
    /// It does not want to serve another manifest, and why.
    Refused(String),
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
                numbers,
            } => {
                bytes.extend([BEGIN, u8::from(backing.answers)]);
                let mut descriptors = vec![manifest.as_fd(), backing.as_fd()];
                let mut before_pin = None;
                bytes.push(match numbers {
                    Numbers::Natural => NATURAL,
                    Numbers::Kept(kept) => {
                        descriptors.push(kept.as_fd());
                        KEPT
                    }
                    Numbers::Following(before) => {
                        before_pin = Some(&before.pin);
                        descriptors.push(before.manifest.as_fd());
                        descriptors.extend(before.numbers.as_ref().map(AsFd::as_fd));
                        FOLLOWING
                    }
                });
                let text = |pin: Option<&Digest>| pin.map(Digest::to_string).unwrap_or_default();
                bytes.extend(text(pin.as_ref()).into_bytes());
                bytes.push(b'\n');
                bytes.extend(text(before_pin).into_bytes());
                datagram::send(&self.0, &bytes, &descriptors)
            }
            ToWorker::Serve {
                turn,
                device_number,
                init,
                counts,
                is_kept,
                supervisor,
                connection,
                status,
                copies,
            } => {
                let (has_status, has_copies) = (status.is_some(), copies.is_some());
                let flags = [*turn == Turn::Again, *is_kept, has_status, has_copies];
                bytes.push(SERVE);
                bytes.extend(flags.map(u8::from));
                bytes.extend(counts.to_bytes());
                bytes.extend(device_number.to_le_bytes());
                let length = u16::try_from(supervisor.len()).map_err(io::Error::other)?;
                bytes.extend(length.to_le_bytes());
                bytes.extend(supervisor.as_bytes());
                bytes.extend(init);
                let descriptors = [connection].into_iter().chain(status).chain(copies);
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
    pub fn tell_supervisor(&self, message: &FromWorker) -> io::Result<()> {
        let mut bytes = vec![VERSION];
        match message {
            FromWorker::Numbers(numbers) => {
                bytes.push(NUMBERS);
                bytes.extend(numbers);
            }
            FromWorker::Loaded(digest) => {
                bytes.push(LOADED);
                bytes.extend(digest.to_string().into_bytes());
            }
            FromWorker::Serving => bytes.push(SERVING),
            FromWorker::ShutDown => bytes.push(SHUT_DOWN),
            FromWorker::Refused(reason) => {
                bytes.push(REFUSED);
                bytes.extend(reason.bytes().take(REASON_MAX));
            }
        }
        datagram::send(&self.0, &bytes, &[])
    }

    /// Sends all numbers of inodes to the supervisor.
    ///
    /// # Errors
    /// As sendmsg(2).
    pub fn tell_numbers(&self, numbers: &[u8]) -> io::Result<()> {
        let mut parts = numbers.chunks(NUMBERS_MAX);
        parts.try_for_each(|part| self.tell_supervisor(&FromWorker::Numbers(part.to_owned())))
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
        (BEGIN, [answers, how, pins @ ..]) => {
            let end = pins.iter().position(|byte| *byte == b'\n')?;
            let (pin, before_pin) = pins.split_at_checked(end)?;
            Some(ToWorker::Begin {
                pin: match pin {
                    [] => None,
                    pin => Some(digest(pin)?),
                },
                manifest: descriptors.next()?,
                backing: Backing {
                    directory: descriptors.next()?,
                    answers: *answers != 0,
                },
                numbers: match *how {
                    NATURAL => Numbers::Natural,
                    KEPT => Numbers::Kept(descriptors.next()?),
                    FOLLOWING => Numbers::Following(Before {
                        pin: digest(before_pin.get(1..)?)?,
                        manifest: descriptors.next()?,
                        numbers: descriptors.next(),
                    }),
                    _ => return None,
                },
            })
        }
        (SERVE, [again, is_kept, has_status, has_copies, rest @ ..]) => {
            let (counts, rest) = Counts::parse(rest)?;
            let (device_number, rest) = rest.split_first_chunk()?;
            let (length, rest) = rest.split_first_chunk()?;
            let length = usize::from(u16::from_le_bytes(*length));
            let (supervisor, init) = rest.split_at_checked(length)?;
            Some(ToWorker::Serve {
                turn: match again {
                    0 => Turn::First,
                    _ => Turn::Again,
                },
                device_number: u64::from_le_bytes(*device_number),
                init: init.to_owned(),
                counts,
                is_kept: *is_kept != 0,
                supervisor: String::from_utf8(supervisor.to_owned()).ok()?,
                connection: descriptors.next()?,
                status: match has_status {
                    0 => None,
                    _ => Some(descriptors.next()?),
                },
                copies: match has_copies {
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
        (NUMBERS, numbers) => Some(FromWorker::Numbers(numbers.to_owned())),
        (LOADED, text) => Some(FromWorker::Loaded(digest(text)?)),
        (SERVING, []) => Some(FromWorker::Serving),
        (SHUT_DOWN, []) => Some(FromWorker::ShutDown),
        (REFUSED, reason) if reason.len() <= REASON_MAX => Some(FromWorker::Refused(
            String::from_utf8_lossy(reason).into_owned(),
        )),
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
            let (manifest, backing) = (null(), Backing::of(&null()).unwrap());
            supervisor
                .tell_worker(&ToWorker::Begin {
                    pin,
                    manifest,
                    backing,
                    numbers: Numbers::Natural,
                })
                .unwrap();
            match worker.hear_supervisor().unwrap().unwrap() {
                ToWorker::Begin { pin: heard, .. } => assert_eq!(heard, pin),
                other => panic!("{other:?}"),
            }
        }
        let told = Counts {
            restarts: 3,
            reloads: 4,
            lost: 5,
        };
        for turn in [Turn::First, Turn::Again] {
            supervisor
                .tell_worker(&ToWorker::Serve {
                    turn,
                    device_number: 45,
                    init: vec![7; 104],
                    counts: told,
                    is_kept: turn == Turn::Again,
                    supervisor: "{}".to_owned(),
                    connection: null(),
                    status: Some(null()),
                    copies: (turn == Turn::Again).then(null),
                })
                .unwrap();
            match worker.hear_supervisor().unwrap().unwrap() {
                ToWorker::Serve {
                    turn: heard,
                    device_number,
                    init,
                    counts,
                    is_kept,
                    supervisor,
                    status,
                    copies,
                    ..
                } => {
                    assert_eq!(copies.is_some(), turn == Turn::Again);
                    assert_eq!((heard, device_number), (turn, 45));
                    assert_eq!((counts, is_kept), (told, turn == Turn::Again));
                    assert_eq!((init, supervisor), (vec![7; 104], "{}".to_owned()));
                    assert!(status.is_some());
                }
                other => panic!("{other:?}"),
            }
        }
        drop(supervisor);
        assert!(worker.hear_supervisor().unwrap().is_none());
    }

    #[test]
    fn the_worker_hears_what_it_follows() {
        let (supervisor, worker) = links();
        let pin = Algorithm::Sha256.hash(b"before");
        for kept in [None, Some(null())] {
            let had_numbers = kept.is_some();
            let before = Before {
                pin,
                manifest: null(),
                numbers: kept,
            };
            supervisor
                .tell_worker(&ToWorker::Begin {
                    pin: None,
                    manifest: null(),
                    backing: Backing::of(&null()).unwrap(),
                    numbers: Numbers::Following(before),
                })
                .unwrap();
            match worker.hear_supervisor().unwrap().unwrap() {
                ToWorker::Begin {
                    numbers: Numbers::Following(before),
                    ..
                } => {
                    assert_eq!(before.pin, pin);
                    assert_eq!(before.numbers.is_some(), had_numbers);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn the_supervisor_hears_the_worker() {
        let (supervisor, worker) = links();
        let loaded = FromWorker::Loaded(Algorithm::Sha256.hash(b"manifest"));
        let refused = FromWorker::Refused("no".to_owned());
        for message in [loaded, FromWorker::Serving, FromWorker::ShutDown, refused] {
            worker.tell_supervisor(&message).unwrap();
            assert_eq!(supervisor.hear_worker().unwrap(), Some(message));
        }
        let numbers = vec![7; NUMBERS_MAX + 1];
        worker.tell_numbers(&numbers).unwrap();
        for part in numbers.chunks(NUMBERS_MAX) {
            let part = FromWorker::Numbers(part.to_owned());
            assert_eq!(supervisor.hear_worker().unwrap(), Some(part));
        }
    }

    #[test]
    fn nonsense_is_an_error() {
        let (supervisor, worker) = links();
        for bytes in [
            &b"x"[..],
            b"\x04R",
            b"\x05Rx",
            b"\x05Xx",
            b"\x05Lmd5:0",
            b"\x05L\xff",
        ] {
            datagram::send(&worker, bytes, &[]).unwrap();
            assert!(supervisor.hear_worker().is_err(), "{bytes:?}");
        }
        // No descriptors, too short, no digest.
        for bytes in [
            &b"\x05B"[..],
            b"\x05S\x00\x00\x00\x00\x01",
            b"\x05B\x01n\n",
            b"\x05B\x01nsha256:0\n",
            b"\x05",
        ] {
            datagram::send(&supervisor, bytes, &[]).unwrap();
            assert!(worker.hear_supervisor().is_err(), "{bytes:?}");
        }
    }
}
