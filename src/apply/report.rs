//! Telling what happens, from all threads, and counting it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::path::ManifestPath;

use super::event::{Action, Cause, Change, Event, Failure};

/// How applying a manifest ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Entries that were not there.
    pub created: u64,
    /// Entries in whose place something else was.
    pub replaced: u64,
    /// Names that were linked to the right file.
    pub linked: u64,
    /// Entries of which only attributes were changed.
    pub changed: u64,
    /// Entries that the manifest does not list, each with all that was in it.
    pub removed: u64,
    /// Left-overs of earlier runs.
    pub leftovers: u64,
    /// Devices, sockets and whiteouts that were left out.
    pub left_out: u64,
    /// Bytes of content that were copied.
    pub copied: u64,
    /// Bytes of content that were shared with the source.
    pub shared: u64,
    /// How often an owner could not be set because we are not root.
    pub owners_refused: u64,
    /// How often an entry is not as declared.
    pub failures: u64,
    /// Whether it was given up.
    pub stopped: bool,
}

/// Tells and counts.
pub(super) struct Reporter<'a> {
    on_event: Mutex<&'a mut (dyn FnMut(&Event) + Send)>,
    summary: Mutex<Summary>,
    stopped: AtomicBool,
}

impl<'a> Reporter<'a> {
    pub fn new(on_event: &'a mut (dyn FnMut(&Event) + Send)) -> Self {
        Self {
            on_event: Mutex::new(on_event),
            summary: Mutex::default(),
            stopped: AtomicBool::new(false),
        }
    }

    pub fn change(&self, path: &ManifestPath, action: Action) {
        self.count(|summary| match action {
            Action::Create => summary.created += 1,
            Action::Replace => summary.replaced += 1,
            Action::Link => summary.linked += 1,
            Action::Attributes => summary.changed += 1,
            Action::Remove => summary.removed += 1,
        });
        let path = path.clone();
        (self.on_event.lock())(&Event::Change(Change { path, action }));
    }

    pub fn failure(&self, path: &ManifestPath, cause: Cause) {
        // Only the first is told: the others would only say the same.
        if cause.is_fatal() && self.stopped.swap(true, Ordering::Relaxed) {
            return;
        }
        self.count(|summary| {
            summary.failures += 1;
            summary.owners_refused += u64::from(cause.is_owner_refused());
        });
        let path = path.clone();
        (self.on_event.lock())(&Event::Failure(Failure { path, cause }));
    }

    pub fn count(&self, count: impl FnOnce(&mut Summary)) {
        count(&mut self.summary.lock());
    }

    /// Whether there is no sense in going on.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    pub fn finish(self) -> Summary {
        Summary {
            stopped: self.is_stopped(),
            ..self.summary.into_inner()
        }
    }
}

impl fmt::Debug for Reporter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter")
            .field("summary", &self.summary)
            .finish_non_exhaustive()
    }
}
