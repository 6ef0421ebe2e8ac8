//! The files that are to be pushed, and those that are ready before the kernel
//! knows them.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::inode::Ino;

/// How many files may wait. When there are more, the reader is faster than we
/// are, and they are of no use.
const WAITING_MAX: usize = 512;
/// How many bytes may be ready; what was ready first goes first.
const READY_MAX: usize = 8 << 20;
/// How many files may be ready.
const READY_FILES_MAX: usize = 512;
/// How many chunks may wait to be stored.
const CHUNKS_MAX: usize = 8;

/// Files on their way to the kernel.
#[derive(Debug, Default)]
pub(super) struct PushQueue {
    waiting: VecDeque<Ino>,
    ready: VecDeque<(Ino, Bytes)>,
    ready_bytes: usize,
    chunks: VecDeque<(Ino, u64, Bytes)>,
    /// Whether nobody will ask for more.
    pub(super) closed: bool,
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// To read and check a file.
    Read(Ino),
    /// To store one that the kernel knows by now.
    Store(Ino, Bytes),
    /// To store a part of one, from this byte on.
    StorePart(Ino, u64, Bytes),
}

/// What became of a file that is asked for.
pub(super) enum Caught {
    /// It was not to be pushed.
    No,
    /// It was to be pushed, and has not been read yet.
    Waiting,
    /// It was to be pushed; here it is.
    Ready(Bytes),
}

impl PushQueue {
    /// Lets these files wait, all or none, and tells which.
    pub(super) fn add(&mut self, files: Vec<Ino>) -> bool {
        let fits = self.waiting.len() + files.len() <= WAITING_MAX;
        if fits {
            self.waiting.extend(files);
        }
        fits
    }

    /// What is ready and can be stored goes first.
    pub(super) fn next(&mut self, is_known: impl Fn(Ino) -> bool) -> Option<Step> {
        let ready = self.ready.iter().position(|(ino, _)| is_known(*ino));
        if let Some((ino, content)) = ready.and_then(|place| self.remove_ready(place)) {
            return Some(Step::Store(ino, content));
        }
        if let Some((ino, begin, chunk)) = self.chunks.pop_front() {
            return Some(Step::StorePart(ino, begin, chunk));
        }
        self.waiting.pop_front().map(Step::Read)
    }

    /// Keeps a file that was checked and cannot be stored yet.
    pub(super) fn keep(&mut self, ino: Ino, content: Bytes) {
        self.ready_bytes += content.len();
        self.ready.push_back((ino, content));
        while self.ready_bytes > READY_MAX || self.ready.len() > READY_FILES_MAX {
            if self.remove_ready(0).is_none() {
                return;
            }
        }
    }

    /// Lets a part of a file wait to be stored, and tells whether it does.
    pub(super) fn add_part(&mut self, ino: Ino, begin: u64, chunk: Bytes) -> bool {
        let fits = self.chunks.len() < CHUNKS_MAX;
        if fits {
            self.chunks.push_back((ino, begin, chunk));
        }
        fits
    }

    /// Forgets the files that wait to be read. Those that are asked for will be read
    /// all the same.
    pub(super) fn forget_waiting(&mut self) {
        self.waiting.clear();
    }

    /// Takes a file out that is asked for.
    pub(super) fn take(&mut self, ino: Ino) -> Caught {
        if let Some(place) = self.waiting.iter().position(|waiting| *waiting == ino) {
            self.waiting.remove(place);
            return Caught::Waiting;
        }
        let place = self.ready.iter().position(|(ready, _)| *ready == ino);
        match place.and_then(|place| self.remove_ready(place)) {
            Some((_, content)) => Caught::Ready(content),
            None => Caught::No,
        }
    }

    fn remove_ready(&mut self, place: usize) -> Option<(Ino, Bytes)> {
        let (ino, content) = self.ready.remove(place)?;
        self.ready_bytes -= content.len();
        Some((ino, content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(length: usize) -> Bytes {
        Bytes::from(vec![7; length])
    }

    #[test]
    fn what_the_kernel_knows_is_stored_first() {
        let mut queue = PushQueue::default();
        assert!(queue.add(vec![Ino(2), Ino(3), Ino(4)]));
        assert_eq!(queue.next(|_| false), Some(Step::Read(Ino(2))));
        queue.keep(Ino(2), content(1));
        assert_eq!(queue.next(|_| false), Some(Step::Read(Ino(3))));
        assert_eq!(
            queue.next(|ino| ino == Ino(2)),
            Some(Step::Store(Ino(2), content(1)))
        );
        assert_eq!(queue.next(|_| true), Some(Step::Read(Ino(4))));
        assert_eq!(queue.next(|_| true), None);
    }

    #[test]
    fn a_reader_takes_what_is_there() {
        let mut queue = PushQueue::default();
        queue.add(vec![Ino(2), Ino(3)]);
        assert!(matches!(queue.take(Ino(3)), Caught::Waiting));
        queue.keep(Ino(4), content(5));
        assert!(matches!(queue.take(Ino(4)), Caught::Ready(ready) if ready.len() == 5));
        assert!(matches!(queue.take(Ino(4)), Caught::No));
        assert_eq!(queue.next(|_| true), Some(Step::Read(Ino(2))));
        assert_eq!(queue.next(|_| true), None);
    }

    #[test]
    fn there_is_a_bound_to_everything() {
        let mut queue = PushQueue::default();
        assert!(queue.add((0..400).map(Ino).collect()));
        assert!(!queue.add((0..400).map(Ino).collect()));
        let mut queue = PushQueue::default();
        for number in 0..100 {
            queue.keep(Ino(number), content(READY_MAX / 10));
        }
        assert_eq!(queue.ready.len(), 10);
        assert!(queue.ready_bytes <= READY_MAX);
        assert!(matches!(queue.take(Ino(89)), Caught::No));
        for number in 0..2000 {
            queue.keep(Ino(number), content(1));
        }
        assert_eq!(queue.ready.len(), READY_FILES_MAX);
        for number in 0..20 {
            assert_eq!(queue.add_part(Ino(3), number, content(1)), number < 8);
        }
    }

    #[test]
    fn what_waits_is_forgotten_and_what_is_there_is_not() {
        let mut queue = PushQueue::default();
        queue.add(vec![Ino(2), Ino(3)]);
        queue.keep(Ino(4), content(5));
        queue.add_part(Ino(5), 6, content(7));
        queue.forget_waiting();
        assert!(matches!(queue.take(Ino(2)), Caught::No));
        assert_eq!(
            queue.next(|_| false),
            Some(Step::StorePart(Ino(5), 6, content(7)))
        );
        assert_eq!(queue.next(|_| true), Some(Step::Store(Ino(4), content(5))));
        assert_eq!(queue.next(|_| true), None);
    }
}
