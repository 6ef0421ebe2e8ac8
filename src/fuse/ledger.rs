//! What the kernel has of private copies, and which files are open in which way: in
//! a file that outlives the worker, so that the next one can go on with it.
//!
//! It is written before the kernel is told, and wiped after the kernel has told us.
//! A worker that dies between leaves a request without an answer, and that comes
//! again: an open is known again by its number, a close by its handle. So nothing is
//! counted twice. Only a copy that the kernel took in the moment in which the worker
//! died is not in it; its room is lost until the filesystem is gone.
//!
//! The file has one record after the other, of 32 bytes each, so that none lies
//! across a page, and one that was being written is there or is not:
//!
//! ```text
//! kind u32 | number of the copy u32 | inode u64 | size or request u64 | 0 u64
//! ```
//!
//! A program that reads another form has another version of the supervisor's
//! messages.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use fuser::{FileHandle, RequestId};

use crate::inode::Ino;

use super::copies::Way;

const RECORD: usize = 32;
/// Most records, which makes 32 MiB.
const RECORDS_MAX: usize = 1 << 20;

/// Set in the number of a request that has come before (`FUSE_UNIQUE_RESEND`).
const RESENT: u64 = 1 << 63;
/// How many bits of a handle are those of the request that opened it.
const REQUEST_BITS: u32 = 40;

const FREE: u32 = 0;
const COPY: u32 = 1;
const LEAVING: u32 = 2;
const ASKING: u32 = 3;
const NATIVE: u32 = 4;

/// Of what needs no record. Its close means nothing.
pub(super) const HANDLE_OTHER: FileHandle = FileHandle(0);

/// One thing that the kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// The copy of a file, under a number.
    Copy { ino: Ino, size: u64, number: u32 },
    /// A copy that it is told to let go.
    Leaving { number: u32 },
    /// A file that is open, and the request by which it was opened.
    Open { ino: Ino, way: Way, request: u64 },
}

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(usize);

/// All that the kernel has.
#[derive(Debug)]
pub(super) struct Ledger {
    file: File,
    records: Vec<Option<Record>>,
    free: Vec<usize>,
    /// Opens of a worker before, by their requests.
    before: HashMap<u64, Slot>,
}

impl Ledger {
    /// Reads what is there.
    pub(super) fn open(file: File) -> io::Result<Self> {
        let bytes = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        if bytes / RECORD > RECORDS_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut content = vec![0; bytes];
        file.read_exact_at(&mut content, 0)?;
        let (records, _) = content.as_chunks::<RECORD>();
        let records: io::Result<Vec<_>> = records.iter().map(parse).collect();
        let mut ledger = Self {
            file,
            records: records?,
            free: Vec::new(),
            before: HashMap::new(),
        };
        for (place, record) in ledger.records.iter().enumerate() {
            match record {
                None => ledger.free.push(place),
                Some(Record::Open { request, .. }) => {
                    ledger.before.insert(*request, Slot(place));
                }
                Some(_) => {}
            }
        }
        Ok(ledger)
    }

    /// All records.
    pub(super) fn records(&self) -> impl Iterator<Item = (Slot, Record)> {
        let records = self.records.iter().enumerate();
        records.filter_map(|(place, record)| record.map(|record| (Slot(place), record)))
    }

    /// Writes another record.
    pub(super) fn add(&mut self, record: Record) -> io::Result<Slot> {
        let place = self.free.last().copied().unwrap_or(self.records.len());
        if place >= RECORDS_MAX {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        self.write(place, Some(record))?;
        match self.records.get_mut(place) {
            Some(free) => {
                self.free.pop();
                *free = Some(record);
            }
            None => self.records.push(Some(record)),
        }
        Ok(Slot(place))
    }

    /// Writes a record in the place of another one.
    pub(super) fn put(&mut self, slot: Slot, record: Record) -> io::Result<()> {
        self.write(slot.0, Some(record))?;
        if let Some(there) = self.records.get_mut(slot.0) {
            *there = Some(record);
        }
        Ok(())
    }

    /// Wipes a record. If that fails it stays, and so does what it tells of.
    pub(super) fn wipe(&mut self, slot: Slot) -> io::Result<()> {
        self.write(slot.0, None)?;
        if let Some(record) = self.records.get_mut(slot.0)
            && record.take().is_some()
        {
            self.free.push(slot.0);
        }
        Ok(())
    }

    /// Writes down that a file is open, and gives the handle for it.
    pub(super) fn opened(
        &mut self,
        ino: Ino,
        way: Way,
        request: RequestId,
    ) -> io::Result<FileHandle> {
        let request = request.0 & !RESENT;
        let slot = self.add(Record::Open { ino, way, request })?;
        Ok(handle(slot, request))
    }

    /// The way and the handle of a file for which a worker before has written down
    /// that it is open, if this asks for the same again.
    pub(super) fn again(&self, ino: Ino, request: RequestId) -> Option<(Way, FileHandle)> {
        let request = (request.0 & RESENT != 0).then_some(request.0 & !RESENT)?;
        let slot = *self.before.get(&request)?;
        match self.records.get(slot.0)? {
            Some(Record::Open {
                ino: of,
                way,
                request: by,
            }) if *of == ino && *by == request => Some((*way, handle(slot, request))),
            _ => None,
        }
    }

    /// Writes down that a file is closed, and tells in which way it was open. Nothing,
    /// if that was written down before.
    pub(super) fn closed(&mut self, ino: Ino, closed: FileHandle) -> io::Result<Option<Way>> {
        let place = closed.0 >> REQUEST_BITS;
        let Some(place) = place.checked_sub(1).and_then(|it| usize::try_from(it).ok()) else {
            return Ok(None);
        };
        match self.records.get(place) {
            Some(Some(Record::Open {
                ino: of,
                way,
                request,
            })) if *of == ino && handle(Slot(place), *request) == closed => {
                let (way, request) = (*way, *request);
                self.wipe(Slot(place))?;
                self.before.remove(&request);
                Ok(Some(way))
            }
            _ => Ok(None),
        }
    }

    fn write(&self, place: usize, record: Option<Record>) -> io::Result<()> {
        let offset = (place * RECORD) as u64;
        self.file.write_all_at(&to_bytes(record), offset)
    }
}

/// Never that of what has no record.
const fn handle(Slot(place): Slot, request: u64) -> FileHandle {
    let request = request & ((1 << REQUEST_BITS) - 1);
    FileHandle((place as u64 + 1) << REQUEST_BITS | request)
}

fn to_bytes(record: Option<Record>) -> [u8; RECORD] {
    let (kind, number, ino, rest) = match record {
        None => (FREE, 0, 0, 0),
        Some(Record::Copy { ino, size, number }) => (COPY, number, ino.0, size),
        Some(Record::Leaving { number }) => (LEAVING, number, 0, 0),
        Some(Record::Open { ino, way, request }) => match way {
            Way::Asking => (ASKING, 0, ino.0, request),
            Way::Native => (NATIVE, 0, ino.0, request),
        },
    };
    let mut bytes = [0; RECORD];
    let fields = kind.to_ne_bytes().into_iter().chain(number.to_ne_bytes());
    let fields = fields.chain(ino.to_ne_bytes()).chain(rest.to_ne_bytes());
    for (to, from) in bytes.iter_mut().zip(fields) {
        *to = from;
    }
    bytes
}

fn parse(bytes: &[u8; RECORD]) -> io::Result<Option<Record>> {
    let fields = || {
        let (kind, rest) = bytes.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (ino, rest) = rest.split_first_chunk()?;
        let (last, _) = rest.split_first_chunk()?;
        Some((
            u32::from_ne_bytes(*kind),
            u32::from_ne_bytes(*number),
            Ino(u64::from_ne_bytes(*ino)),
            u64::from_ne_bytes(*last),
        ))
    };
    let (kind, number, ino, last) = fields().ok_or(io::ErrorKind::InvalidData)?;
    let open = |way| Record::Open {
        ino,
        way,
        request: last,
    };
    Ok(match kind {
        FREE => None,
        COPY => Some(Record::Copy {
            ino,
            size: last,
            number,
        }),
        LEAVING => Some(Record::Leaving { number }),
        ASKING => Some(open(Way::Asking)),
        NATIVE => Some(open(Way::Native)),
        _ => return Err(io::ErrorKind::InvalidData.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ledger, and what the next worker reads.
    struct Scene(File, Ledger);

    impl Scene {
        fn new() -> Self {
            let file = tempfile::tempfile().unwrap();
            let ledger = Ledger::open(file.try_clone().unwrap()).unwrap();
            Self(file, ledger)
        }

        /// The worker dies, and another one follows.
        fn next(&mut self) -> Vec<Record> {
            self.1 = Ledger::open(self.0.try_clone().unwrap()).unwrap();
            self.1.records().map(|(_, record)| record).collect()
        }
    }

    const INO: Ino = Ino(7);

    #[test]
    fn the_next_worker_knows_what_the_last_one_wrote() {
        let mut scene = Scene::new();
        let copy = Record::Copy {
            ino: INO,
            size: 1 << 40,
            number: 3,
        };
        let slot = scene.1.add(copy).unwrap();
        scene.1.opened(INO, Way::Native, RequestId(4)).unwrap();
        scene.1.opened(INO, Way::Asking, RequestId(6)).unwrap();
        let open = |way, request| Record::Open {
            ino: INO,
            way,
            request,
        };
        let opens = [open(Way::Native, 4), open(Way::Asking, 6)];
        assert_eq!(scene.next(), [copy, opens[0], opens[1]]);
        let leaving = Record::Leaving { number: 3 };
        scene.1.put(slot, leaving).unwrap();
        assert_eq!(scene.next(), [leaving, opens[0], opens[1]]);
        scene.1.wipe(slot).unwrap();
        assert_eq!(scene.next(), opens);
        // What is free is taken again.
        assert_eq!(scene.1.add(copy).unwrap(), slot);
        assert_eq!(scene.0.metadata().unwrap().len(), 3 * RECORD as u64);
    }

    #[test]
    fn a_close_counts_once() {
        let mut scene = Scene::new();
        let handle = scene.1.opened(INO, Way::Native, RequestId(4)).unwrap();
        assert_ne!(handle, HANDLE_OTHER);
        assert_eq!(scene.1.closed(Ino(8), handle).unwrap(), None);
        assert_eq!(scene.1.closed(INO, HANDLE_OTHER).unwrap(), None);
        scene.next();
        assert_eq!(scene.1.closed(INO, handle).unwrap(), Some(Way::Native));
        // Somebody else's open takes its place, and it comes again.
        let other = scene.1.opened(INO, Way::Native, RequestId(8)).unwrap();
        assert_ne!(other, handle);
        for _ in 0..2 {
            assert_eq!(scene.1.closed(INO, handle).unwrap(), None);
            assert_eq!(scene.next().len(), 1);
        }
        assert_eq!(scene.1.closed(INO, other).unwrap(), Some(Way::Native));
        assert!(scene.next().is_empty());
    }

    #[test]
    fn an_open_counts_once() {
        let mut scene = Scene::new();
        let (first, resent) = (RequestId(4), RequestId(RESENT | 4));
        let handle = scene.1.opened(INO, Way::Asking, first).unwrap();
        scene.next();
        assert_eq!(scene.1.again(INO, first), None);
        assert_eq!(scene.1.again(Ino(8), resent), None);
        assert_eq!(scene.1.again(INO, RequestId(RESENT | 6)), None);
        assert_eq!(scene.1.again(INO, resent), Some((Way::Asking, handle)));
        // It was written down by the one before.
        let later = RequestId(RESENT | 10);
        let handle = scene.1.opened(INO, Way::Native, later).unwrap();
        scene.next();
        assert_eq!(scene.1.again(INO, later), Some((Way::Native, handle)));
        scene.1.closed(INO, handle).unwrap();
        assert_eq!(scene.1.again(INO, later), None);
    }

    #[test]
    fn nonsense_is_an_error() {
        let scene = Scene::new();
        scene.0.write_all_at(&[9; RECORD], 0).unwrap();
        Ledger::open(scene.0.try_clone().unwrap()).unwrap_err();
        scene.0.set_len(0).unwrap();
        let too_long = ((RECORDS_MAX + 1) * RECORD) as u64;
        scene.0.set_len(too_long).unwrap();
        Ledger::open(scene.0).unwrap_err();
    }

    #[test]
    fn what_cannot_be_written_is_an_error() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let mut ledger = Ledger::open(File::open(path.path()).unwrap()).unwrap();
        ledger.opened(INO, Way::Asking, RequestId(4)).unwrap_err();
        assert_eq!(ledger.records().count(), 0);
    }
}
