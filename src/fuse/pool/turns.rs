//! The jobs that wait, and the turns that their files take.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::inode::Ino;

/// What a thread has to do.
pub(in crate::fuse) trait Job: Send + 'static {
    /// Does it.
    fn run(self);

    /// Whether anybody waits for it. If not, it is not begun.
    fn is_wanted(&self) -> bool {
        true
    }

    /// Something that counts on as long as it gets on, if it may take long.
    fn pulse(&self) -> Option<Arc<AtomicU64>> {
        None
    }
}

/// Jobs on files. How many of them may be done at a time on one file, its share, is
/// said each time.
pub(super) struct Turns<J> {
    files: HashMap<Ino, File<J>>,
    /// The files whose turn comes: jobs wait, and not too many threads are at it.
    queue: VecDeque<Ino>,
}

/// The jobs on one file.
struct File<J> {
    waiting: VecDeque<J>,
    running: usize,
    /// Whether its turn comes.
    has_turn: bool,
}

impl<J> Default for Turns<J> {
    fn default() -> Self {
        Self {
            files: HashMap::new(),
            queue: VecDeque::new(),
        }
    }
}

impl<J: Job> Turns<J> {
    /// Lets a job wait.
    pub(super) fn add(&mut self, number: Ino, job: J, share: usize) {
        let file = self.files.entry(number).or_insert_with(|| File {
            waiting: VecDeque::new(),
            running: 0,
            has_turn: false,
        });
        file.waiting.push_back(job);
        if !file.has_turn && file.running < share {
            file.has_turn = true;
            self.queue.push_back(number);
        }
    }

    /// Takes the next job, and the file that it is on, if there is one.
    pub(super) fn next(&mut self, share: usize) -> Option<(Ino, J)> {
        while let Some(number) = self.queue.pop_front() {
            let Some(file) = self.files.get_mut(&number) else {
                continue;
            };
            file.has_turn = false;
            if file.running >= share {
                // It gets a turn again when one of its jobs is done.
                continue;
            }
            while let Some(job) = file.waiting.pop_front() {
                if !job.is_wanted() {
                    continue;
                }
                file.running += 1;
                if file.running < share && !file.waiting.is_empty() {
                    file.has_turn = true;
                    self.queue.push_back(number);
                }
                return Some((number, job));
            }
            if file.running == 0 {
                self.files.remove(&number);
            }
        }
        None
    }

    /// Takes notice that a job on a file is done.
    pub(super) fn done(&mut self, number: Ino, share: usize) {
        let Some(file) = self.files.get_mut(&number) else {
            return;
        };
        file.running -= 1;
        if file.waiting.is_empty() {
            if file.running == 0 {
                self.files.remove(&number);
            }
        } else if !file.has_turn && file.running < share {
            file.has_turn = true;
            self.queue.push_back(number);
        }
    }

    /// The share has grown: the files whose jobs it held back get their turns.
    pub(super) fn widen(&mut self, share: usize) {
        for (number, file) in &mut self.files {
            if !file.has_turn && file.running < share && !file.waiting.is_empty() {
                file.has_turn = true;
                self.queue.push_back(*number);
            }
        }
    }

    /// Drops the jobs that nobody waits for.
    pub(super) fn clear(&mut self) {
        for file in self.files.values_mut() {
            file.waiting.retain(Job::is_wanted);
        }
        self.files
            .retain(|_, file| file.running > 0 || !file.waiting.is_empty());
    }

    /// How many files' turns come.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Whether no job waits, and none is being done.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    #[cfg(test)]
    pub(super) fn waiting_on(&self, number: Ino) -> usize {
        self.files.get(&number).map_or(0, |file| file.waiting.len())
    }
}
