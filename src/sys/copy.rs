//! Copying files inside of the kernel.

use std::io;
use std::ops::Range;
use std::os::fd::AsFd;

use rustix::fs::SeekFrom;
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

/// Copies what is not a hole in the first `length` bytes to the same places in
/// `to`, and tells how many bytes that were. What follows the last of them is
/// left to the caller.
///
/// # Errors
/// As copy_file_range(2); see [`is_unsupported`].
pub fn copy_range(from: impl AsFd, to: impl AsFd, length: u64) -> io::Result<u64> {
    let (mut copied, mut next) = (0, 0);
    while let Some(data) = next_data(&from, next, length)? {
        let (mut read, mut written) = (data.start, data.start);
        while written < data.end {
            let left = usize::try_from(data.end - written).unwrap_or(STEP);
            let step = left.min(STEP);
            match rustix::fs::copy_file_range(&from, Some(&mut read), &to, Some(&mut written), step)
            {
                // It became shorter.
                Ok(0) => return Ok(copied),
                Ok(count) => copied += count as u64,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        next = data.end;
    }
    Ok(copied)
}

/// Where the next bytes from `offset` on are that are not a hole, before byte
/// `end`. Filesystems that know of no holes have none (lseek(2), `SEEK_DATA`).
///
/// # Errors
/// As lseek(2).
pub fn next_data(file: impl AsFd, offset: u64, end: u64) -> io::Result<Option<Range<u64>>> {
    if offset >= end {
        return Ok(None);
    }
    let begin = match rustix::fs::seek(&file, SeekFrom::Data(offset)) {
        Ok(begin) if begin < end => begin,
        // Only a hole is left, or it ends before.
        Ok(_) | Err(Errno::NXIO) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let hole = match rustix::fs::seek(&file, SeekFrom::Hole(begin)) {
        // There was data there just now: it became shorter.
        Err(Errno::NXIO) => return Ok(None),
        hole => hole?,
    };
    Ok(Some(begin..hole.min(end)))
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

    #[test]
    fn holes_are_passed_over() {
        let mut file = tempfile::tempfile().unwrap();
        file.set_len(1 << 40).unwrap();
        file.seek(io::SeekFrom::Start(1 << 30)).unwrap();
        file.write_all(b"12345").unwrap();
        let first = next_data(&file, 0, 1 << 40).unwrap().unwrap();
        assert!(first.contains(&(1 << 30)) && first.end < (1 << 30) + (1 << 20));
        assert_eq!(next_data(&file, first.end, 1 << 40).unwrap(), None);
        assert_eq!(next_data(&file, 0, first.start).unwrap(), None);
        assert_eq!(next_data(&file, 1 << 50, 1 << 51).unwrap(), None);
    }
}
