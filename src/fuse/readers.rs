//! Where content is read, such that nothing else waits for it.
//!
//! Most reads are quick: a block is read, hashed and handed out, on the thread
//! that took the request where it is small, on another one where not. A large file
//! without a chunk table has to be read in full before the first of its bytes
//! can be; that is done elsewhere, once for each file, and the reads that need
//! it are set aside until then instead of keeping threads waiting.
//!
//! The source may be silent for ever. So each reply lies in a table ([`super::owed`])
//! from which it is taken when its content is there, or at its deadline; threads that
//! are stuck are replaced ([`super::pool`]); and while any are, all but two of the
//! threads that take requests read nothing themselves, and those only beside what was
//! read just now.

use std::collections::HashMap;
use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lru::LruCache;
use parking_lot::Mutex;

use crate::fs::{Filesystem, FsError};
use crate::inode::Ino;
use crate::sys::Errno;

use super::end::End;
use super::handoff::Handoff;
use super::known::Known;
use super::owed::{self, Owed, Watch};
use super::pool::{self, Pool, Size};
use super::pusher::{Caught, Pusher};
use super::seats::{STUCK_AFTER, Seats};

/// Up to this size, in bytes, a read is small. The kernel reads ahead in larger
/// steps.
const SMALL_READ: u32 = 128 << 10;
/// So many of the threads that take requests never read.
const NEVER_READING: usize = 2;
/// So many read only while something is stuck, and only where nothing was just now.
const READING_WITH_CARE: usize = 2;
/// For how long files beside one that was read count as not stuck.
const LIVELY_FOR: Duration = Duration::from_secs(1);
/// How many directories are known to be lively.
const LIVELY_MAX: usize = 1024;
/// How many threads that read may be stuck.
const STUCK_READS: usize = 64;
/// How many threads that hash whole files may be stuck. Each has some megabytes.
const STUCK_PREPARATIONS: usize = 16;
/// How often deadlines and stuck threads are looked at, while there is anything to
/// look at.
const TICK: Duration = Duration::from_millis(100);

/// The kernel asks once more for one page of what could not be read. Who has just
/// waited in vain does not wait again for that.
const ASKS_AGAIN_WITHIN: Duration = Duration::from_secs(1);

/// What is asked for.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    ino: Ino,
    offset: u64,
    size: u32,
    /// Whether the kernel keeps what it gets.
    is_kept: bool,
}

impl Wanted {
    /// Whether it is to come from the source, whatever is at hand. Who reads little
    /// past the page cache reads here and there, and would have a chunk hashed each
    /// time.
    const fn is_anew(&self) -> bool {
        !self.is_kept && self.size > SMALL_READ
    }
}

/// A reply, and what it is to.
struct Reply {
    wanted: Wanted,
    give: Box<dyn FnOnce(Result<Bytes, Errno>) + Send>,
}

type Ticket = owed::Ticket<Reply, Bytes>;

/// One read.
struct Job {
    wanted: Wanted,
    ticket: Ticket,
    /// Its file was to be pushed, and was read for that.
    content: Option<Bytes>,
    /// Its file was to be pushed: its reader is faster than we are.
    is_caught: bool,
    /// The files that will be read next, if this one can be read.
    ahead: Vec<Ino>,
}

/// What the threads that read do.
enum Task {
    Read(Arc<Shared>, Job),
    /// Closing files of the source, which may take as long as reading them.
    Close(Arc<Shared>),
}

/// Checking a whole file, for all reads that wait for that.
struct Preparation {
    shared: Arc<Shared>,
    quick: Arc<Pool<Task>>,
    ino: Ino,
    read: Arc<AtomicU64>,
}

/// The threads, and the reads that are set aside.
pub(super) struct Readers(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    quick: Arc<Pool<Task>>,
    slow: Pool<Preparation>,
    /// Where threads that take requests sit while they read.
    seats: Seats,
    /// The same for those that read with care.
    careful_seats: Seats,
    known: Arc<Known>,
    /// Of the connection, once it is served.
    end: Arc<OnceLock<End>>,
}

/// What all threads know.
struct Shared {
    filesystem: Arc<Filesystem>,
    owed: Arc<Owed<Reply, Bytes>>,
    /// Where files go that will be read next, once there is a connection.
    pusher: Arc<OnceLock<Pusher>>,
    /// The files that are being prepared, and who waits for each.
    preparing: Mutex<HashMap<Ino, Preparing>>,
    /// The files whose readers have just waited in vain, and until when nobody else
    /// waits for them.
    silent: Mutex<HashMap<Ino, Instant>>,
    /// Whether anything is stuck just now.
    is_stalling: AtomicBool,
    /// The directories in which a file was read lately while something was stuck, and
    /// when.
    lively: Mutex<LruCache<Ino, Instant>>,
}

struct Preparing {
    waiting: Vec<Job>,
    /// How many bytes came so far.
    read: Arc<AtomicU64>,
}

impl Readers {
    /// Threads for this machine.
    pub(super) fn new(
        filesystem: Arc<Filesystem>,
        pusher: Arc<OnceLock<Pusher>>,
        end: Arc<OnceLock<End>>,
        request_threads: usize,
    ) -> io::Result<Self> {
        let known = Arc::new(Known::new(filesystem.statistics().inodes));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let owed = Arc::new(Owed::new(filesystem.patience()));
        let shared = Arc::new(Shared {
            filesystem,
            owed,
            pusher,
            preparing: Mutex::default(),
            silent: Mutex::default(),
            is_stalling: AtomicBool::new(false),
            lively: Mutex::new(LruCache::new(
                NonZeroUsize::new(LIVELY_MAX).unwrap_or(NonZeroUsize::MIN),
            )),
        });
        let quick = Size {
            // Some of them wait for the disk.
            usual: (2 * cores).clamp(4, 16),
            stuck: STUCK_READS,
        };
        let slow = Size {
            usual: cores.clamp(2, 8),
            stuck: STUCK_PREPARATIONS,
        };
        let inner = Arc::new(Inner {
            shared,
            quick: Arc::new(Pool::new("read", quick)?),
            slow: Pool::new("prepare", slow)?,
            seats: Seats::new(request_threads.saturating_sub(NEVER_READING + READING_WITH_CARE)),
            careful_seats: Seats::new(READING_WITH_CARE),
            known,
            end,
        });
        let readers = Self(inner);
        let inner = Arc::clone(&readers.0);
        std::thread::Builder::new()
            .name("deadlines".to_owned())
            .spawn(move || inner.watch())?;
        Ok(readers)
    }

    /// What the kernel was told of.
    pub(super) fn known(&self) -> &Arc<Known> {
        &self.0.known
    }

    /// Reads, and replies, here or on another thread.
    pub(super) fn read(
        &self,
        ino: Ino,
        offset: u64,
        size: u32,
        reply: impl FnOnce(Result<Bytes, Errno>) + Send + 'static,
    ) {
        let inner = &*self.0;
        let now = Instant::now();
        let wanted = Wanted {
            ino,
            offset,
            size,
            is_kept: true,
        };
        let Some(pusher) = inner.shared.pusher.get() else {
            return inner.answer(Job::new(&inner.shared.owed, wanted, now, reply), now);
        };
        if let Some(content) = pusher.handoff().begin_read(ino) {
            reply(Ok(part(&content, offset, size)));
            return;
        }
        let reading = Reading(Arc::clone(pusher.handoff()), ino);
        let mut job = Job::new(&inner.shared.owed, wanted, now, move |read| {
            reply(read);
            drop(reading);
        });
        if offset == 0 {
            inner.known.settle();
            job.ahead = inner.shared.filesystem.expect_after(ino);
            let caught = pusher.catch(ino);
            job.is_caught = !matches!(caught, Caught::No);
            if let Caught::Ready(content) = caught {
                job.content = Some(content);
            }
        }
        inner.answer(job, now);
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
        let now = Instant::now();
        let wanted = Wanted {
            ino,
            offset,
            size,
            is_kept: false,
        };
        let job = Job::new(&self.0.shared.owed, wanted, now, reply);
        self.0.answer(job, now);
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.0.shared.owed.close();
    }
}

impl Job {
    fn new(
        owed: &Arc<Owed<Reply, Bytes>>,
        wanted: Wanted,
        now: Instant,
        reply: impl FnOnce(Result<Bytes, Errno>) + Send + 'static,
    ) -> Self {
        let give = Box::new(reply);
        Self {
            wanted,
            ticket: owed.owe(Reply { wanted, give }, now),
            content: None,
            is_caught: false,
            ahead: Vec::new(),
        }
    }

    fn answer(self, read: Result<Bytes, Errno>) {
        // Nothing is left of it after its deadline.
        if let Some(reply) = self.ticket.take() {
            (reply.give)(read);
        }
    }
}

impl Inner {
    fn answer(&self, job: Job, now: Instant) {
        if self.shared.is_stalling.load(Ordering::Relaxed) && job.content.is_none() {
            self.answer_in_stall(job, now);
        } else if job.content.is_some() || self.shared.filesystem.is_prepared(job.wanted.ino) {
            self.answer_prepared(job, now);
        } else {
            self.set_aside(job, now);
        }
    }

    /// While something is stuck, nobody waits who need not, nor for what is known to
    /// be stuck.
    fn answer_in_stall(&self, mut job: Job, now: Instant) {
        let Wanted {
            ino, offset, size, ..
        } = job.wanted;
        let at_hand = || self.shared.filesystem.at_hand(ino, offset, size);
        if let Some(content) = (!job.wanted.is_anew()).then(at_hand).flatten() {
            self.shared.push(&mut job);
            return job.answer(Ok(content));
        }
        if self.shared.is_silent(ino, now) {
            return job.answer(Err(Errno::IO));
        }
        let is_prepared = self.shared.filesystem.is_prepared(ino);
        let is_lost = if is_prepared {
            self.quick.is_lost()
        } else {
            self.slow.is_lost()
        };
        if is_lost {
            self.shared.filesystem.note_stalled(ino, offset, size);
            return job.answer(Err(Errno::IO));
        }
        if is_prepared {
            self.answer_prepared(job, now);
        } else {
            self.set_aside(job, now);
        }
    }

    fn spawn(&self, job: Job) {
        let ino = job.wanted.ino;
        self.quick
            .spawn(ino, Task::Read(Arc::clone(&self.shared), job));
    }

    /// Small reads are done on the thread that took the request, for waking up
    /// another one can take longer than the read; but never on all of these
    /// threads, so that some are left for metadata however long a read takes.
    fn answer_prepared(&self, job: Job, now: Instant) {
        let wanted = job.wanted;
        let is_stalling = self.shared.is_stalling.load(Ordering::Relaxed);
        if let Some(content) = &job.content
            && is_stalling
        {
            let content = part(content, wanted.offset, wanted.size);
            job.ticket.is_ready(content, now + STUCK_AFTER);
        }
        let seat = if wanted.size > SMALL_READ {
            None
        } else if !is_stalling {
            self.seats.take(now)
        } else if self.shared.is_lively(wanted.ino, now) {
            self.careful_seats.take(now)
        } else {
            None
        };
        let Some(_seat) = seat else {
            return self.spawn(job);
        };
        self.shared.read(job);
        // The reader goes on meanwhile.
        if let Some((pusher, begin, chunk)) = self.shared.chunk_at_hand(wanted) {
            pusher.store_chunk(wanted.ino, begin, &chunk);
        }
        if self.shared.filesystem.has_unused() {
            let task = Task::Close(Arc::clone(&self.shared));
            self.quick.spawn(CLOSING, task);
        }
    }

    fn set_aside(&self, job: Job, now: Instant) {
        let ino = job.wanted.ino;
        let mut preparing = self.shared.preparing.lock();
        if let Some(found) = preparing.get_mut(&ino) {
            job.ticket.needs(&found.read, now);
            found.waiting.push(job);
            return;
        }
        let read = Arc::default();
        job.ticket.needs(&read, now);
        let waiting = vec![job];
        let read_too = Arc::clone(&read);
        preparing.insert(ino, Preparing { waiting, read });
        drop(preparing);
        let preparation = Preparation {
            shared: Arc::clone(&self.shared),
            quick: Arc::clone(&self.quick),
            ino,
            read: read_too,
        };
        self.slow.spawn(ino, preparation);
    }

    /// Looks after deadlines and stuck threads.
    fn watch(&self) {
        let owed = &self.shared.owed;
        let mut seen = 0;
        let mut is_busy = true;
        while owed.wait(TICK, is_busy, &mut seen) == Watch::GoOn {
            is_busy = self.look_after(Instant::now());
        }
    }

    /// Whether anything is going on.
    fn look_after(&self, now: Instant) -> bool {
        let patience = self.shared.filesystem.patience();
        let mut conditions = vec![
            self.quick.look_after(now, patience),
            self.slow.look_after(now, patience),
            self.seats.condition(now),
            self.careful_seats.condition(now),
        ];
        let pusher = self.shared.pusher.get();
        conditions.extend(pusher.map(|pusher| pusher.look_after(now)));
        let is_stalling = conditions.iter().any(|condition| condition.stuck > 0);
        self.shared
            .is_stalling
            .store(is_stalling, Ordering::Relaxed);
        for (reply, content) in self.shared.owed.take_due(now) {
            let Wanted {
                ino, offset, size, ..
            } = reply.wanted;
            if content.is_none() {
                self.shared.filesystem.note_stalled(ino, offset, size);
                let until = now + ASKS_AGAIN_WITHIN;
                self.shared.silent.lock().insert(ino, until);
            }
            // A reply that is dropped by a panic says EIO.
            let _ = guard(|| {
                (reply.give)(content.ok_or(Errno::IO));
                Ok(())
            });
        }
        if is_stalling {
            // Who should see it may be stuck.
            if let Some(end) = self.end.get() {
                end.look();
            }
            self.shared.forget_answered();
        }
        self.shared.silent.lock().retain(|_, until| *until > now);
        conditions.iter().any(|condition| condition.is_busy)
    }
}

impl Shared {
    /// Reads what is wanted, and replies.
    fn read(&self, mut job: Job) {
        let Wanted {
            ino, offset, size, ..
        } = job.wanted;
        let read = match job.content.take() {
            Some(content) => Ok(part(&content, offset, size)),
            None if job.wanted.is_anew() => guard(|| self.filesystem.read_anew(ino, offset, size)),
            None => guard(|| self.filesystem.read(ino, offset, size)),
        };
        if !self.silent.lock().is_empty() {
            self.silent.lock().remove(&ino);
        }
        if let Ok(content) = &read {
            if self.is_stalling.load(Ordering::Relaxed) {
                let directory = self.filesystem.parent(ino);
                self.lively.lock().put(directory, Instant::now());
            }
            self.push(&mut job);
            if job.is_caught
                && let Some(pusher) = self.pusher.get()
            {
                // Before the reader goes on, more files get ready for it. If one of
                // them is stuck, that is no reason to wait.
                let soon = Instant::now() + STUCK_AFTER;
                job.ticket.is_ready(content.clone(), soon);
                pusher.help();
            }
        }
        job.answer(read);
    }

    /// Has the files pushed that will be read next. Not before this one is there: if
    /// it is stuck, they are most likely too.
    fn push(&self, job: &mut Job) {
        if let Some(pusher) = self.pusher.get() {
            pusher.push(std::mem::take(&mut job.ahead));
        }
    }

    /// All of the chunk of which a part was read, to be stored.
    fn chunk_at_hand(&self, wanted: Wanted) -> Option<(&Pusher, u64, Bytes)> {
        let pusher = self.pusher.get().filter(|_| wanted.is_kept)?;
        let (begin, chunk) = self.filesystem.chunk_at_hand(wanted.ino, wanted.offset)?;
        Some((pusher, begin, chunk))
    }

    fn is_silent(&self, ino: Ino, now: Instant) -> bool {
        let silent = self.silent.lock();
        silent.get(&ino).is_some_and(|until| *until > now)
    }

    /// Whether another file in the same directory was read just now.
    fn is_lively(&self, ino: Ino, now: Instant) -> bool {
        let directory = self.filesystem.parent(ino);
        let lively = self.lively.lock();
        let at = lively.peek(&directory);
        at.is_some_and(|at| now.saturating_duration_since(*at) < LIVELY_FOR)
    }

    /// Lets go of reads that were set aside and have been answered.
    fn forget_answered(&self) {
        for preparing in self.preparing.lock().values_mut() {
            preparing.waiting.retain(|job| job.ticket.is_owed());
        }
    }
}

/// Closing takes turns with the files that are read.
const CLOSING: Ino = Ino(0);

impl pool::Job for Task {
    fn run(self) {
        let shared = match self {
            Self::Read(shared, job) => {
                let wanted = job.wanted;
                shared.read(job);
                if wanted.size <= SMALL_READ
                    && let Some((pusher, begin, chunk)) = shared.chunk_at_hand(wanted)
                {
                    pusher.store_chunk_later(wanted.ino, begin, chunk);
                }
                shared
            }
            Self::Close(shared) => shared,
        };
        shared.filesystem.close_unused();
    }

    fn is_wanted(&self) -> bool {
        match self {
            Self::Read(_, job) => job.ticket.is_owed(),
            Self::Close(_) => true,
        }
    }
}

impl pool::Job for Preparation {
    fn run(self) {
        let Self {
            shared,
            quick,
            ino,
            read,
        } = self;
        let prepared = guard(|| shared.filesystem.prepare(ino, &read));
        shared.silent.lock().remove(&ino);
        let done = shared.preparing.lock().remove(&ino);
        let now = Instant::now();
        for job in done.into_iter().flat_map(|done| done.waiting) {
            match prepared {
                Ok(()) => {
                    job.ticket.begin(now);
                    quick.spawn(ino, Task::Read(Arc::clone(&shared), job));
                }
                Err(errno) => job.answer(Err(errno)),
            }
        }
    }

    fn pulse(&self) -> Option<Arc<AtomicU64>> {
        Some(Arc::clone(&self.read))
    }
}

/// A read that the handoff knows of, until this is dropped.
struct Reading(Arc<Handoff>, Ino);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.end_read(self.1);
    }
}

/// What a read of a whole file's content gives.
fn part(content: &Bytes, offset: u64, size: u32) -> Bytes {
    let length = content.len();
    let begin = usize::try_from(offset).unwrap_or(length).min(length);
    let end = begin.saturating_add(size as usize).min(length);
    content.slice(begin..end)
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
            .field("owed", &self.0.shared.owed.count())
            .field("preparing", &self.0.shared.preparing.lock().len())
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
        filesystem_with(source, is_right, None)
    }

    fn filesystem_with(
        source: Gated,
        is_right: bool,
        patience: Option<Duration>,
    ) -> Arc<Filesystem> {
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
        let options = Options {
            patience,
            ..Options::default()
        };
        let verifier = Verifier::new(Box::new(source), options).unwrap();
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
        let readers = Readers::new(filesystem, Arc::default(), Arc::default(), 2).unwrap();
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

    /// Each of them at its own deadline, and nobody twice.
    #[test]
    fn all_who_wait_hear_at_their_deadline() {
        const TIMEOUT: Duration = Duration::from_millis(400);
        let source = Gated::default();
        let filesystem = filesystem_with(source.clone(), true, Some(TIMEOUT));
        let big = filesystem.lookup(Ino::ROOT, b"big").unwrap().ino;
        let readers =
            Readers::new(Arc::clone(&filesystem), Arc::default(), Arc::default(), 6).unwrap();
        let (say, hear) = mpsc::channel();
        for number in 0..20 {
            let (say, begin) = (say.clone(), Instant::now());
            readers.read(big, number, 1, move |read| {
                say.send((read, begin.elapsed())).unwrap();
            });
            std::thread::sleep(Duration::from_millis(10));
        }
        for _ in 0..20 {
            let (read, took) = hear.recv_timeout(PATIENCE).unwrap();
            assert_eq!(read, Err(Errno::IO));
            assert!(took >= TIMEOUT, "{took:?}");
        }
        assert_eq!(filesystem.stalls(), 20);
        // The kernel asks again at once, and gets the same answer.
        let (say_again, again) = mpsc::channel();
        readers.read(big, 0, 1, move |read| say_again.send(read).unwrap());
        assert_eq!(again.try_recv(), Ok(Err(Errno::IO)));
        assert_eq!(readers.0.shared.owed.count(), 0);

        *source.0.open.lock() = true;
        source.0.opened.notify_all();
        let begin = Instant::now();
        let (say_late, late) = mpsc::channel();
        while {
            let say = say_late.clone();
            readers.read(big, 0, 1, move |read| say.send(read).unwrap());
            late.recv_timeout(PATIENCE).unwrap().is_err()
        } {
            assert!(begin.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(say);
        // What came late was given to nobody.
        assert!(hear.recv().is_err());
    }

    #[test]
    fn all_who_wait_hear_of_a_refusal() {
        let source = Gated::default();
        *source.0.open.lock() = true;
        let filesystem = filesystem(source, false);
        let big = filesystem.lookup(Ino::ROOT, b"big").unwrap().ino;
        let readers = Readers::new(filesystem, Arc::default(), Arc::default(), 2).unwrap();
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
