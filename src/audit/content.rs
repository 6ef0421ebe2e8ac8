//! Reading a file to its end.

use std::io::{self, Read};
use std::path::Path;

use crate::sys::file;
use crate::sys::{Errno, Stat};

/// How much is read at once, in bytes: as much as the kernel asks a mount for.
const STEP: usize = 1 << 20;
/// What is read past the page cache goes straight into our pages; where it begins
/// within one, a request of the kernel has one page less.
const PAGE: usize = 4096;

/// Reads files, one after the other.
pub(super) struct Reader {
    buffer: Vec<u8>,
    cached: bool,
}

impl Reader {
    pub(super) fn new(cached: bool) -> Self {
        Self {
            buffer: vec![0; STEP + PAGE],
            cached,
        }
    }

    /// Reads all of a file, which has to be a regular one on this filesystem, and
    /// tells how long it is; `count` hears of each piece.
    pub(super) fn read(
        &mut self,
        path: &Path,
        device: u64,
        count: &mut impl FnMut(u64),
    ) -> io::Result<u64> {
        match self.read_by(path, !self.cached, device, count) {
            // A private copy may lie where nothing can be read in this way.
            Err(error) if is_unsupported(&error) && !self.cached => {
                self.read_by(path, false, device, count)
            }
            read => read,
        }
    }

    fn read_by(
        &mut self,
        path: &Path,
        direct: bool,
        device: u64,
        count: &mut impl FnMut(u64),
    ) -> io::Result<u64> {
        let mut file = file::open_regular(path, direct)?;
        if Stat::of(&file)?.device != device {
            return Err(io::Error::other("something else is mounted there"));
        }
        let begin = self.buffer.as_ptr().align_offset(PAGE).min(PAGE);
        let room = self.buffer.get_mut(begin..begin + STEP).unwrap_or_default();
        let mut length = 0_u64;
        loop {
            let done = file::retry_on_interrupt(|| file.read(room))?;
            if done == 0 {
                return Ok(length);
            }
            length = length.saturating_add(done as u64);
            count(done as u64);
        }
    }
}

/// That `O_DIRECT` is not to be had, which open(2) says, or the first read(2).
fn is_unsupported(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::INVAL)
}
