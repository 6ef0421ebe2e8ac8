//! The device by which FUSE filesystems are served, and which of them a descriptor of
//! it is for.

use std::fmt::Display;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

pub(super) const PATH: &str = "/dev/fuse";

/// Opens it.
///
/// # Errors
/// As open(2): `ENOENT` without the kernel's module, `EACCES` without the
/// right to it.
pub fn open() -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    Ok(rustix::fs::open(PATH, flags, Mode::empty())?)
}

/// The number of the connection that a descriptor of a process is for: the minor one of
/// the filesystem's device. Nothing if it is for none, and on kernels that do not tell
/// (the field `fuse_connection` in `/proc/PID/fdinfo/N`; seen on Linux 6.18).
///
/// # Errors
/// When it cannot be seen.
pub(super) fn connection(process: &Path, descriptor: impl Display) -> io::Result<Option<u32>> {
    let told = process.join("fdinfo").join(descriptor.to_string());
    Ok(connection_in(&fs::read_to_string(told)?))
}

fn connection_in(told: &str) -> Option<u32> {
    let mut lines = told.lines();
    let number = lines.find_map(|line| line.strip_prefix("fuse_connection:"))?;
    number.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_known_by_its_number() {
        let told = "pos:\t0\nflags:\t02100002\nfuse_connection:\t41\n";
        assert_eq!(connection_in(told), Some(41));
        // Linux before it said so.
        assert_eq!(connection_in("pos:\t0\nflags:\t02100002\n"), None);
    }
}
