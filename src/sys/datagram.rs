//! Sockets between two of our processes: each message arrives whole, once, and
//! in order, with the descriptors that were sent along (unix(7),
//! `SOCK_SEQPACKET`).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

/// How many descriptors one message can bring.
pub const DESCRIPTORS_MAX: usize = 4;

/// Two ends that are connected.
///
/// # Errors
/// As socketpair(2).
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Sends one message. That nobody is there is an error and no signal.
///
/// # Errors
/// As sendmsg(2): `EPIPE` when the other end is closed.
pub fn send(socket: impl AsFd, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors for one message"));
    }
    let message = [IoSlice::new(message)];
    rustix::io::retry_on_intr(|| {
        rustix::net::sendmsg(&socket, &message, &mut control, SendFlags::NOSIGNAL)
    })?;
    Ok(())
}

/// Waits for a message of up to `max` bytes. Nothing at all when the other end
/// is closed.
///
/// # Errors
/// As recvmsg(2); `InvalidData` for a longer message.
pub fn receive(socket: impl AsFd, max: usize) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    // One more, to see that it is longer.
    let mut message = vec![0; max.saturating_add(1)];
    let received = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(
            &socket,
            &mut [IoSliceMut::new(&mut message)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )
    })?;
    let descriptors = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    if received.bytes == 0 {
        return Ok(None);
    }
    if received.bytes > max {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a message is too long",
        ));
    }
    message.truncate(received.bytes);
    Ok(Some((message, descriptors)))
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs::File;
    use std::io::{Read, Seek, Write};

    #[test]
    fn messages_and_descriptors_arrive() {
        let (ours, theirs) = pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"content").unwrap();
        file.rewind().unwrap();
        send(&ours, b"first", &[file.as_fd()]).unwrap();
        send(&ours, b"second", &[]).unwrap();
        let (message, mut descriptors) = receive(&theirs, 5).unwrap().unwrap();
        assert_eq!((&*message, descriptors.len()), (&b"first"[..], 1));
        let mut content = String::new();
        let mut received = File::from(descriptors.pop().unwrap());
        received.read_to_string(&mut content).unwrap();
        assert_eq!(content, "content");
        let error = receive(&theirs, 5).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        drop(ours);
        assert!(receive(&theirs, 5).unwrap().is_none());
        let error = send(&theirs, b"x", &[]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
