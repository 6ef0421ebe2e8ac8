//! Which files have a private copy, who has them open, and which opens may be
//! given the copy.
//!
//! The kernel keeps the pages of a file itself or leaves them to the copy, never
//! both at a time: while a file is open in one way, an open in the other fails
//! (fs/fuse/iomode.c). So opens are counted by their way. A close reaches us
//! after the kernel has counted it, so that ours are never less than its.

use std::collections::HashMap;

use lru::LruCache;

use crate::inode::Ino;

/// Smaller files gain nothing, in bytes.
pub(super) const SIZE_MIN: u64 = 1 << 20;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The kernel asks us for content, and keeps it.
    Asking,
    /// The kernel reads the copy by itself.
    Native,
}

/// How an open is to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Opening<C> {
    /// At once, without a copy.
    Asking,
    /// At once, with the copy.
    Native(C),
    /// When the copy that is being made is there.
    Wait,
    /// The same, and the copy is to be made.
    Make,
}

/// The copies, whatever a copy is.
#[derive(Debug)]
pub(super) struct Copies<C> {
    max_bytes: u64,
    /// Of all copies, those that are being made among them.
    bytes: u64,
    idle_bytes: u64,
    /// Copies that nobody has open, with their sizes; the one that was closed
    /// first goes first.
    idle: LruCache<Ino, u64>,
    files: HashMap<Ino, File<C>>,
    /// Copies that had to go. To drop one takes time.
    evicted: Vec<C>,
}

#[derive(Debug)]
struct File<C> {
    size: u64,
    asking: u64,
    native: u64,
    /// How many bytes those who ask have asked for.
    asked: u64,
    copy: Copy<C>,
}

#[derive(Debug)]
enum Copy<C> {
    None,
    Making,
    Made(C),
}

impl<C> File<C> {
    const fn new(size: u64) -> Self {
        Self {
            size,
            asking: 0,
            native: 0,
            asked: 0,
            copy: Copy::None,
        }
    }
}

impl<C: Clone> Copies<C> {
    /// Copies of at most so many bytes together.
    pub(super) fn new(max_bytes: u64) -> Self {
        Self {
            max_bytes,
            bytes: 0,
            idle_bytes: 0,
            idle: LruCache::unbounded(),
            files: HashMap::new(),
            evicted: Vec::new(),
        }
    }

    /// Whether a file of this size is one for a copy. Of others this need not
    /// hear.
    pub(super) const fn takes(&self, size: u64) -> bool {
        SIZE_MIN <= size && size <= self.max_bytes
    }

    /// There is a copy already, which a worker before has made.
    pub(super) fn inherit(&mut self, ino: Ino, size: u64, copy: C) {
        let Some(bytes) = self.bytes.checked_add(size) else {
            // No disk has room for that: whoever told of it was wrong.
            return;
        };
        let file = self.files.entry(ino).or_insert(File::new(size));
        if matches!(file.copy, Copy::None) {
            file.size = size;
            file.copy = Copy::Made(copy);
            self.bytes = bytes;
            if file.asking + file.native == 0 && self.idle.put(ino, size).is_none() {
                self.idle_bytes += size;
            }
        }
    }

    /// A file is open already; a worker before has answered.
    pub(super) fn inherit_open(&mut self, ino: Ino, size: u64, way: Way) {
        let file = self.files.entry(ino).or_insert(File::new(size));
        match way {
            Way::Asking => file.asking += 1,
            Way::Native => file.native += 1,
        }
        if let Some(size) = self.idle.pop(&ino) {
            self.idle_bytes -= size;
        }
    }

    /// All copies that are there.
    pub(super) fn made_ones(&self) -> impl Iterator<Item = &C> {
        self.files.values().filter_map(|file| match &file.copy {
            Copy::Made(copy) => Some(copy),
            Copy::Making | Copy::None => None,
        })
    }

    /// The copy of a file, if there is one.
    pub(super) fn of(&self, ino: Ino) -> Option<&C> {
        match &self.files.get(&ino)?.copy {
            Copy::Made(copy) => Some(copy),
            Copy::Making | Copy::None => None,
        }
    }

    /// Somebody opens a file; `at_once` tells whether a copy is to be made
    /// before it is read.
    pub(super) fn open(&mut self, ino: Ino, size: u64, at_once: bool) -> Opening<C> {
        let file = self.files.entry(ino).or_insert(File::new(size));
        let is_asked = file.asking > 0;
        match &file.copy {
            Copy::Made(copy) if !is_asked => {
                let copy = copy.clone();
                file.native += 1;
                if let Some(size) = self.idle.pop(&ino) {
                    self.idle_bytes -= size;
                }
                return Opening::Native(copy);
            }
            Copy::Making if at_once && !is_asked => return Opening::Wait,
            Copy::Made(_) | Copy::Making | Copy::None => {
                let may_begin = at_once && !is_asked && matches!(file.copy, Copy::None);
                if may_begin && self.begin(ino, size) {
                    return Opening::Make;
                }
            }
        }
        self.open_asking(ino);
        Opening::Asking
    }

    /// Somebody is given a file without its copy after all.
    pub(super) fn open_asking(&mut self, ino: Ino) {
        if let Some(size) = self.idle.pop(&ino) {
            self.idle_bytes -= size;
        }
        if let Some(file) = self.files.get_mut(&ino) {
            file.asking += 1;
        }
    }

    /// Somebody asks for so many bytes of a file.
    pub(super) fn read(&mut self, ino: Ino, bytes: u64) {
        if let Some(file) = self.files.get_mut(&ino) {
            file.asked = file.asked.saturating_add(bytes);
        }
    }

    /// A file is closed. Gives its size if a copy is to be made now: nobody has
    /// it open any more, and half of it was read by those who had.
    pub(super) fn close(&mut self, ino: Ino, way: Way) -> Option<u64> {
        let file = self.files.get_mut(&ino)?;
        let count = match way {
            Way::Asking => &mut file.asking,
            Way::Native => &mut file.native,
        };
        *count = count.saturating_sub(1);
        if file.asking + file.native > 0 {
            return None;
        }
        let (size, asked) = (file.size, std::mem::take(&mut file.asked));
        match file.copy {
            Copy::Making => return None,
            Copy::Made(_) => {
                if self.idle.put(ino, size).is_none() {
                    self.idle_bytes += size;
                }
                return None;
            }
            Copy::None => {}
        }
        if asked >= size / 2 && self.begin(ino, size) {
            return Some(size);
        }
        self.files.remove(&ino);
        None
    }

    /// The copy of a file is there, or will not be. Those who wait for it are to
    /// be opened after this.
    pub(super) fn made(&mut self, ino: Ino, copy: Option<C>) {
        let Some(file) = self.files.get_mut(&ino) else {
            return;
        };
        match copy {
            Some(copy) => {
                file.copy = Copy::Made(copy);
                if file.asking == 0 {
                    self.idle.put(ino, file.size);
                    self.idle_bytes += file.size;
                }
            }
            None => {
                file.copy = Copy::None;
                self.bytes -= file.size;
                if file.asking == 0 {
                    self.files.remove(&ino);
                }
            }
        }
    }

    /// The copies that had to make room since this was called last.
    pub(super) fn take_evicted(&mut self) -> Vec<C> {
        std::mem::take(&mut self.evicted)
    }

    /// Makes room for a copy, and marks it as being made; says no where open
    /// copies take too much of it.
    fn begin(&mut self, ino: Ino, size: u64) -> bool {
        let fits = |bytes: u64| bytes.saturating_add(size) <= self.max_bytes;
        if !fits(self.bytes.saturating_sub(self.idle_bytes)) {
            return false;
        }
        while self.bytes.saturating_add(size) > self.max_bytes {
            let Some((victim, size)) = self.idle.pop_lru() else {
                return false;
            };
            self.idle_bytes -= size;
            self.bytes -= size;
            if let Some(File {
                copy: Copy::Made(copy),
                ..
            }) = self.files.remove(&victim)
            {
                self.evicted.push(copy);
            }
        }
        if let Some(file) = self.files.get_mut(&ino) {
            file.copy = Copy::Making;
            self.bytes += size;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn open(copies: &mut Copies<u64>, ino: u64, size: u64) -> Opening<u64> {
        copies.open(Ino(ino), size, true)
    }

    /// A file that was opened, copied and closed.
    fn copied(copies: &mut Copies<u64>, ino: u64, size: u64) {
        assert_eq!(open(copies, ino, size), Opening::Make);
        copies.made(Ino(ino), Some(ino));
        assert_eq!(open(copies, ino, size), Opening::Native(ino));
        assert_eq!(copies.close(Ino(ino), Way::Native), None);
    }

    #[test]
    fn ten_who_open_wait_for_one_copy() {
        let mut copies = Copies::new(10 * MIB);
        assert_eq!(open(&mut copies, 2, MIB), Opening::Make);
        for _ in 0..9 {
            assert_eq!(open(&mut copies, 2, MIB), Opening::Wait);
        }
        copies.made(Ino(2), Some(7));
        for _ in 0..10 {
            assert_eq!(open(&mut copies, 2, MIB), Opening::Native(7));
        }
    }

    #[test]
    fn the_two_ways_never_meet() {
        let mut copies = Copies::new(10 * MIB);
        assert_eq!(open(&mut copies, 2, MIB), Opening::Make);
        // One who did not wait so long.
        copies.open_asking(Ino(2));
        copies.made(Ino(2), Some(7));
        assert_eq!(open(&mut copies, 2, MIB), Opening::Asking);
        copies.close(Ino(2), Way::Asking);
        assert_eq!(open(&mut copies, 2, MIB), Opening::Asking);
        copies.close(Ino(2), Way::Asking);
        copies.close(Ino(2), Way::Asking);
        assert_eq!(open(&mut copies, 2, MIB), Opening::Native(7));
    }

    #[test]
    fn what_is_there_already_counts() {
        let mut copies = Copies::new(4 * MIB);
        copies.inherit(Ino(2), MIB, 20);
        copies.inherit(Ino(3), 2 * MIB, 30);
        copies.inherit_open(Ino(2), MIB, Way::Native);
        copies.inherit_open(Ino(4), MIB, Way::Asking);
        assert_eq!((copies.bytes, copies.idle_bytes), (3 * MIB, 2 * MIB));
        assert_eq!((copies.of(Ino(2)), copies.of(Ino(4))), (Some(&20), None));
        let mut made: Vec<_> = copies.made_ones().copied().collect();
        made.sort_unstable();
        assert_eq!(made, [20, 30]);
        // Whoever opens it gets the same copy; it is no copy for who comes by asking.
        assert_eq!(open(&mut copies, 2, MIB), Opening::Native(20));
        assert_eq!(open(&mut copies, 4, MIB), Opening::Asking);
        for _ in 0..2 {
            copies.close(Ino(2), Way::Native);
            copies.close(Ino(4), Way::Asking);
        }
        assert_eq!(open(&mut copies, 4, MIB), Opening::Make);
        assert!(copies.take_evicted().is_empty());
        assert_eq!(open(&mut copies, 5, MIB), Opening::Make);
        assert_eq!(copies.take_evicted(), [30]);
        assert_eq!(open(&mut copies, 6, 2 * MIB), Opening::Make);
        assert_eq!(copies.take_evicted(), [20]);
        // The room may be less than what is there.
        let mut copies = Copies::new(MIB);
        copies.inherit_open(Ino(2), 2 * MIB, Way::Native);
        copies.inherit(Ino(2), 2 * MIB, 20);
        assert_eq!(copies.idle_bytes, 0);
        assert_eq!(open(&mut copies, 3, MIB), Opening::Asking);
        copies.close(Ino(2), Way::Native);
        copies.close(Ino(3), Way::Asking);
        assert_eq!(open(&mut copies, 3, MIB), Opening::Make);
        assert_eq!((copies.bytes, copies.take_evicted()), (MIB, vec![20]));
    }

    #[test]
    fn what_cannot_be_there_is_left_out() {
        let mut copies = Copies::new(4 * MIB);
        copies.inherit_open(Ino(3), 0, Way::Asking);
        for (ino, size) in [(2, MIB), (3, u64::MAX), (4, u64::MAX), (5, u64::MAX - MIB)] {
            copies.inherit(Ino(ino), size, ino);
        }
        assert_eq!(copies.made_ones().count(), 2);
        assert_eq!(copies.bytes, u64::MAX);
        // All of it can go.
        assert_eq!(open(&mut copies, 6, 4 * MIB), Opening::Make);
        assert_eq!(copies.bytes, 4 * MIB);
        // A file that no manifest has any more was seen open first; its copy counts
        // with its size.
        let mut copies = Copies::new(4 * MIB);
        copies.inherit_open(Ino(2), 0, Way::Native);
        copies.inherit(Ino(2), 3 * MIB, 20);
        copies.close(Ino(2), Way::Native);
        assert_eq!((copies.bytes, copies.idle_bytes), (3 * MIB, 3 * MIB));
    }

    #[test]
    fn a_failure_is_not_remembered() {
        let mut copies = Copies::new(10 * MIB);
        assert_eq!(open(&mut copies, 2, 9 * MIB), Opening::Make);
        copies.made(Ino(2), None);
        assert_eq!(open(&mut copies, 2, 9 * MIB), Opening::Make);
        copies.made(Ino(2), Some(1));
        assert_eq!(open(&mut copies, 2, 9 * MIB), Opening::Native(1));
    }

    #[test]
    fn what_was_closed_first_makes_room() {
        let mut copies = Copies::new(3 * MIB);
        assert!(!copies.takes(4 * MIB) && !copies.takes(MIB - 1) && copies.takes(MIB));
        for ino in 2..5 {
            copied(&mut copies, ino, MIB);
        }
        assert_eq!(open(&mut copies, 2, MIB), Opening::Native(2));
        copied(&mut copies, 5, MIB);
        assert_eq!(copies.take_evicted(), [3]);
        copied(&mut copies, 6, 2 * MIB);
        assert_eq!(copies.take_evicted(), [4, 5]);
        // The first one is open: there is no room, and nothing goes in vain.
        assert_eq!(open(&mut copies, 7, 3 * MIB), Opening::Asking);
        assert!(copies.take_evicted().is_empty());
        copies.close(Ino(2), Way::Native);
        copies.close(Ino(7), Way::Asking);
        assert_eq!(open(&mut copies, 7, 3 * MIB), Opening::Make);
        assert_eq!(copies.take_evicted(), [6, 2]);
        copies.made(Ino(7), None);
        assert_eq!((copies.bytes, copies.idle_bytes), (0, 0));
        assert_eq!(copies.files.len(), 0);
    }

    #[test]
    fn a_file_that_was_read_is_copied_when_it_is_closed() {
        let mut copies = Copies::new(10 * MIB);
        let open = |copies: &mut Copies<u64>| copies.open(Ino(2), 4 * MIB, false);
        assert_eq!(open(&mut copies), Opening::Asking);
        copies.read(Ino(2), 2 * MIB - 1);
        assert_eq!(copies.close(Ino(2), Way::Asking), None);
        assert_eq!(open(&mut copies), Opening::Asking);
        assert_eq!(open(&mut copies), Opening::Asking);
        copies.read(Ino(2), 2 * MIB);
        assert_eq!(copies.close(Ino(2), Way::Asking), None);
        assert_eq!(copies.close(Ino(2), Way::Asking), Some(4 * MIB));
        // Nobody waits for it.
        assert_eq!(open(&mut copies), Opening::Asking);
        copies.made(Ino(2), Some(3));
        assert_eq!(open(&mut copies), Opening::Asking);
        copies.close(Ino(2), Way::Asking);
        assert_eq!(copies.close(Ino(2), Way::Asking), None);
        assert_eq!(open(&mut copies), Opening::Native(3));
    }
}
