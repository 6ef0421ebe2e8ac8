//! Serving requests that come through a descriptor.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};

use crate::fs::Filesystem;
use crate::sys::{datagram, descriptor};

use super::adapter::Adapter;
use super::connection::Connection;
use super::end::End;
use super::forget::Forgetting;
use super::pusher::Pusher;
use super::requests::Requests;

/// Longest answer to the first message of the kernel, in bytes; it has 80.
const INIT_REPLY_MAX: usize = 4096;

/// Whether a connection was served before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The kernel waits for the answer to its first message.
    First,
    /// It has had that from somebody who is not there any more, and who has left
    /// requests unanswered.
    Again,
}

/// A connection to the kernel that has been made and not been served yet.
#[derive(Debug)]
pub struct Session {
    session: fuser::Session<Adapter>,
    filesystem: Arc<Filesystem>,
    requests: Arc<Requests>,
    end: Arc<OnceLock<End>>,
}

impl Session {
    /// How many threads take requests. Some of them also do small reads; what is slow
    /// is done by others.
    pub const REQUEST_THREADS: usize = 6;

    /// Answers the first message of the kernel.
    ///
    /// The descriptor is `/dev/fuse`, or a socket of type `SOCK_SEQPACKET` at
    /// whose other end somebody speaks the kernel's part. Nothing is mounted or
    /// unmounted here.
    ///
    /// # Errors
    /// When the other end says nothing that can be understood.
    pub fn start(device: OwnedFd, filesystem: Arc<Filesystem>) -> io::Result<Self> {
        let pusher = Arc::new(OnceLock::new());
        let end = Arc::new(OnceLock::new());
        let adapter = Adapter::new(
            Arc::clone(&filesystem),
            Arc::clone(&pusher),
            Arc::clone(&end),
            Self::REQUEST_THREADS,
        )?;
        let mut config = fuser::Config::default();
        config.n_threads = Some(Self::REQUEST_THREADS);
        // The kernel itself decides who may come in (allow_other). fuser would
        // judge by the user of a request, which an idmapped mount hides.
        let acl = fuser::SessionACL::All;
        let (requests, known) = (adapter.requests(), adapter.known());
        let session = fuser::Session::from_fd(adapter, device, acl, config)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // The reader has a core of its own to go on with.
        let pushers = (cores / 2).clamp(1, 4);
        let _ = pusher.set(Pusher::start(
            session.notifier(),
            Arc::clone(&filesystem),
            known,
            pushers,
        )?);
        Ok(Self {
            session,
            filesystem,
            requests,
            end,
        })
    }

    /// Takes a connection over whose first message, `init`, somebody else has
    /// taken.
    ///
    /// fuser answers that message and no other to begin with. So it gets it, and
    /// answers it, through a socket; then the descriptor of that socket is made
    /// to lead to the kernel.
    ///
    /// # Errors
    /// As [`Self::start`], and when the kernel does not take the answer, or
    /// cannot let requests come again (before Linux 6.9).
    pub fn adopt(
        connection: &Connection,
        init: &[u8],
        turn: Turn,
        filesystem: Arc<Filesystem>,
    ) -> io::Result<Self> {
        let (kernel, device) = datagram::pair()?;
        datagram::send(&kernel, init, &[])?;
        let session = Self::start(device, filesystem)?;
        let reply = datagram::receive(&kernel, INIT_REPLY_MAX)?;
        descriptor::redirect(session.session.as_fd(), connection.as_fd())?;
        match turn {
            Turn::First => {
                let (reply, _) = reply.ok_or(io::ErrorKind::UnexpectedEof)?;
                connection.write(&reply)?;
            }
            Turn::Again => connection.resend()?,
        }
        Ok(session)
    }

    /// How many requests have come.
    #[must_use]
    pub fn requests(&self) -> Arc<Requests> {
        Arc::clone(&self.requests)
    }

    /// By which the kernel is told what to forget.
    #[must_use]
    pub fn forgetting(&self) -> Forgetting {
        Forgetting(self.session.notifier())
    }

    /// Serves until the filesystem is gone. Files that are being hashed in full then are
    /// not hashed to the end. Threads that are stuck in the source may be still, and
    /// nobody waits for them.
    ///
    /// # Errors
    /// When the connection fails in another way.
    pub fn serve(self) -> io::Result<()> {
        let Self {
            session,
            filesystem,
            end,
            ..
        } = self;
        let (say, hear) = channel();
        let device = session.as_fd().try_clone_to_owned()?;
        let _ = end.set(End::new(device, say.clone()));
        drop(end);
        std::thread::Builder::new()
            .name("requests".to_owned())
            .spawn(move || say.send(session.run()))?;
        let served = hear.recv();
        filesystem.stop();
        served.unwrap_or_else(|_| Err(io::Error::other("serving panicked")))
    }
}
