//! Who is at the other end of a socket.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// The user who connected (unix(7), `SO_PEERCRED`).
///
/// # Errors
/// As getsockopt(2).
pub fn user(stream: &UnixStream) -> io::Result<u32> {
    Ok(rustix::net::sockopt::socket_peercred(stream)?.uid.as_raw())
}

/// Whether nobody listens any more at the socket in this place (connect(2)).
///
/// # Errors
/// As socket(2), or for a path that is too long for a socket.
pub fn is_left(path: &Path) -> io::Result<bool> {
    // Somebody who does not answer is somebody.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let address = SocketAddrUnix::new(path)?;
    Ok(rustix::net::connect(&socket, &address) == Err(Errno::CONNREFUSED))
}
