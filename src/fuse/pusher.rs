//! Giving files to the kernel before it asks for them (`FUSE_NOTIFY_STORE`,
//! fs/fuse/dev.c: `fuse_notify_store`).

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::fs::Filesystem;
use crate::inode::Ino;

use super::handoff::Handoff;
use super::readers::guard;

/// How many files may wait. When there are more, the reader is faster than we
/// are, and they are of no use.
const WAITING_MAX: usize = 512;

/// How long a reader that has caught up is kept waiting, such that more than
/// one file is there when it goes on. Its own file is ready by then; this is
/// the price of a few round trips.
const HEAD_START: Duration = Duration::from_micros(500);

/// Threads that read files, check them, and store them in the kernel's page
/// cache.
///
/// They are threads of their own because storing waits for a page that is being
/// read at the same time, and that read must be answered meanwhile.
#[derive(Debug)]
pub(super) struct Pusher(Arc<Shared>);

struct Shared {
    notifier: fuser::Notifier,
    filesystem: Arc<Filesystem>,
    handoff: Arc<Handoff>,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    files: VecDeque<Ino>,
    closed: bool,
}

impl Pusher {
    /// Starts `count` threads. They end when this is dropped.
    pub(super) fn start(
        notifier: fuser::Notifier,
        filesystem: Arc<Filesystem>,
        count: usize,
    ) -> io::Result<Self> {
        let pusher = Self(Arc::new(Shared {
            notifier,
            filesystem,
            handoff: Arc::default(),
            queue: Mutex::default(),
            changed: Condvar::new(),
        }));
        for number in 0..count {
            let shared = Arc::clone(&pusher.0);
            std::thread::Builder::new()
                .name(format!("push-{number}"))
                .spawn(move || shared.work())?;
        }
        Ok(pusher)
    }

    /// To be told of reads, so that they and the pushes do not wait for each
    /// other.
    pub(super) fn handoff(&self) -> &Arc<Handoff> {
        &self.0.handoff
    }

    /// Gives these files to the kernel, soon or not at all.
    pub(super) fn push(&self, files: Vec<Ino>) {
        if files.is_empty() {
            return;
        }
        let mut queue = self.0.queue.lock();
        if queue.files.len() + files.len() <= WAITING_MAX {
            queue.files.extend(files);
            drop(queue);
            self.0.changed.notify_one();
        }
    }

    /// Takes a file that is being asked for out of those that wait, and tells
    /// whether it was among them: then its reader has caught up.
    pub(super) fn overtaken(&self, ino: Ino) -> bool {
        let mut queue = self.0.queue.lock();
        let Some(place) = queue.files.iter().position(|waiting| *waiting == ino) else {
            return false;
        };
        queue.files.remove(place);
        true
    }

    /// Stores some of the files that wait, on this thread.
    pub(super) fn help(&self) {
        let begin = Instant::now();
        while begin.elapsed() < HEAD_START {
            let Some(ino) = self.0.queue.lock().files.pop_front() else {
                return;
            };
            self.0.store(ino);
        }
    }
}

impl Shared {
    fn work(&self) {
        while let Some(ino) = self.next() {
            self.store(ino);
        }
    }

    fn next(&self) -> Option<Ino> {
        let mut queue = self.queue.lock();
        loop {
            if queue.closed {
                return None;
            }
            if let Some(ino) = queue.files.pop_front() {
                return Some(ino);
            }
            self.changed.wait(&mut queue);
        }
    }

    fn store(&self, ino: Ino) {
        // What cannot be read, the kernel will ask for.
        if let Ok(content) = guard(|| self.filesystem.read_ahead(ino)) {
            self.handoff.store(ino, &content, || {
                // The kernel may have forgotten the file.
                let _ = self.notifier.store(fuser::INodeNo(ino.0), 0, &content);
            });
        }
    }
}

impl Drop for Pusher {
    fn drop(&mut self) {
        self.0.queue.lock().closed = true;
        self.0.changed.notify_all();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pusher")
            .field("queue", &self.queue.lock())
            .finish_non_exhaustive()
    }
}
