//! Giving files to the kernel before it asks for them (`FUSE_NOTIFY_STORE`,
//! fs/fuse/dev.c: `fuse_notify_store`).

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use crate::fs::Filesystem;
use crate::inode::Ino;

use super::readers::guard;

/// How many windows may wait. When there are more, the reader is faster than we
/// are, and they are of no use.
const WINDOWS: usize = 4;

/// A thread that reads files, checks them, and stores them in the kernel's page
/// cache.
///
/// It is a thread of its own because storing waits for a page that is being
/// read at the same time, and that read must be answered meanwhile.
#[derive(Debug)]
pub(super) struct Pusher(SyncSender<Vec<Ino>>);

impl Pusher {
    /// Starts the thread. It ends when this is dropped.
    pub(super) fn start(
        notifier: fuser::Notifier,
        filesystem: Arc<Filesystem>,
    ) -> io::Result<Self> {
        let (give, take) = sync_channel::<Vec<Ino>>(WINDOWS);
        std::thread::Builder::new()
            .name("push".to_owned())
            .spawn(move || {
                for ino in take.into_iter().flatten() {
                    // What cannot be read, the kernel will ask for.
                    if let Ok(content) = guard(|| filesystem.read_ahead(ino)) {
                        // The kernel may have forgotten the file.
                        let _ = notifier.store(fuser::INodeNo(ino.0), 0, &content);
                    }
                }
            })?;
        Ok(Self(give))
    }

    /// Gives these files to the kernel, soon or not at all.
    pub(super) fn push(&self, files: Vec<Ino>) {
        if !files.is_empty() {
            let _ = self.0.try_send(files);
        }
    }
}
