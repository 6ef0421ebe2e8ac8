//! What is to be pushed, as threads share it: they sleep while there is nothing that
//! they could do.
//!
//! `tests/models.rs` tries this file in many orders that its locks can be taken in.

use std::sync::Arc;

use bytes::Bytes;

use crate::inode::Ino;

use super::known::Known;
use super::push_queue::{Caught, PushQueue, Step};
use super::sync::{Condvar, Mutex};

/// A queue, and what the kernel knows of the files in it.
#[derive(Debug)]
pub(super) struct Pushes {
    queue: Mutex<PushQueue>,
    known: Arc<Known>,
    changed: Condvar,
}

impl Pushes {
    pub(super) fn new(known: Arc<Known>) -> Self {
        Self {
            queue: Mutex::default(),
            known,
            changed: Condvar::new(),
        }
    }

    /// Lets these files wait, all or none.
    pub(super) fn add(&self, files: Vec<Ino>) {
        if !files.is_empty() && self.queue.lock().add(files) {
            self.changed.notify_one();
        }
    }

    /// Lets a part of a file wait to be stored, if there is room.
    pub(super) fn add_part(&self, ino: Ino, begin: u64, chunk: Bytes) {
        if self.queue.lock().add_part(ino, begin, chunk) {
            self.changed.notify_one();
        }
    }

    /// What is to be done with a file that was read and checked: it can be stored now,
    /// or is kept until the kernel knows it.
    pub(super) fn checked(&self, ino: Ino, content: Bytes) -> Option<Bytes> {
        if self.known.has(ino) {
            return Some(content);
        }
        self.queue.lock().keep(ino, content);
        None
    }

    /// Forgets the files that wait to be read.
    pub(super) fn forget_waiting(&self) {
        self.queue.lock().forget_waiting();
    }

    /// Takes a file out that is asked for. If it was here, its reader is faster than
    /// we are.
    pub(super) fn catch(&self, ino: Ino) -> Caught {
        let caught = self.queue.lock().take(ino);
        if !matches!(caught, Caught::No) {
            // The kernel may know more by now.
            self.changed.notify_one();
        }
        caught
    }

    /// What can be done just now.
    pub(super) fn next(&self) -> Option<Step> {
        self.queue.lock().next(|ino| self.known.has(ino))
    }

    /// Waits for something to do; nothing once this is closed.
    pub(super) fn wait(&self) -> Option<Step> {
        let mut queue = self.queue.lock();
        while !queue.closed {
            if let Some(step) = queue.next(|ino| self.known.has(ino)) {
                return Some(step);
            }
            self.changed.wait(&mut queue);
        }
        None
    }

    /// Nobody will ask for more.
    pub(super) fn close(&self) {
        self.queue.lock().closed = true;
        self.changed.notify_all();
    }
}
