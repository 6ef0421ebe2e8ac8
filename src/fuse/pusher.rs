//! Giving files to the kernel before it asks for them (`FUSE_NOTIFY_STORE`,
//! fs/fuse/dev.c: `fuse_notify_store`).

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use crate::fs::Filesystem;
use crate::inode::Ino;

use super::handoff::Handoff;
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
pub(super) struct Pusher {
    windows: SyncSender<Vec<Ino>>,
    handoff: Arc<Handoff>,
}

impl Pusher {
    /// Starts the thread. It ends when this is dropped.
    pub(super) fn start(
        notifier: fuser::Notifier,
        filesystem: Arc<Filesystem>,
    ) -> io::Result<Self> {
        let (windows, take) = sync_channel::<Vec<Ino>>(WINDOWS);
        let handoff = Arc::<Handoff>::default();
        let apart = Arc::clone(&handoff);
        std::thread::Builder::new()
            .name("push".to_owned())
            .spawn(move || {
                for ino in take.into_iter().flatten() {
                    // What cannot be read, the kernel will ask for.
                    if let Ok(content) = guard(|| filesystem.read_ahead(ino)) {
                        apart.store(ino, &content, || {
                            // The kernel may have forgotten the file.
                            let _ = notifier.store(fuser::INodeNo(ino.0), 0, &content);
                        });
                    }
                }
            })?;
        Ok(Self { windows, handoff })
    }

    /// To be told of reads, so that they and the pushes do not wait for each
    /// other.
    pub(super) fn handoff(&self) -> &Arc<Handoff> {
        &self.handoff
    }

    /// Gives these files to the kernel, soon or not at all.
    pub(super) fn push(&self, files: Vec<Ino>) {
        if !files.is_empty() {
            let _ = self.windows.try_send(files);
        }
    }
}
