//! How opens of files that may have private copies are answered, and what has been
//! answered. All of it is written down before the kernel hears of it (see
//! [`super::ledger`]).

use std::io;
use std::sync::Arc;

use fuser::{BackingId, Errno, FileHandle, FopenFlags, ReplyOpen, RequestId};
use parking_lot::Mutex;

use crate::fs::CopyCache;
use crate::inode::Ino;
use crate::sys::{SealedFile, backing};

use super::copies::{Copies, Way};
use super::ledger::{Ledger, Record, Slot};

/// Somebody opens a file.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) ino: Ino,
    pub(super) request: RequestId,
    pub(super) reply: ReplyOpen,
}

/// A private copy.
#[derive(Debug)]
pub(super) struct Copy {
    size: u64,
    held: Mutex<Held>,
}

/// By whom it is held. Once the kernel has it, nobody else does.
#[derive(Debug)]
enum Held {
    ByUs(SealedFile),
    ByKernel(Given),
    /// By the kernel too, and a worker before has given it.
    Before {
        number: u32,
        slot: Slot,
    },
}

/// A copy that the kernel has until this is dropped.
#[derive(Debug)]
struct Given {
    id: BackingId,
    number: u32,
    slot: Slot,
}

impl Copy {
    pub(super) fn new(file: SealedFile, size: u64) -> Arc<Self> {
        Arc::new(Self {
            size,
            held: Mutex::new(Held::ByUs(file)),
        })
    }
}

/// Copies that have to go. To drop them takes time.
#[derive(Debug, Default)]
pub(super) struct Evicted {
    copies: Vec<Held>,
    slots: Vec<Slot>,
}

impl Evicted {
    pub(super) fn len(&self) -> usize {
        self.copies.len()
    }

    /// Drops them, and gives what is to be wiped then.
    pub(super) fn drop_copies(self) -> Vec<Slot> {
        drop(self.copies);
        self.slots
    }
}

/// Answers opens, and knows what was answered.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) copies: Copies<Arc<Copy>>,
    ledger: Ledger,
    is_told: bool,
}

impl Answers {
    /// Goes on where a worker before has stopped, if there was one.
    pub(super) fn new(cache: &CopyCache, size: impl Fn(Ino) -> u64) -> io::Result<Self> {
        let ledger = Ledger::open(cache.ledger.try_clone()?)?;
        let mut copies = Copies::new(cache.max_bytes);
        for (slot, record) in ledger.records() {
            match record {
                Record::Copy { ino, size, number } => {
                    let held = Mutex::new(Held::Before { number, slot });
                    copies.inherit(ino, size, Arc::new(Copy { size, held }));
                }
                Record::Open { ino, way, .. } => copies.inherit_open(ino, size(ino), way),
                Record::Leaving { .. } => {}
            }
        }
        Ok(Self {
            copies,
            ledger,
            is_told: false,
        })
    }

    /// Whether there was nothing before.
    pub(super) fn is_empty(&self) -> bool {
        self.ledger.records().next().is_none()
    }

    /// Takes the copies over that a worker before has given to the kernel, and tells
    /// whether there are any. To be called before anything is answered.
    pub(super) fn take_over(&mut self, reply: &ReplyOpen) -> bool {
        let mut any = false;
        for copy in self.copies.made_ones() {
            let mut held = copy.held.lock();
            if let Held::Before { number, slot } = *held {
                let id = backing::given_before(reply, number);
                *held = Held::ByKernel(Given { id, number, slot });
                any = true;
            }
        }
        let leaving: Vec<(Slot, u32)> = self
            .ledger
            .records()
            .filter_map(|(slot, record)| match record {
                Record::Leaving { number } => Some((slot, number)),
                Record::Copy { .. } | Record::Open { .. } => None,
            })
            .collect();
        for (slot, number) in leaving {
            drop(backing::given_before(reply, number));
            self.evicted([slot]);
        }
        any
    }

    /// Answers an open that a worker before has written down, and whose answer did not
    /// come. Gives others back.
    pub(super) fn again(&mut self, open: Open) -> Result<(), Open> {
        let Some((way, handle)) = self.ledger.again(open.ino, open.request) else {
            return Err(open);
        };
        match way {
            Way::Asking => open.reply.opened(handle, FopenFlags::FOPEN_KEEP_CACHE),
            Way::Native => {
                let held = self.copies.of(open.ino).map(|copy| copy.held.lock());
                if let Some(Held::ByKernel(given)) = held.as_deref() {
                    reply_native(open.reply, handle, given);
                } else {
                    open.reply.error(Errno::EIO);
                }
            }
        }
        Ok(())
    }

    /// Answers without a copy. It counts as open already.
    pub(super) fn asking(&mut self, open: Open) {
        match self.ledger.opened(open.ino, Way::Asking, open.request) {
            Ok(handle) => open.reply.opened(handle, FopenFlags::FOPEN_KEEP_CACHE),
            Err(error) => self.refuse(open, Way::Asking, &error),
        }
    }

    /// Answers with the copy, and tells whether that could be. It counts as open
    /// already.
    pub(super) fn native(&mut self, copy: &Copy, open: Open) -> bool {
        let mut held = copy.held.lock();
        if let Held::ByUs(file) = &*held {
            match self.give(&open, file, copy.size) {
                Ok(given) => *held = Held::ByKernel(given),
                Err(error) => log::warn!("event=copy_not_taken {error}"),
            }
        }
        let Held::ByKernel(given) = &*held else {
            self.copies.open_asking(open.ino);
            self.copies.close(open.ino, Way::Native);
            self.asking(open);
            return false;
        };
        match self.ledger.opened(open.ino, Way::Native, open.request) {
            Ok(handle) => reply_native(open.reply, handle, given),
            Err(error) => self.refuse(open, Way::Native, &error),
        }
        true
    }

    fn give(&mut self, open: &Open, file: &SealedFile, size: u64) -> io::Result<Given> {
        let number = open.reply.open_backing(file)?.into_raw();
        // It goes again if it cannot be written down.
        let id = backing::given_before(&open.reply, number);
        let slot = self.ledger.add(Record::Copy {
            ino: open.ino,
            size,
            number,
        })?;
        Ok(Given { id, number, slot })
    }

    /// An open of which the next worker would not know could be answered by it in the
    /// other way, which the kernel takes for an error then.
    fn refuse(&mut self, open: Open, way: Way, error: &io::Error) {
        if !std::mem::replace(&mut self.is_told, true) {
            log::error!("event=open_not_recorded error={:?}", error.to_string());
        }
        self.count_out(open.ino, way);
        open.reply.error(Errno::ENFILE);
    }

    /// An open that was counted is none.
    pub(super) fn count_out(&mut self, ino: Ino, way: Way) {
        if self.copies.close(ino, way).is_some() {
            self.copies.made(ino, None);
        }
    }

    /// A file is closed. Gives its size if a copy is to be made now.
    pub(super) fn close(&mut self, ino: Ino, handle: FileHandle) -> Option<u64> {
        match self.ledger.closed(ino, handle) {
            Ok(way) => self.copies.close(ino, way?),
            Err(error) => {
                // It stays open, as far as anybody knows.
                log::error!("event=close_not_recorded error={:?}", error.to_string());
                None
            }
        }
    }

    /// The copies that had to make room since this was called last.
    pub(super) fn evict(&mut self) -> Evicted {
        let mut evicted = Evicted::default();
        for copy in self.copies.take_evicted() {
            let Some(copy) = Arc::into_inner(copy) else {
                continue;
            };
            match copy.held.into_inner() {
                Held::ByKernel(Given { id, number, slot }) => {
                    if self.ledger.put(slot, Record::Leaving { number }).is_ok() {
                        evicted.slots.push(slot);
                        evicted
                            .copies
                            .push(Held::ByKernel(Given { id, number, slot }));
                    } else {
                        // It stays: the next worker takes it for one that is there.
                        let _ = id.into_raw();
                    }
                }
                held => evicted.copies.push(held),
            }
        }
        evicted
    }

    /// Copies are gone.
    pub(super) fn evicted(&mut self, slots: impl IntoIterator<Item = Slot>) {
        for slot in slots {
            if let Err(error) = self.ledger.wipe(slot) {
                // The next worker has it go once more.
                log::debug!("a copy that is gone is not wiped: {error}");
            }
        }
    }
}

fn reply_native(reply: ReplyOpen, handle: FileHandle, given: &Given) {
    reply.opened_passthrough(handle, FopenFlags::empty(), &given.id);
}
