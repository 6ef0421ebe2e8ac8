//! Who is at the other end of a socket.

use std::io;
use std::os::unix::net::UnixStream;

/// The user who connected (unix(7), `SO_PEERCRED`).
///
/// # Errors
/// As getsockopt(2).
pub fn user(stream: &UnixStream) -> io::Result<u32> {
    Ok(rustix::net::sockopt::socket_peercred(stream)?.uid.as_raw())
}
