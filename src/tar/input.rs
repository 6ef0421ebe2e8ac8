//! The bytes of an archive: from a pipe, from a file, compressed or not.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

use super::zstd::Zstd;

/// Bytes that are read in order, of which some may be left out.
pub trait Input: Read {
    /// Leaves out so many bytes. That there are so many shows when the next
    /// one is read.
    ///
    /// # Errors
    /// As for reading.
    fn skip(&mut self, count: u64) -> io::Result<()>;
}

/// Large enough that a system call for each costs nothing.
const BUFFER_SIZE: usize = 128 << 10;

/// An archive that comes once, from its beginning to its end.
#[allow(missing_debug_implementations, reason = "decoders have none")]
pub struct Stream<'a>(Box<dyn BufRead + 'a>);

impl<'a> Stream<'a> {
    /// Reads what `compressed` holds: by its first bytes it is gzip, zstd, xz or
    /// bzip2; anything else is taken as it is.
    ///
    /// None of them takes more memory than its format's usual limits, whatever
    /// the input says: 128 MiB for zstd, 256 MiB for xz.
    ///
    /// # Errors
    /// As for reading.
    pub fn open(compressed: impl Read + 'a) -> io::Result<Self> {
        let mut reader = BufReader::with_capacity(BUFFER_SIZE, compressed);
        let decoded: Box<dyn Read + 'a> = match Packing::of(fill(&mut reader)?) {
            Some(Packing::Gzip) => Box::new(MultiGzDecoder::new(reader)),
            Some(Packing::Xz) => Box::new(XzReader::new_mem_limit(reader, true, XZ_MEMORY_KIB)),
            Some(Packing::Zstd) => Box::new(Zstd::new(reader)),
            Some(Packing::Bzip2) => Box::new(MultiBzDecoder::new(reader)),
            None => return Ok(Self(Box::new(reader))),
        };
        Ok(Self(Box::new(BufReader::with_capacity(
            BUFFER_SIZE,
            decoded,
        ))))
    }
}

impl Stream<'_> {
    /// How many bytes tell whether an archive is packed.
    pub const START: usize = 6;

    /// Whether an archive that begins so is packed.
    #[must_use]
    pub fn is_packed(start: &[u8]) -> bool {
        Packing::of(start).is_some()
    }
}

/// How an archive is packed.
enum Packing {
    Gzip,
    Xz,
    Zstd,
    Bzip2,
}

impl Packing {
    /// By its first bytes.
    const fn of(start: &[u8]) -> Option<Self> {
        Some(match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            // A frame, or one that is to be skipped.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            _ => return None,
        })
    }
}

const XZ_MEMORY_KIB: u32 = 256 << 10;

/// The first bytes, for a pipe may give one at a time: as many as there are at
/// the first read, which is enough unless somebody types them.
fn fill(reader: &mut impl BufRead) -> io::Result<&[u8]> {
    loop {
        match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(_) => break,
        }
    }
    reader.fill_buf()
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Input for Stream<'_> {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        io::copy(&mut (&mut self.0).take(count), &mut io::sink())?;
        Ok(())
    }
}

/// An archive in a file, whose content need not be read to be left out.
#[derive(Debug)]
pub struct Seekable(BufReader<File>);

impl Seekable {
    /// Reads a file that is not compressed.
    #[must_use]
    pub fn new(file: File) -> Self {
        Self(BufReader::with_capacity(4 << 10, file))
    }
}

impl Read for Seekable {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Input for Seekable {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        let count = i64::try_from(count).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        self.0.seek_relative(count)
    }
}
