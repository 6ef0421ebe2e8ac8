//! Whether somebody reads one small file after the other, and which come next.
//!
//! A cold small file costs a round trip, which costs more than all the work on
//! it. Files that will be read next can be given to the kernel before it asks.
//! Inode numbers follow the paths of the manifest, as programs do that read a
//! whole tree, so a reader of many files shows as inode numbers that go up.
//!
//! What was given is never asked for. To see that the reader goes on, one file
//! of each window is held back: when that one is read, the next window is due.

use std::ops::Range;

use parking_lot::Mutex;

use crate::inode::Ino;

/// How many readers are told apart.
const STREAMS: usize = 8;
/// The window of a reader begins with so many files, and doubles.
const WINDOW_MIN: usize = 8;
/// The largest window, in files.
const WINDOW_MAX: usize = 128;
/// The largest window, in bytes.
const WINDOW_BYTES: u64 = 4 << 20;
/// Up to this size, in bytes, a file is small.
const SMALL: u64 = 128 << 10;
/// How many inodes a reader may pass over between two files.
const GAP: u64 = 64;

/// The readers that were seen last.
#[derive(Debug, Default)]
pub(super) struct Ahead(Mutex<Streams>);

#[derive(Debug, Default)]
struct Streams {
    /// The one that was seen last stands last.
    streams: Vec<Stream>,
}

/// One reader.
#[derive(Clone, Debug)]
struct Stream {
    /// The files that it may read now; among them those that it was given.
    expected: Range<u64>,
    /// The one that was held back.
    held_back: u64,
    window: usize,
}

impl Ahead {
    /// Takes notice that a file is read, and tells which files to give to the
    /// kernel now. `size_of` has the size of a regular file, and nothing for
    /// anything else.
    pub(super) fn on_read(&self, ino: Ino, size_of: impl Fn(Ino) -> Option<u64>) -> Vec<Ino> {
        let is_small = |ino| size_of(ino).filter(|size| (1..=SMALL).contains(size));
        if is_small(ino).is_none() {
            return Vec::new();
        }
        let mut streams = self.0.lock();
        let Some(place) = streams.find(ino) else {
            streams.begin(ino);
            return Vec::new();
        };
        let mut stream = streams.streams.remove(place);
        let files = if ino.0 >= stream.held_back {
            stream.advance(ino, is_small)
        } else {
            // It is faster than we are; what comes next is on its way.
            Vec::new()
        };
        streams.streams.push(stream);
        files
    }
}

impl Streams {
    fn find(&self, ino: Ino) -> Option<usize> {
        self.streams
            .iter()
            .position(|stream| stream.expected.contains(&ino.0))
    }

    fn begin(&mut self, ino: Ino) {
        if self.streams.len() == STREAMS {
            self.streams.remove(0);
        }
        let next = ino.0.saturating_add(1);
        self.streams.push(Stream {
            expected: next..next.saturating_add(GAP),
            held_back: next,
            window: 0,
        });
    }
}

impl Stream {
    /// The files of the next window.
    fn advance(&mut self, ino: Ino, is_small: impl Fn(Ino) -> Option<u64>) -> Vec<Ino> {
        self.window = (self.window * 2).clamp(WINDOW_MIN, WINDOW_MAX);
        let given = self.expected.end.saturating_sub(GAP);
        let begin = given.max(ino.0.saturating_add(1));
        let mut files = Vec::with_capacity(self.window);
        let mut bytes = 0_u64;
        let mut next = begin;
        while files.len() < self.window && bytes < WINDOW_BYTES && next < begin + 4 * GAP {
            if let Some(size) = is_small(Ino(next)) {
                files.push(Ino(next));
                bytes = bytes.saturating_add(size);
            }
            next += 1;
        }
        self.held_back = next;
        // Early on, so that the next window is there before this one is read.
        let early = files.len() / 4;
        if early > 0 {
            self.held_back = files.remove(early).0;
        }
        self.expected = ino.0..next.saturating_add(GAP);
        files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads files as the kernel would ask for them, and counts how many of
    /// them had to be asked for, and how many were given.
    fn simulate(order: impl Iterator<Item = u64>, is_file: impl Fn(u64) -> bool) -> (usize, usize) {
        let ahead = Ahead::default();
        let mut given = std::collections::HashSet::new();
        let (mut asked, mut pushed) = (0, 0);
        for number in order.filter(|number| is_file(*number)) {
            if given.contains(&number) {
                continue;
            }
            asked += 1;
            for ino in ahead.on_read(Ino(number), |ino| is_file(ino.0).then_some(4096)) {
                assert!(is_file(ino.0) && given.insert(ino.0));
                pushed += 1;
            }
        }
        (asked, pushed)
    }

    #[test]
    fn a_reader_of_everything_asks_for_few() {
        let (asked, pushed) = simulate(2..10_002, |_| true);
        assert!(asked < 250, "{asked}");
        assert!(pushed < 10_100, "{pushed}");
    }

    #[test]
    fn directories_between_do_not_matter() {
        let (asked, _) = simulate(2..10_002, |number| number % 10 != 0);
        assert!(asked < 250, "{asked}");
    }

    #[test]
    fn two_readers_are_told_apart() {
        let two = (2..5_002).flat_map(|number| [number, number + 100_000]);
        let (asked, _) = simulate(two, |_| true);
        assert!(asked < 300, "{asked}");
    }

    #[test]
    fn a_random_reader_is_given_next_to_nothing() {
        let random = (0..10_000_u64).map(|step| 2 + step.wrapping_mul(7_368_787) % 1_000_003);
        let (asked, pushed) = simulate(random, |_| true);
        assert!(asked > 9_900, "{asked}");
        assert!(pushed < 200, "{pushed}");
    }

    #[test]
    fn large_files_are_left_alone() {
        let ahead = Ahead::default();
        for number in 2..100 {
            let size_of = |_| Some(SMALL + 1);
            assert_eq!(ahead.on_read(Ino(number), size_of), []);
        }
    }

    #[test]
    fn a_window_has_a_bound_in_bytes() {
        let ahead = Ahead::default();
        for number in 2..1000 {
            let files = ahead.on_read(Ino(number), |_| Some(SMALL));
            assert!(files.len() as u64 * SMALL <= WINDOW_BYTES);
        }
    }
}
