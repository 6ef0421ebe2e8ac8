//! Descriptors as such: what they lead to, and what can be read from them.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::DupFlags;

/// Lets a descriptor lead to where another one does, from now on and for
/// everybody who has it (dup2(2)).
///
/// # Errors
/// As dup3(2).
#[allow(
    unsafe_code,
    reason = "the number of a descriptor that somebody else owns"
)]
pub fn redirect(descriptor: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the descriptor is open, for it is borrowed. The second owner that
    // is made here never closes it, and is gone before the loan ends.
    let second = unsafe { OwnedFd::from_raw_fd(descriptor.as_raw_fd()) };
    let mut second = ManuallyDrop::new(second);
    Ok(rustix::io::dup3(to, &mut second, DupFlags::CLOEXEC)?)
}

/// `/dev/fuse` (Linux, Documentation/admin-guide/devices.txt).
const FUSE_DEVICE: (u32, u32) = (10, 229);

/// A descriptor that this process was given when it was started, by its number. It
/// goes to no other program from here. To be called once for each number, and only
/// for those of which whoever started this process has said that they are there.
///
/// # Errors
/// `EBADF` when it is not open under this number.
#[allow(
    unsafe_code,
    reason = "whoever started this process owns nothing in it"
)]
pub fn inherited(number: i32) -> io::Result<OwnedFd> {
    if number <= 2 || std::fs::metadata(format!("/proc/self/fd/{number}")).is_err() {
        return Err(rustix::io::Errno::BADF.into());
    }
    // SAFETY: it is open, and it was before anything was opened here.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::CLOEXEC)?;
    Ok(descriptor)
}

/// The same for an open FUSE device. To be called before one is opened here.
///
/// # Errors
/// `EBADF` when none is open under this number.
pub fn inherited_fuse_device(number: i32) -> io::Result<OwnedFd> {
    // Looked at first: what is something else stays open, and is its owner's.
    match std::fs::metadata(format!("/proc/self/fd/{number}")) {
        Ok(found) if found.rdev() == fuse_device() => inherited(number),
        _ => Err(rustix::io::Errno::BADF.into()),
    }
}

/// Whether a descriptor leads to a FUSE device.
///
/// # Errors
/// As fstat(2).
pub fn is_fuse_device(descriptor: impl AsFd) -> io::Result<bool> {
    Ok(rustix::fs::fstat(descriptor)?.st_rdev == fuse_device())
}

fn fuse_device() -> u64 {
    rustix::fs::makedev(FUSE_DEVICE.0, FUSE_DEVICE.1)
}

/// The device and the inode number of what a descriptor leads to.
///
/// # Errors
/// As fstat(2).
pub fn file_number(descriptor: impl AsFd) -> io::Result<(u64, u64)> {
    let found = rustix::fs::fstat(descriptor)?;
    Ok((found.st_dev, found.st_ino))
}

/// What can be said of a descriptor at a moment (poll(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Nothing to read.
    Nothing,
    /// Something to read.
    Readable,
    /// What it led to is gone (`POLLERR`, `POLLHUP`).
    Gone,
}

/// Waits until there is something to read, for as long as `timeout` at the most.
///
/// # Errors
/// As poll(2).
pub fn wait_readable(descriptor: impl AsFd, timeout: Duration) -> io::Result<Readiness> {
    let timeout = Timespec::try_from(timeout).unwrap_or_default();
    let mut polled = [PollFd::new(&descriptor, PollFlags::IN)];
    match poll(&mut polled, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let [polled] = polled;
    let found = polled.revents();
    Ok(if found.contains(PollFlags::IN) {
        Readiness::Readable
    } else if found.is_empty() {
        Readiness::Nothing
    } else {
        Readiness::Gone
    })
}

/// Lets reading from whatever a descriptor leads to wait or not, for everybody
/// who has it.
///
/// # Errors
/// As ioctl(2) with `FIONBIO`.
pub fn set_nonblocking(descriptor: impl AsFd, nonblocking: bool) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(descriptor, nonblocking)?)
}

/// Copies what can be read from a file into memory that nobody can change any
/// more (memfd_create(2)), if it is no regular file and could not be read again.
/// Reads `max` bytes and one more at the most.
///
/// # Errors
/// As read(2) and memfd_create(2).
pub fn keep(file: File, max: u64) -> io::Result<File> {
    use std::io::Read;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    let mut kept = memory("manifest")?;
    io::copy(&mut file.take(max.saturating_add(1)), &mut kept)?;
    seal(&kept)?;
    Ok(kept)
}

/// A file that lies in memory alone (memfd_create(2)).
///
/// # Errors
/// As memfd_create(2).
pub fn memory(name: &str) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    Ok(File::from(rustix::fs::memfd_create(name, flags)?))
}

/// From now on nobody can change a file of [`memory`].
///
/// # Errors
/// As fcntl(2).
pub fn seal(file: &File) -> io::Result<()> {
    let seals = SealFlags::SEAL | SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK;
    Ok(rustix::fs::fcntl_add_seals(file, seals)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::io::Write;
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_number_leads_elsewhere() {
        let (first, second) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        second.write_all_at(b"second", 0).unwrap();
        redirect(first.as_fd(), second.as_fd()).unwrap();
        drop(second);
        let mut content = [0; 6];
        first.read_exact_at(&mut content, 0).unwrap();
        assert_eq!(&content, b"second");
    }

    #[test]
    fn tells_what_can_be_read() {
        let (read, mut write) = io::pipe().unwrap();
        let now = Duration::ZERO;
        assert_eq!(wait_readable(&read, now).unwrap(), Readiness::Nothing);
        write.write_all(b"x").unwrap();
        assert_eq!(wait_readable(&read, now).unwrap(), Readiness::Readable);
        let (read, write) = io::pipe().unwrap();
        drop(write);
        assert_eq!(wait_readable(&read, now).unwrap(), Readiness::Gone);
    }

    #[test]
    fn what_comes_once_is_kept() {
        let (read, mut write) = io::pipe().unwrap();
        write.write_all(b"manifest").unwrap();
        drop(write);
        let kept = keep(File::from(OwnedFd::from(read)), 3).unwrap();
        for _ in 0..2 {
            let mut content = [0; 4];
            kept.read_exact_at(&mut content, 0).unwrap();
            assert_eq!(&content, b"mani");
        }
        assert_eq!(kept.metadata().unwrap().len(), 4);
        assert!(kept.write_all_at(b"x", 0).is_err());
    }
}
