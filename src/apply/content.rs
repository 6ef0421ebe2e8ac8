//! Content: whether it is right, and putting it into a new file.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use crate::inode::Inode;
use crate::source::{ContentRef, SourceFile};
use crate::sys::{Stat, copy, file};
use crate::verify::Declared;

use super::Work;
use super::event::Cause;
use super::judge::Judge;
use super::options::{Evidence, Mode};

/// How much is read at once, in bytes.
const STEP: usize = 1 << 20;
/// From this many bytes on, a part is written while it is hashed.
const PARALLEL_MIN: usize = 256 << 10;
/// Zeros are looked for in parts of this many bytes.
const ZEROS: usize = 64 << 10;
/// Smaller files are read as a whole, whatever holes they have.
const HOLES_MIN: u64 = ZEROS as u64;

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
    /// Fills a new file with content, and judges it: what is hashed is what was
    /// written, or what is then in the file.
    pub fn fill(
        &self,
        new: &File,
        from: &dyn SourceFile,
        declared: &Declared<'_>,
    ) -> Result<(), Cause> {
        let judge = Judge::new(declared, self.options)?;
        let filled = self.fill_and_hash(new, from, declared.size, judge.as_ref());
        // If it changed, that tells more than whatever came of it.
        self.vouch(from)?;
        filled
    }

    fn fill_and_hash(
        &self,
        new: &File,
        from: &dyn SourceFile,
        size: u64,
        judge: Option<&Judge<'_>>,
    ) -> Result<(), Cause> {
        if size != 0 && self.copy_in_kernel(new, from, size, judge.is_some())? {
            let copied = Stat::of(new).map_err(Cause::io("made"))?;
            if copied.size != size {
                return Err(Cause::Length { wanted: size });
            }
            if judge.is_none() {
                return Ok(());
            }
            // Nobody else can write to it, unlike to the source.
            let copied = new.try_clone().map_err(Cause::io("made"))?;
            return self.read(&InPlace(copied), size, judge, None);
        }
        self.read(from, size, judge, Some(new))?;
        self.report.count(|summary| summary.copied += size);
        Ok(())
    }

    /// Judges content of the source.
    pub fn check(&self, from: &dyn SourceFile, declared: &Declared<'_>) -> Result<(), Cause> {
        let judge = Judge::new(declared, self.options)?;
        if judge.is_some() {
            self.read(from, declared.size, judge.as_ref(), None)?;
        }
        self.vouch(from)
    }

    /// Whether a file that is there has the right content.
    pub fn has_content(
        &self,
        file: &InPlace,
        inode: Inode<'_>,
        declared: &Declared<'_>,
    ) -> Result<bool, Cause> {
        let judge = Judge::new(declared, self.options)?;
        let size = declared.size;
        if let (Evidence::Source(_), true, Some(source)) =
            (&self.options.evidence, self.options.digests, self.source)
        {
            let from = source.open(&ContentRef {
                path: &inode.path(),
                size,
                digests: &[],
            })?;
            let same = self.is_same(file, &*from, size, judge.as_ref());
            self.vouch(&*from)?;
            return same;
        }
        if judge.is_none() {
            return Ok(true);
        }
        match self.read(file, size, judge.as_ref(), None) {
            Ok(()) => Ok(true),
            Err(Cause::Digest(_) | Cause::Chunks | Cause::Length { .. })
                if self.source.is_some() =>
            {
                Ok(false)
            }
            Err(cause) => Err(cause),
        }
    }

    /// Lets the source vouch for what was read, where nothing else does.
    fn vouch(&self, from: &dyn SourceFile) -> Result<(), Cause> {
        match self.options.evidence {
            Evidence::Digests => Ok(()),
            Evidence::Source(_) => Ok(from.vouch()?),
        }
    }

    /// `false` where the kernel cannot, and the content must be read.
    fn copy_in_kernel(
        &self,
        new: &File,
        from: &dyn SourceFile,
        size: u64,
        is_hashed: bool,
    ) -> Result<bool, Cause> {
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
        // What is hashed has to be read anyway, and little is read sooner than
        // holes are asked for.
        if is_hashed || mode == Mode::Copy || size < HOLES_MIN {
            return Ok(false);
        }
        let copied = copy::copy_range(source, new, size).and_then(|_| {
            // Whatever is left is a hole, unless the source became shorter.
            new.set_len(size.min(Stat::of(source)?.size))
        });
        match copied {
            Ok(()) => {
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
        judge: Option<&Judge<'_>>,
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
        judge: Option<&Judge<'_>>,
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
        let mut data_end = 0;
        while offset < size {
            // Holes are read only where they are hashed.
            if hasher.is_none()
                && size >= HOLES_MIN
                && offset >= data_end
                && let (Some(source), Some(_)) = (from.as_fd(), to)
            {
                let data = copy::next_data(source, offset, size);
                let data = data.map_err(Cause::io("read from the source"))?;
                let next = data.as_ref().map_or(size, |data| data.start);
                has_holes |= next > offset;
                self.options.progress.add_bytes(next - offset);
                *counted += next - offset;
                (offset, data_end) = (next, data.map_or(size, |data| data.end));
                continue;
            }
            let end = if data_end > offset { data_end } else { size };
            let left = usize::try_from(end - offset).unwrap_or(usize::MAX);
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
            *counted += count as u64;
            self.options.progress.add_bytes(count as u64);
            if self.report.is_stopped() {
                return Err(Cause::Stopped);
            }
        }
        if let (Some(to), true) = (to, has_holes) {
            to.set_len(size).map_err(Cause::io("written"))?;
        }
        match (judge, hasher) {
            (Some(judge), Some(hasher)) => judge.judge(hasher.finish()),
            _ => Ok(()),
        }
    }

    /// Whether a file has the content of another, byte for byte.
    fn is_same(
        &self,
        ours: &InPlace,
        from: &dyn SourceFile,
        size: u64,
        judge: Option<&Judge<'_>>,
    ) -> Result<bool, Cause> {
        let step = usize::try_from(size).unwrap_or(STEP).min(STEP);
        let mut buffer = BUFFER.take();
        buffer.resize(buffer.len().max(2 * step), 0);
        let mut hasher = judge.map(Judge::hasher);
        let mut counted = 0;
        let mut compare = || {
            let (one, two) = buffer.split_at_mut(step);
            while counted < size {
                if hasher.is_none() && size >= HOLES_MIN {
                    // What is a hole in both is the same.
                    let next = next_data(ours, counted, size)?;
                    let next = next.min(next_data(from, counted, size)?);
                    self.options.progress.add_bytes(next - counted);
                    counted = next;
                }
                let left = usize::try_from(size - counted).unwrap_or(usize::MAX);
                let one = one.get_mut(..left.min(step)).unwrap_or_default();
                let two = two.get_mut(..left.min(step)).unwrap_or_default();
                let found = ours.read_at(one, counted).map_err(Cause::io("read"))?;
                let wanted = from
                    .read_at(two, counted)
                    .map_err(Cause::io("read from the source"))?;
                if found != one.len() || wanted != two.len() || one != two {
                    return Ok(false);
                }
                if let Some(hasher) = &mut hasher {
                    hasher.update(one);
                }
                counted += found as u64;
                self.options.progress.add_bytes(found as u64);
                if self.report.is_stopped() {
                    return Err(Cause::Stopped);
                }
            }
            Ok(true)
        };
        let same = compare();
        BUFFER.set(buffer);
        if !matches!(same, Ok(true)) {
            self.options.progress.take_back_bytes(counted);
        } else if let (Some(judge), Some(hasher)) = (judge, hasher) {
            judge.judge(hasher.finish())?;
        }
        same
    }
}

/// Where the next byte is that may be other than zero; at `size` if there is none.
fn next_data(file: &dyn SourceFile, offset: u64, size: u64) -> Result<u64, Cause> {
    let Some(file) = file.as_fd() else {
        return Ok(offset);
    };
    let data = copy::next_data(file, offset, size).map_err(Cause::io("read"))?;
    Ok(data.map_or(size, |data| data.start))
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
