//! Content that is read and checked on several threads before it is written.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, Scope};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::inode::InodeTable;
use crate::manifest::{Kind, Resource};
use crate::verify::{Verifier, VerifyError};

/// How much of a large file is checked at once, in bytes; as large as a chunk that
/// `build` makes.
const STEP: u32 = 1 << 20;
/// Up to this size, in bytes, a file is read as a whole: for a verifier that is to
/// check it so, since otherwise a file without a chunk table is read twice. Larger
/// ones have chunk tables, if `build` made the manifest.
pub const WHOLE_MAX: u64 = 4 << 20;
/// How many small files are read by one thread before it takes others, unless they
/// have [`STEP`] bytes.
const FILES: usize = 64;
/// How much may wait to be written: so many times what a thread takes at once.
const AHEAD: usize = 8;

/// A part of a file.
struct Part<'a> {
    resource: &'a Resource,
    offset: u64,
    size: u32,
}

/// Parts of files that one thread reads.
type Unit<'a> = Vec<Part<'a>>;

/// What came of them: all up to the first that was refused.
type Read = (Vec<Bytes>, Option<VerifyError>);

/// What is still to be read, and where it will be taken from in this order.
struct Line<I> {
    units: I,
    give: SyncSender<Receiver<Read>>,
}

/// The parts of all files in their order.
pub(super) struct Content {
    units: Receiver<Receiver<Read>>,
    parts: std::vec::IntoIter<Bytes>,
    refused: Option<VerifyError>,
}

/// Begins to read the content of these files, on so many threads; it ends when all
/// was read, something is refused, or nobody takes it any more.
pub(super) fn read_ahead<'scope, 'env: 'scope>(
    scope: &'scope Scope<'scope, 'env>,
    files: impl Iterator<Item = &'env Resource> + Send + 'scope,
    table: &'env InodeTable,
    verifier: &'env Verifier,
    jobs: usize,
) -> io::Result<Content> {
    let (give, units) = sync_channel(AHEAD);
    let line = Line {
        units: Units(files.flat_map(parts).peekable()),
        give,
    };
    let line = Arc::new(Mutex::new(line));
    let jobs = match NonZeroUsize::new(jobs) {
        Some(jobs) => jobs.get(),
        None => thread::available_parallelism().map_or(1, usize::from),
    };
    for _ in 0..jobs {
        let line = Arc::clone(&line);
        thread::Builder::new().spawn_scoped(scope, move || {
            while let Some((unit, give)) = next(&line) {
                let read = read(&unit, table, verifier);
                let is_refused = read.1.is_some();
                if give.send(read).is_err() || is_refused {
                    return;
                }
            }
        })?;
    }
    Ok(Content {
        units,
        parts: Vec::new().into_iter(),
        refused: None,
    })
}

/// The next unit, and where it is to be given; it has its place in the order then.
fn next<'a>(
    line: &Mutex<Line<impl Iterator<Item = Unit<'a>>>>,
) -> Option<(Unit<'a>, SyncSender<Read>)> {
    let mut line = line.lock();
    let unit = line.units.next()?;
    let (give, take) = sync_channel(1);
    line.give.send(take).ok()?;
    Some((unit, give))
}

fn read(unit: &Unit<'_>, table: &InodeTable, verifier: &Verifier) -> Read {
    let mut read = Vec::with_capacity(unit.len());
    for part in unit {
        let path = part.resource.path();
        let inode = table.resolve(path.as_bytes()).ok();
        let Some(declared) = inode.and_then(|inode| inode.declared(path)) else {
            // What is missing then is told by whoever waits for it.
            break;
        };
        match verifier.read(&declared, part.offset, part.size) {
            Ok(bytes) => read.push(bytes),
            Err(error) => return (read, Some(error)),
        }
    }
    (read, None)
}

/// Cuts a file into what is read at once.
fn parts(resource: &Resource) -> impl Iterator<Item = Part<'_>> {
    let size = match &resource.kind {
        Kind::Regular(content) => content.size,
        _ => 0,
    };
    let step = match u32::try_from(size) {
        Ok(whole) if size <= WHOLE_MAX => whole.max(1),
        _ => STEP,
    };
    let offsets = (0..size).step_by(usize::try_from(step).unwrap_or(usize::MAX));
    offsets.map(move |offset| Part {
        resource,
        offset,
        size: step,
    })
}

/// Puts small parts together, so that threads need not wait for each other at
/// each of them.
struct Units<I: Iterator>(std::iter::Peekable<I>);

impl<'a, I: Iterator<Item = Part<'a>>> Iterator for Units<I> {
    type Item = Unit<'a>;

    fn next(&mut self) -> Option<Unit<'a>> {
        let first = self.0.next()?;
        let mut room = STEP.saturating_sub(first.size);
        let mut unit = vec![first];
        while unit.len() < FILES
            && let Some(part) = self.0.next_if(|part| part.size <= room)
        {
            room -= part.size;
            unit.push(part);
        }
        Some(unit)
    }
}

impl Content {
    /// The next part; there is none where somebody who read has panicked.
    pub fn next(&mut self) -> io::Result<Result<Bytes, VerifyError>> {
        loop {
            if let Some(part) = self.parts.next() {
                return Ok(Ok(part));
            }
            if let Some(refused) = self.refused.take() {
                return Ok(Err(refused));
            }
            let unit = self.units.recv().map_err(io::Error::other)?;
            let (parts, refused) = unit.recv().map_err(io::Error::other)?;
            (self.parts, self.refused) = (parts.into_iter(), refused);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{self, Metadata};
    use crate::mode::FileMode;
    use crate::path::ManifestPath;

    fn file(size: u64) -> Resource {
        Resource {
            paths: vec![ManifestPath::parse(b"/a").unwrap()],
            metadata: Metadata::new(FileMode::from_stat(0o100_644).unwrap()),
            kind: Kind::Regular(manifest::Content {
                size,
                ..manifest::Content::default()
            }),
            carried: None,
        }
    }

    #[test]
    fn every_byte_is_read_once_and_little_at_once() {
        let step = u64::from(STEP);
        let sizes = [0, 1, 4096, step, WHOLE_MAX, WHOLE_MAX + 1, 3, 9 * step];
        let few = (0..200).map(|_| 5);
        let files: Vec<_> = sizes.into_iter().chain(few).map(file).collect();
        let units: Vec<_> = Units(files.iter().flat_map(parts).peekable()).collect();
        for unit in &units {
            let bytes: u64 = unit.iter().map(|part| u64::from(part.size)).sum();
            assert!(bytes <= WHOLE_MAX && unit.len() <= FILES);
        }
        let mut rest = units.iter().flatten().peekable();
        for file in &files {
            let Kind::Regular(content) = &file.kind else {
                panic!("a file")
            };
            let mut offset = 0;
            while offset < content.size {
                let part = rest.next().unwrap();
                assert!(std::ptr::eq(part.resource, file));
                assert_eq!(part.offset, offset);
                offset += u64::from(part.size);
            }
        }
        assert!(rest.next().is_none());
    }
}
