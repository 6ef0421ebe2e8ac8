//! Where content is read, such that nothing else waits for it.
//!
//! Most reads are quick: a block is read, hashed and handed out, on the thread
//! that took the request where it is small, on another one where not. A large file
//! without a chunk table has to be read in full before the first of its bytes
//! can be; that is done elsewhere, once for each file, and the reads that need
//! it are set aside until then instead of keeping threads waiting.

use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use bytes::Bytes;

use crate::fs::{Filesystem, FsError};
use crate::inode::Ino;
use crate::sys::Errno;

use super::known::Known;
use super::pool::Pool;
use super::pusher::{Caught, Pusher};

/// Up to this size, in bytes, a read is small. The kernel reads ahead in larger
/// steps.
const SMALL_READ: u32 = 128 << 10;

/// One read, and whom to tell.
struct Job {
    offset: u64,
    size: u32,
    /// Whether the kernel keeps what it gets.
    is_kept: bool,
    reply: Box<dyn FnOnce(Result<Bytes, Errno>) + Send>,
}

impl Job {
    fn new(
        offset: u64,
        size: u32,
        reply: impl FnOnce(Result<Bytes, Errno>) + Send + 'static,
    ) -> Self {
        Self {
            offset,
            size,
            is_kept: true,
            reply: Box::new(reply),
        }
    }
}

/// The threads, and the reads that are set aside.
pub(super) struct Readers {
    filesystem: Arc<Filesystem>,
    quick: Arc<Pool>,
    slow: Pool,
    /// Where files go that will be read next, once there is a connection.
    pusher: Arc<OnceLock<Pusher>>,
    known: Arc<Known>,
    /// How many of the threads that take requests are reading, and how many may.
    busy: AtomicUsize,
    most_busy: usize,
    /// The files that are being prepared, and who waits for each.
    preparing: Arc<Mutex<HashMap<Ino, Vec<Job>>>>,
}

impl Readers {
    /// Threads for this machine.
    pub(super) fn new(
        filesystem: Arc<Filesystem>,
        pusher: Arc<OnceLock<Pusher>>,
        request_threads: usize,
    ) -> io::Result<Self> {
        let known = Arc::new(Known::new(filesystem.statistics().inodes));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            filesystem,
            // Some of them wait for the disk.
            quick: Arc::new(Pool::new("read", (2 * cores).clamp(4, 16))?),
            slow: Pool::new("prepare", cores.clamp(2, 8))?,
            pusher,
            busy: AtomicUsize::new(0),
            most_busy: request_threads.saturating_sub(1),
            known,
            preparing: Arc::default(),
        })
    }

    /// Small reads are done on the thread that took the request, for waking up
    /// another one can take longer than the read; but never on all of these
    /// threads, so that one is left for metadata however long a read takes.
    fn read_prepared(&self, ino: Ino, job: Job) {
        let here = (job.size <= SMALL_READ).then(|| self.read_here()).flatten();
        let Some(_here) = here else {
            spawn_read(&self.quick, &self.filesystem, ino, job);
            return;
        };
        let (offset, is_kept) = (job.offset, job.is_kept);
        read_now(&self.filesystem, ino, job);
        // The reader goes on meanwhile.
        if is_kept
            && let Some(pusher) = self.pusher.get()
            && let Some((begin, chunk)) = self.filesystem.chunk_at_hand(ino, offset)
        {
            pusher.store_chunk(ino, begin, &chunk);
        }
    }

    /// A file that was to be pushed is asked for: its reader is faster than we
    /// are. Before it goes on, more files get ready for it.
    fn read_caught_up(&self, pusher: &Pusher, ino: Ino, ready: Option<Bytes>, job: Job) {
        let here = self.read_here();
        let read = match ready {
            Some(content) => Ok(part(&content, job.offset, job.size)),
            None if here.is_some() => guard(|| self.filesystem.read(ino, job.offset, job.size)),
            None => return spawn_read(&self.quick, &self.filesystem, ino, job),
        };
        if here.is_some() {
            pusher.help();
        }
        drop(here);
        (job.reply)(read);
    }

    /// Counts this thread among those that read, if there may be one more.
    fn read_here(&self) -> Option<Here<'_>> {
        let more = |busy| (busy < self.most_busy).then_some(busy + 1);
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        let counted = self.busy.fetch_update(set, get, more);
        // Made only where it was counted: it counts back when it is dropped.
        counted.ok().map(|_| Here(&self.busy))
    }

    /// What the kernel was told of.
    pub(super) fn known(&self) -> &Arc<Known> {
        &self.known
    }

    /// Reads, and replies, here or on another thread.
    pub(super) fn read(
        &self,
        ino: Ino,
        offset: u64,
        size: u32,
        reply: impl FnOnce(Result<Bytes, Errno>) + Send + 'static,
    ) {
        let Some(pusher) = self.pusher.get() else {
            self.answer(ino, Job::new(offset, size, reply));
            return;
        };
        if let Some(content) = pusher.handoff().begin_read(ino) {
            reply(Ok(part(&content, offset, size)));
            return;
        }
        let handoff = Arc::clone(pusher.handoff());
        let job = Job::new(offset, size, move |read| {
            reply(read);
            handoff.end_read(ino);
        });
        if offset != 0 {
            self.answer(ino, job);
            return;
        }
        self.known.settle();
        pusher.push(self.filesystem.expect_after(ino));
        match pusher.catch(ino) {
            Caught::No => self.answer(ino, job),
            Caught::Waiting => self.read_caught_up(pusher, ino, None, job),
            Caught::Ready(content) => self.read_caught_up(pusher, ino, Some(content), job),
        }
    }

    /// The same for who reads past the page cache (`O_DIRECT`), and to whom
    /// nothing there is of use.
    pub(super) fn read_directly(
        &self,
        ino: Ino,
        offset: u64,
        size: u32,
        reply: impl FnOnce(Result<Bytes, Errno>) + Send + 'static,
    ) {
        let mut job = Job::new(offset, size, reply);
        job.is_kept = false;
        self.answer(ino, job);
    }

    fn answer(&self, ino: Ino, job: Job) {
        if self.filesystem.is_prepared(ino) {
            self.read_prepared(ino, job);
            return;
        }
        let mut preparing = self.preparing.lock();
        if let Some(waiting) = preparing.get_mut(&ino) {
            waiting.push(job);
            return;
        }
        preparing.insert(ino, vec![job]);
        drop(preparing);
        let filesystem = Arc::clone(&self.filesystem);
        let quick = Arc::clone(&self.quick);
        let preparing = Arc::clone(&self.preparing);
        self.slow.spawn(move || {
            let prepared = guard(|| filesystem.prepare(ino));
            let waiting = preparing.lock().remove(&ino).unwrap_or_default();
            for job in waiting {
                match prepared {
                    Ok(()) => spawn_read(&quick, &filesystem, ino, job),
                    Err(errno) => (job.reply)(Err(errno)),
                }
            }
        });
    }
}

/// A thread that takes requests and reads now; it is counted until this is
/// dropped.
struct Here<'a>(&'a AtomicUsize);

impl Drop for Here<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a read of a whole file's content gives.
fn part(content: &Bytes, offset: u64, size: u32) -> Bytes {
    let length = content.len();
    let begin = usize::try_from(offset).unwrap_or(length).min(length);
    let end = begin.saturating_add(size as usize).min(length);
    content.slice(begin..end)
}

fn spawn_read(pool: &Pool, filesystem: &Arc<Filesystem>, ino: Ino, job: Job) {
    let filesystem = Arc::clone(filesystem);
    pool.spawn(move || read_now(&filesystem, ino, job));
}

fn read_now(filesystem: &Filesystem, ino: Ino, job: Job) {
    let read = guard(|| filesystem.read(ino, job.offset, job.size));
    (job.reply)(read);
}

/// Runs an operation; a panic in it becomes an error of this operation, and
/// ends neither its thread nor the mount. Where it was is on standard error,
/// which a mount in the background does not have; so it is in the log as well.
pub(super) fn guard<T>(operation: impl FnOnce() -> Result<T, FsError>) -> Result<T, Errno> {
    catch_unwind(AssertUnwindSafe(operation))
        .unwrap_or_else(|panic| {
            let message = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied());
            log::error!("event=panic {}", message.unwrap_or("of an unknown kind"));
            Err(FsError::Panicked)
        })
        .map_err(|error| error.errno())
}

impl std::fmt::Debug for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readers")
            .field("preparing", &self.preparing.lock().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use parking_lot::Condvar;

    use crate::digest::Algorithm;
    use crate::fs::Presentation;
    use crate::inode::{InodeTable, RootOwner};
    use crate::manifest::{Content, Form, Kind, Limits, Manifest, Metadata, Resource};
    use crate::mode::FileMode;
    use crate::path::ManifestPath;
    use crate::source::{ContentRef, Source, SourceError, SourceFile};
    use crate::verify::{Options, Verifier};

    const BIG: u64 = 3 << 20;
    const PATIENCE: Duration = Duration::from_secs(30);

    /// A source whose file `/big` stays silent until its gate is opened.
    #[derive(Clone, Debug, Default)]
    struct Gated(Arc<Gate>);

    #[derive(Debug, Default)]
    struct Gate {
        open: Mutex<bool>,
        opened: Condvar,
        bytes: AtomicU64,
    }

    impl Source for Gated {
        fn open(&self, content: &ContentRef<'_>) -> Result<Box<dyn SourceFile>, SourceError> {
            Ok(Box::new(GatedFile {
                gate: Arc::clone(&self.0),
                size: content.size,
            }))
        }
    }

    #[derive(Debug)]
    struct GatedFile {
        gate: Arc<Gate>,
        size: u64,
    }

    impl SourceFile for GatedFile {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            if self.size == BIG {
                let mut open = self.gate.open.lock();
                while !*open {
                    self.gate.opened.wait(&mut open);
                }
            }
            let count = buffer.len().min((self.size - offset) as usize);
            buffer[..count].fill(7);
            self.gate.bytes.fetch_add(count as u64, Ordering::Relaxed);
            Ok(count)
        }
    }

    fn filesystem(source: Gated, is_right: bool) -> Arc<Filesystem> {
        let file = |path: &[u8], size: u64, fill: u8| Resource {
            paths: vec![ManifestPath::parse(path).unwrap()],
            metadata: Metadata::new(FileMode::from_stat(0o100_644).unwrap()),
            kind: Kind::Regular(Content {
                size,
                digests: vec![Algorithm::Sha256.hash(&vec![fill; size as usize])],
                ..Content::default()
            }),
            carried: None,
        };
        let manifest = Manifest {
            resources: vec![
                file(b"/big", BIG, if is_right { 7 } else { 8 }),
                file(b"/small", 5, 7),
            ],
            ..Manifest::default()
        };
        let bytes = manifest.encode(Form::Full).unwrap();
        let table = InodeTable::build(&bytes, &Limits::default(), RootOwner::default()).unwrap();
        let verifier = Verifier::new(Box::new(source), Options::default()).unwrap();
        Arc::new(Filesystem::new(
            table,
            verifier,
            Presentation::default(),
            None,
        ))
    }

    #[test]
    fn a_silent_large_file_holds_up_nobody_else() {
        let source = Gated::default();
        let filesystem = filesystem(source.clone(), true);
        let big = filesystem.lookup(Ino::ROOT, b"big").unwrap().ino;
        let small = filesystem.lookup(Ino::ROOT, b"small").unwrap().ino;
        let readers = Readers::new(filesystem, Arc::default(), 2).unwrap();
        let (say, hear) = mpsc::channel();
        for number in 0..64 {
            let say = say.clone();
            readers.read(big, number * 4096, 4096, move |read| {
                say.send(read.unwrap().len()).unwrap();
            });
        }
        let (say_small, hear_small) = mpsc::channel();
        readers.read(small, 0, 4096, move |read| say_small.send(read).unwrap());
        let small = hear_small.recv_timeout(PATIENCE).unwrap().unwrap();
        assert_eq!(small, &[7; 5][..]);
        assert!(hear.try_recv().is_err());

        *source.0.open.lock() = true;
        source.0.opened.notify_all();
        for _ in 0..64 {
            assert_eq!(hear.recv_timeout(PATIENCE).unwrap(), 4096);
        }
        // Once in full, and then what was asked for: two blocks.
        let bytes = source.0.bytes.load(Ordering::Relaxed);
        assert_eq!(bytes, 5 + BIG + 2 * 131_072);
    }

    /// If all of them stored at a time, each could wait for a page that only
    /// another one of them can let go.
    #[test]
    fn one_thread_is_always_left_for_requests() {
        let filesystem = filesystem(Gated::default(), true);
        let readers = Readers::new(filesystem, Arc::default(), 3).unwrap();
        for _ in 0..3 {
            let first = readers.read_here();
            let second = readers.read_here();
            assert!(first.is_some() && second.is_some());
            for _ in 0..5 {
                assert!(readers.read_here().is_none());
            }
            drop(first);
            assert!(readers.read_here().is_some());
        }
        assert_eq!(readers.busy.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn all_who_wait_hear_of_a_refusal() {
        let source = Gated::default();
        *source.0.open.lock() = true;
        let filesystem = filesystem(source, false);
        let big = filesystem.lookup(Ino::ROOT, b"big").unwrap().ino;
        let readers = Readers::new(filesystem, Arc::default(), 2).unwrap();
        let (say, hear) = mpsc::channel();
        for number in 0..20 {
            let say = say.clone();
            readers.read(big, number, 1, move |read| say.send(read).unwrap());
        }
        for _ in 0..20 {
            let read = hear.recv_timeout(PATIENCE).unwrap();
            assert_eq!(read, Err(Errno::IO));
        }
    }
}
