//! Keeps apart what the kernel asks for and what we store unasked.
//!
//! Storing waits in the kernel for a page that is being read at the same time,
//! and cannot be interrupted there. So a file that is being asked for is not
//! stored, and who asks for the one that is being stored just now is answered
//! with the same content at once, whatever the source does.
//!
//! Its tests are in `tests/models.rs`, which runs it with other locks.

use std::collections::HashMap;

use bytes::Bytes;

use crate::inode::Ino;

use super::sync::Mutex;

/// The reads that are under way, and the files that are being stored.
#[derive(Debug, Default)]
pub(super) struct Handoff(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    reads: HashMap<Ino, usize>,
    /// A few at the most: one for each thread that stores.
    storing: Vec<(Ino, Bytes)>,
}

impl Handoff {
    /// A read begins. If all of the file is being stored just now, here it is,
    /// and the read need not begin.
    pub(super) fn begin_read(&self, ino: Ino) -> Option<Bytes> {
        let mut state = self.0.lock();
        if let Some((_, content)) = state.storing.iter().find(|(storing, _)| *storing == ino) {
            return Some(content.clone());
        }
        *state.reads.entry(ino).or_default() += 1;
        None
    }

    /// A read has been answered.
    pub(super) fn end_read(&self, ino: Ino) {
        let mut state = self.0.lock();
        if let Some(count) = state.reads.get_mut(&ino) {
            *count -= 1;
            if *count == 0 {
                state.reads.remove(&ino);
            }
        }
    }

    /// Stores a whole file, unless somebody is asking for it.
    pub(super) fn store(&self, ino: Ino, content: &Bytes, store: impl FnOnce()) {
        {
            let mut state = self.0.lock();
            if state.reads.contains_key(&ino) {
                return;
            }
            state.storing.push((ino, content.clone()));
        }
        store();
        self.0.lock().storing.retain(|(storing, _)| *storing != ino);
    }
}
