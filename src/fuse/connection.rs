//! The kernel's connection as bytes: what can be done with it without serving.
//!
//! The layout of messages is that of `linux/fuse.h`: a request begins with its
//! length, an opcode and its number; a reply with its length, an error and the
//! number of the request.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use crate::sys::descriptor::{Readiness, set_nonblocking, wait_readable};
use crate::sys::{Errno, file};

/// The smallest buffer that the kernel takes for requests before it knows how
/// large they may be (`FUSE_MIN_READ_BUFFER`).
const INIT_BUFFER: usize = 8192;
/// For the largest request afterwards: as much as may be written, and what stands
/// before it.
const BUFFER: usize = (1 << 20) + 4096;

const FORGET: u32 = 2;
const INTERRUPT: u32 = 36;
const BATCH_FORGET: u32 = 42;

/// `FUSE_NOTIFY_RESEND`: requests that were taken and not answered come again
/// (Linux 6.9).
const NOTIFY_RESEND: i32 = 7;

/// The kernel's connection. It lives for as long as anybody holds it open.
#[derive(Debug)]
pub struct Connection(File);

impl From<OwnedFd> for Connection {
    fn from(device: OwnedFd) -> Self {
        Self(File::from(device))
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Connection {
    /// Takes the first message of the kernel, in which it says what it can do.
    ///
    /// # Errors
    /// As read(2).
    pub fn take_init(&self) -> io::Result<Vec<u8>> {
        let mut init = vec![0; INIT_BUFFER];
        let count = file::retry_on_interrupt(|| (&self.0).read(&mut init))?;
        init.truncate(count);
        Ok(init)
    }

    /// Passes on a whole message.
    ///
    /// # Errors
    /// As write(2).
    pub fn write(&self, message: &[u8]) -> io::Result<()> {
        (&self.0).write(message).map(drop)
    }

    /// Has the requests come again that were taken and not answered.
    ///
    /// # Errors
    /// As write(2): `EINVAL` before Linux 6.9.
    pub fn resend(&self) -> io::Result<()> {
        self.write(&message(NOTIFY_RESEND, 0))
    }

    /// Whether the filesystem is mounted still.
    ///
    /// # Errors
    /// As poll(2).
    pub fn is_alive(&self) -> io::Result<bool> {
        Ok(wait_readable(&self.0, Duration::ZERO)? != Readiness::Gone)
    }

    /// Answers all requests that there are with EIO. Nobody else may be serving.
    ///
    /// # Errors
    /// As read(2) and write(2).
    pub fn refuse_all(&self) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        // What can be read may be interrupted before we do.
        set_nonblocking(&self.0, true)?;
        let mut refused = Ok(true);
        while refused.as_ref().is_ok_and(|more| *more) {
            refused = self.refuse_next(&mut buffer);
        }
        set_nonblocking(&self.0, false)?;
        refused.map(drop)
    }

    /// Answers all requests with EIO until the filesystem is gone. Nobody else
    /// may be serving.
    ///
    /// # Errors
    /// As read(2) and write(2).
    pub fn refuse(&self) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        while self.is_alive()? {
            self.refuse_next(&mut buffer)?;
        }
        Ok(())
    }

    /// Whether there may be more.
    fn refuse_next(&self, buffer: &mut [u8]) -> io::Result<bool> {
        let count = match (&self.0).read(buffer) {
            Ok(count) => count,
            Err(error) => {
                return match Errno::from_io_error(&error) {
                    // Interrupted, the request or we (fs/fuse/dev.c).
                    Some(Errno::NOENT | Errno::INTR) => Ok(true),
                    Some(Errno::AGAIN | Errno::NODEV) => Ok(false),
                    _ => Err(error),
                };
            }
        };
        let Some(request) = buffer.get(..count).and_then(Request::parse) else {
            return Ok(true);
        };
        if request.wants_reply() {
            match self.write(&message(-Errno::IO.raw_os_error(), request.unique)) {
                // Interrupted meanwhile.
                Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => {}
                sent => sent?,
            }
        }
        Ok(true)
    }
}

/// A message without a body.
fn message(error: i32, unique: u64) -> [u8; 16] {
    let mut message = [0; 16];
    let fields = [16_u32.to_ne_bytes(), error.to_ne_bytes()].concat();
    for (to, from) in message
        .iter_mut()
        .zip(fields.into_iter().chain(unique.to_ne_bytes()))
    {
        *to = from;
    }
    message
}

struct Request {
    opcode: u32,
    unique: u64,
}

impl Request {
    fn parse(message: &[u8]) -> Option<Self> {
        let (header, _) = message.split_first_chunk::<16>()?;
        let (opcode, unique) = header.get(4..)?.split_first_chunk::<4>()?;
        Some(Self {
            opcode: u32::from_ne_bytes(*opcode),
            unique: u64::from_ne_bytes(unique.try_into().ok()?),
        })
    }

    const fn wants_reply(&self) -> bool {
        !matches!(self.opcode, FORGET | BATCH_FORGET | INTERRUPT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::sys::datagram;

    fn request(opcode: u32, unique: u64) -> Vec<u8> {
        let mut request = 40_u32.to_ne_bytes().to_vec();
        request.extend(opcode.to_ne_bytes());
        request.extend(unique.to_ne_bytes());
        request.resize(40, 0);
        request
    }

    #[test]
    fn refuses_what_is_there() {
        let (kernel, device) = datagram::pair().unwrap();
        let connection = Connection::from(device);
        connection.refuse_all().unwrap();
        for (opcode, unique) in [(15, 2), (FORGET, 4), (INTERRUPT, 5), (1, 1 << 63 | 6)] {
            datagram::send(&kernel, &request(opcode, unique), &[]).unwrap();
        }
        connection.refuse_all().unwrap();
        assert!(connection.is_alive().unwrap());
        for unique in [2, 1 << 63 | 6] {
            let (reply, _) = datagram::receive(&kernel, 16).unwrap().unwrap();
            assert_eq!(reply, message(-5, unique));
        }
        let nothing = wait_readable(&kernel, Duration::ZERO).unwrap();
        assert_eq!(nothing, Readiness::Nothing);
    }

    #[test]
    fn short_messages_are_let_go() {
        assert!(Request::parse(&[0; 15]).is_none());
        let parsed = Request::parse(&request(BATCH_FORGET, 7)).unwrap();
        assert_eq!((parsed.opcode, parsed.unique), (BATCH_FORGET, 7));
        assert!(!parsed.wants_reply());
    }
}
