//! Whoever manages this program as a service, and wants to know how it is
//! (sd_notify(3)), and keeps what is to outlive it (`FDSTORE=1`).
//!
//! Only `continuity mount` tells: what runs the mount helper is another service,
//! which has a state of its own.

use std::ffi::OsString;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;

use crate::supervisor::{KEPT_NAMES, Keeper};
use crate::sys::datagram;

/// Where systemd says which socket it reads.
const SOCKET: &str = "NOTIFY_SOCKET";

/// Who is told, if anybody is.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Service(Option<Arc<UnixDatagram>>);

impl Service {
    /// Whoever has started this program, if that is a service.
    pub(in crate::cli) fn of_environment() -> Self {
        let Some(name) = std::env::var_os(SOCKET) else {
            return Self::default();
        };
        match connect(name) {
            Ok(socket) => Self(Some(Arc::new(socket))),
            Err(error) => {
                log::warn!("event=service_off error={:?}", error.to_string());
                Self::default()
            }
        }
    }

    /// Says that it is mounted, and which process looks after it.
    pub(super) fn ready(&self) {
        let pid = std::process::id();
        self.tell(&format!("READY=1\nMAINPID={pid}\nSTATUS=mounted"));
    }

    /// Says that it is going to end.
    pub(super) fn stops(&self, status: &str) {
        self.tell(&format!("STOPPING=1\nSTATUS={status}"));
    }

    /// Whether there is anybody who could keep something.
    pub(super) const fn is_there(&self) -> bool {
        self.0.is_some()
    }

    fn tell(&self, state: &str) {
        self.send(state, &[]);
    }

    fn send(&self, state: &str, descriptors: &[BorrowedFd<'_>]) {
        let Some(socket) = &self.0 else {
            return;
        };
        if let Err(error) = datagram::send(socket, state.as_bytes(), descriptors) {
            log::warn!("event=service_off error={:?}", error.to_string());
        }
    }
}

impl Keeper for Service {
    fn keep(&self, kept: &[(&'static str, BorrowedFd<'_>)]) {
        for (name, descriptor) in kept {
            self.send(&format!("FDSTORE=1\nFDNAME={name}"), &[*descriptor]);
        }
    }

    fn forget(&self) {
        for name in KEPT_NAMES {
            self.tell(&format!("FDSTOREREMOVE=1\nFDNAME={name}"));
        }
    }
}

/// A name that begins with `@` is one of the abstract ones (unix(7)).
fn connect(name: OsString) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes().split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    // Nobody who is not read holds up a mount.
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_be_a_path_or_none() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("socket");
        let abstract_name = format!("continuity-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        let read = [
            (UnixDatagram::bind(&path).unwrap(), path.into_os_string()),
            (
                UnixDatagram::bind_addr(&address).unwrap(),
                format!("@{abstract_name}").into(),
            ),
        ];
        for (reader, name) in read {
            let service = Service(Some(Arc::new(connect(name).unwrap())));
            service.stops("x");
            let mut message = [0; 64];
            let count = reader.recv(&mut message).unwrap();
            assert_eq!(message.get(..count), Some(&b"STOPPING=1\nSTATUS=x"[..]));
            drop(reader);
            // Whoever is gone is not told.
            service.ready();
        }
        assert!(connect("/missing".into()).is_err());
        Service::default().ready();
    }
}
