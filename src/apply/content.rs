//! Content: whether it is right, and putting it into a new file.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use crate::digest::{Algorithm, Digest};
use crate::manifest::Chunks;
use crate::source::SourceFile;
use crate::sys::{Stat, copy, file};
use crate::tree::{ContentHasher, Hashes, Wanted};
use crate::verify::Declared;

use super::Work;
use super::event::Cause;
use super::options::Mode;

/// How much is read at once, in bytes.
const STEP: usize = 1 << 20;
/// From this many bytes on, a part is written while it is hashed.
const PARALLEL_MIN: usize = 256 << 10;
/// Zeros are looked for in parts of this many bytes.
const ZEROS: usize = 64 << 10;

thread_local! {
    /// Taken while it is used: a thread that waits for another part of its work
    /// may take up some other file.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A file of the tree that has the content already.
#[derive(Debug)]
pub(super) struct InPlace(pub File);

impl SourceFile for InPlace {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        file::read_full_at(&self.0, buffer, offset)
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }
}

impl Work<'_> {
    /// Fills a new file with content that is hashed on the way; what is hashed
    /// is what was written, or what is then in the file.
    pub fn fill(
        &self,
        new: &File,
        from: &dyn SourceFile,
        declared: &Declared<'_>,
    ) -> Result<(), Cause> {
        let size = declared.size;
        if size == 0 {
            return self.check(
                &InPlace(new.try_clone().map_err(Cause::io("made"))?),
                declared,
            );
        }
        if self.copy_in_kernel(new, from, size)? {
            let copied = Stat::of(new).map_err(Cause::io("made"))?;
            if copied.size != size {
                return Err(Cause::Length { wanted: size });
            }
            // Nobody else can write to it, unlike to the source.
            let copied = new.try_clone().map_err(Cause::io("made"))?;
            return self.check(&InPlace(copied), declared);
        }
        let judge = Judge::new(declared, self.options.digests)?;
        self.read(from, size, judge.as_ref(), Some(new))?;
        self.report.count(|summary| summary.copied += size);
        Ok(())
    }

    /// Reads content, and compares it with what is declared.
    pub fn check(&self, from: &dyn SourceFile, declared: &Declared<'_>) -> Result<(), Cause> {
        match Judge::new(declared, self.options.digests)? {
            Some(judge) => self.read(from, declared.size, Some(&judge), None),
            None => Ok(()),
        }
    }

    /// `false` where the kernel cannot, and the content must be read.
    fn copy_in_kernel(&self, new: &File, from: &dyn SourceFile, size: u64) -> Result<bool, Cause> {
        let mode = self.options.mode;
        let Some(source) = from.as_fd() else {
            return match mode {
                Mode::Reflink => Err(Cause::NoFile),
                _ => Ok(false),
            };
        };
        if matches!(mode, Mode::Auto | Mode::Reflink)
            && (mode == Mode::Reflink || self.can_reflink())
        {
            match copy::reflink(source, new) {
                Ok(()) => {
                    self.report.count(|summary| summary.shared += size);
                    return Ok(true);
                }
                Err(error) if mode == Mode::Auto && copy::is_unsupported(&error) => {
                    self.cannot_reflink();
                }
                Err(error) => return Err(Cause::io("reflinked")(error)),
            }
        }
        // What is hashed has to be read anyway.
        if self.options.digests || mode == Mode::Copy {
            return Ok(false);
        }
        match copy::copy_range(source, new, size) {
            Ok(_) => {
                self.report.count(|summary| summary.copied += size);
                Ok(true)
            }
            Err(error) if copy::is_unsupported(&error) => Ok(false),
            Err(error) => Err(Cause::io("copied")(error)),
        }
    }

    /// Reads `size` bytes, hashes them and writes them, and judges what there
    /// was.
    fn read(
        &self,
        from: &dyn SourceFile,
        size: u64,
        judge: Option<&Judge>,
        to: Option<&File>,
    ) -> Result<(), Cause> {
        let mut buffer = BUFFER.take();
        let mut counted = 0;
        let read = self.read_parts(from, size, judge, to, &mut buffer, &mut counted);
        BUFFER.set(buffer);
        if read.is_err() {
            self.options.progress.take_back_bytes(counted);
        }
        read
    }

    fn read_parts(
        &self,
        from: &dyn SourceFile,
        size: u64,
        judge: Option<&Judge>,
        to: Option<&File>,
        buffer: &mut Vec<u8>,
        counted: &mut u64,
    ) -> Result<(), Cause> {
        let step = usize::try_from(size).unwrap_or(STEP).min(STEP);
        if buffer.len() < step {
            buffer.resize(step, 0);
        }
        let mut hasher = judge.map(Judge::hasher);
        let mut has_holes = false;
        let mut offset = 0;
        while offset < size {
            let left = usize::try_from(size - offset).unwrap_or(usize::MAX);
            let part = buffer.get_mut(..left.min(step)).unwrap_or_default();
            let count = from
                .read_at(part, offset)
                .map_err(Cause::io("read from the source"))?;
            if count != part.len() {
                return Err(Cause::Length { wanted: size });
            }
            let part = &*part;
            let mut hash = || {
                if let Some(hasher) = &mut hasher {
                    hasher.update(part);
                }
            };
            let write = || to.map_or(Ok(false), |to| write_part(to, part, offset));
            let written = if part.len() >= PARALLEL_MIN && judge.is_some() && to.is_some() {
                rayon::join(hash, write).1
            } else {
                hash();
                write()
            };
            has_holes |= written.map_err(Cause::io("written"))?;
            offset += count as u64;
            *counted = offset;
            self.options.progress.add_bytes(count as u64);
            if self.report.is_stopped() {
                return Err(Cause::Stopped);
            }
        }
        if let (Some(to), true) = (to, has_holes) {
            to.set_len(size).map_err(Cause::io("written"))?;
        }
        match (judge, hasher) {
            (Some(judge), Some(hasher)) => judge.judge(&hasher.finish()),
            _ => Ok(()),
        }
    }
}

/// Writes a part of a file but for its zeros, and tells whether there were any.
fn write_part(to: &File, part: &[u8], mut offset: u64) -> io::Result<bool> {
    let mut has_holes = false;
    if part.len() < ZEROS {
        to.write_all_at(part, offset)?;
        return Ok(false);
    }
    let is_zero = |piece: &[u8]| piece.len() == ZEROS && piece.iter().all(|byte| *byte == 0);
    let mut pieces = part.chunks(ZEROS).peekable();
    // Runs of pieces that have something are written at once.
    let mut rest = part;
    while let Some(piece) = pieces.next() {
        if is_zero(piece) {
            has_holes = true;
            rest = rest.get(piece.len()..).unwrap_or_default();
            offset += piece.len() as u64;
            continue;
        }
        let mut run = piece.len();
        while let Some(next) = pieces.next_if(|piece| !is_zero(piece)) {
            run += next.len();
        }
        let (now, later) = rest.split_at_checked(run).unwrap_or((rest, &[]));
        to.write_all_at(now, offset)?;
        offset += now.len() as u64;
        rest = later;
    }
    Ok(has_holes)
}

/// What the content must be.
#[derive(Debug)]
struct Judge {
    digests: Vec<Digest>,
    algorithms: Vec<Algorithm>,
    chunks: Option<(Algorithm, Chunks, Vec<u8>)>,
}

impl Judge {
    /// `None` where nothing is to be compared.
    fn new(declared: &Declared<'_>, digests: bool) -> Result<Option<Self>, Cause> {
        if !digests {
            return Ok(None);
        }
        let chunks = declared
            .chunks
            .map(|chunks| (chunks.algorithm, chunks.cut(), chunks.digests.to_vec()));
        if declared.whole.is_empty() && chunks.is_none() {
            // That there is nothing needs no digest.
            return match declared.size {
                0 => Ok(None),
                _ => Err(Cause::NoDigest),
            };
        }
        let digests: Vec<Digest> = declared.whole.iter().collect();
        let mut algorithms: Vec<_> = digests.iter().map(Digest::algorithm).collect();
        algorithms.dedup();
        Ok(Some(Self {
            digests,
            algorithms,
            chunks,
        }))
    }

    fn hasher(&self) -> ContentHasher<'_> {
        ContentHasher::new(&Wanted {
            algorithms: &self.algorithms,
            chunks: self
                .chunks
                .as_ref()
                .map(|(algorithm, cut, _)| (*algorithm, cut)),
        })
    }

    fn judge(&self, found: &Hashes) -> Result<(), Cause> {
        for wanted in &self.digests {
            let same = |one: &&Digest| one.algorithm() == wanted.algorithm();
            match found.digests.iter().find(same) {
                Some(found) if found == wanted => {}
                Some(found) => return Err(Cause::Digest(Box::new((*wanted, *found)))),
                None => return Err(Cause::NoDigest),
            }
        }
        match &self.chunks {
            Some((_, _, wanted)) if *wanted != found.chunks => Err(Cause::Chunks),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_become_holes_and_nothing_else_does() {
        let mut data = vec![0; 5 * ZEROS + 100];
        data[ZEROS] = 1;
        data[3 * ZEROS - 1] = 2;
        let to = tempfile::tempfile().unwrap();
        assert!(write_part(&to, &data, 0).unwrap());
        to.set_len(data.len() as u64).unwrap();
        let mut read = vec![9; data.len()];
        to.read_exact_at(&mut read, 0).unwrap();
        assert!(read == data);
        let to = tempfile::tempfile().unwrap();
        assert!(!write_part(&to, &[0; 100], 0).unwrap());
        assert_eq!(to.metadata().unwrap().len(), 100);
    }
}
