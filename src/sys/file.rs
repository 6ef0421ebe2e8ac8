//! Reading open files.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{Advice, OFlags};

/// Reads until `buffer` is full or the file ends, and tells how many bytes
/// there were.
///
/// # Errors
/// As pread(2), but for `EINTR`, after which it goes on.
pub fn read_full_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    read_to_end_at(file, buffer, offset, u64::MAX)
}

/// As [`read_full_at`], but does not ask whether anything follows once it has
/// come to byte `end`.
///
/// # Errors
/// As pread(2), but for `EINTR`, after which it goes on.
pub fn read_to_end_at(
    file: &File,
    mut buffer: &mut [u8],
    mut offset: u64,
    end: u64,
) -> io::Result<usize> {
    let mut done = 0;
    while !buffer.is_empty() {
        match file.read_at(buffer, offset) {
            Ok(0) => break,
            Ok(count) => {
                buffer = buffer.get_mut(count..).unwrap_or_default();
                offset = offset.saturating_add(count as u64);
                done += count;
                if offset == end {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Does it again for as long as a signal comes in between.
///
/// # Errors
/// Those of the operation, but for `EINTR`.
pub fn retry_on_interrupt<T>(mut operation: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match operation() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Whether a file that was opened with these flags of open(2) is read past the
/// page cache.
#[must_use]
pub const fn is_direct(flags: i32) -> bool {
    OFlags::from_bits_retain(flags.cast_unsigned()).contains(OFlags::DIRECT)
}

/// Opens a regular file for reading, past the page cache if that is wanted
/// (`O_DIRECT`). Where a link or a pipe has taken its place, nothing is followed, and
/// nobody waits.
///
/// # Errors
/// As open(2), and for what is no regular file.
pub fn open_regular(path: &Path, direct: bool) -> io::Result<File> {
    let mut flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    flags.set(OFlags::DIRECT, direct);
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    Ok(file)
}

/// Tells the kernel that the file will be read from its beginning to its end.
pub fn advise_sequential(file: &File) {
    // Only advice: what reads it works without.
    let _ = rustix::fs::fadvise(file, 0, None, Advice::Sequential);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_who_reads_past_the_page_cache() {
        let flags = |flags: OFlags| flags.bits().cast_signed();
        assert!(is_direct(flags(OFlags::RDONLY | OFlags::DIRECT)));
        assert!(!is_direct(flags(OFlags::RDONLY | OFlags::NONBLOCK)));
    }
}
