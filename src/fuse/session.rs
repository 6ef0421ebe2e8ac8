//! Serving requests that come through a descriptor.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};

use crate::fs::Filesystem;

use super::adapter::Adapter;
use super::pusher::Pusher;
use super::requests::Requests;

/// A connection to the kernel that has been made and not been served yet.
#[derive(Debug)]
pub struct Session {
    session: fuser::Session<Adapter>,
    requests: Arc<Requests>,
}

impl Session {
    /// How many threads take requests. They also do small reads, all but two of
    /// them; what is slow is done by others.
    pub const REQUEST_THREADS: usize = 4;

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
        let adapter = Adapter::new(
            Arc::clone(&filesystem),
            Arc::clone(&pusher),
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
            filesystem,
            known,
            pushers,
        )?);
        Ok(Self { session, requests })
    }

    /// How many requests have come.
    #[must_use]
    pub fn requests(&self) -> Arc<Requests> {
        Arc::clone(&self.requests)
    }

    /// Serves until the filesystem is gone.
    ///
    /// # Errors
    /// When the connection fails in another way.
    pub fn serve(self) -> io::Result<()> {
        self.session.run()
    }
}
