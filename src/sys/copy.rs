//! Copying files inside of the kernel.

use std::io;
use std::os::fd::AsFd;

use rustix::io::Errno;

/// How much one call is asked to copy, in bytes; it can be interrupted between.
const STEP: usize = 16 << 20;

/// Makes `to` share the blocks of `from`, all of it.
///
/// # Errors
/// As ioctl_ficlone(2); see [`is_unsupported`].
pub fn reflink(from: impl AsFd, to: impl AsFd) -> io::Result<()> {
    Ok(rustix::fs::ioctl_ficlone(to, from)?)
}

/// Copies up to `length` bytes to the beginning of `to`, and tells how many
/// there were.
///
/// # Errors
/// As copy_file_range(2); see [`is_unsupported`].
pub fn copy_range(from: impl AsFd, to: impl AsFd, length: u64) -> io::Result<u64> {
    let (mut read, mut written) = (0, 0);
    while written < length {
        let left = usize::try_from(length - written).unwrap_or(STEP);
        let step = left.min(STEP);
        match rustix::fs::copy_file_range(&from, Some(&mut read), &to, Some(&mut written), step) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(written)
}

/// Whether an error says that the kernel cannot copy like this here, and not
/// that copying failed.
#[must_use]
pub fn is_unsupported(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::NOSYS
                | Errno::PERM
                | Errno::XDEV
                | Errno::OPNOTSUPP
                | Errno::INVAL
                | Errno::NOTTY
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, Write};

    #[test]
    fn copies_as_much_as_there_is() {
        let mut from = tempfile::tempfile().unwrap();
        let mut to = tempfile::tempfile().unwrap();
        from.write_all(b"12345").unwrap();
        match copy_range(&from, &to, 9) {
            Ok(count) => {
                assert_eq!(count, 5);
                let mut copied = String::new();
                to.rewind().unwrap();
                to.read_to_string(&mut copied).unwrap();
                assert_eq!(copied, "12345");
            }
            Err(error) => assert!(is_unsupported(&error), "{error}"),
        }
    }
}
