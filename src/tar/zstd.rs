//! A zstd stream: all of its frames, where the decoder's crate knows one.

use std::io::{self, BufRead, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// Frames one after the other; those that are to be skipped are (RFC 8878,
/// 3.1). Checksums, where there are any, must be right.
pub(super) struct Zstd<R> {
    source: R,
    frame: FrameDecoder,
    /// Whether a frame has begun.
    within: bool,
}

impl<R: BufRead> Zstd<R> {
    pub fn new(source: R) -> Self {
        Self {
            source,
            frame: FrameDecoder::new(),
            within: false,
        }
    }

    /// Begins the next frame; `false` when there is none.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.frame.reset(&mut self.source) {
                Ok(()) => {
                    self.within = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let mut skipped = (&mut self.source).take(length.into());
                    io::copy(&mut skipped, &mut io::sink())?;
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.within = false;
        match self.frame.get_checksum_from_data() {
            Some(wanted) if self.frame.get_calculated_checksum() != Some(wanted) => {
                Err(io::Error::other("zstd frame with a wrong checksum"))
            }
            _ => Ok(()),
        }
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.within && !self.begin()? {
                return Ok(0);
            }
            if self.frame.can_collect() != 0 {
                return self.frame.read(buffer);
            }
            if self.frame.is_finished() {
                self.finish()?;
            } else {
                self.frame
                    .decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(io::Error::other)?;
            }
        }
    }
}
