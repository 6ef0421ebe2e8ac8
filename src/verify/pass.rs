//! One pass over a whole file: read on one thread, hashed on another.
//!
//! A digest of the whole can only go byte after byte; reading, and what else is to
//! be done with the bytes, goes on beside it.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;

use super::block::Plan;
use super::check::Check;
use super::declared::Declared;
use super::error::Reason;

/// How much is read at once, in bytes; more where a block is more.
const PIECE: u64 = 1 << 20;
/// How many pieces are on their way at the most: one is being hashed while
/// something is done with one and one waits.
const PIECES: usize = 3;

/// What is read, how it is cut, and who looks on.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub(super) declared: &'a Declared<'a>,
    pub(super) plan: Plan<'a>,
    /// Counts the bytes that came so far.
    pub(super) read: &'a AtomicU64,
    /// Whether nobody wants the end of it any more.
    pub(super) stopped: &'a AtomicBool,
}

type Piece = (Range<u64>, Arc<Vec<u8>>);

impl Pass<'_> {
    /// Reads all bytes by `read`, hands each piece to `work` while it is hashed, and
    /// is done when all of them have matched. A piece is of whole blocks.
    ///
    /// The memory that is hashed is the one that `work` sees, and nobody writes to it.
    pub(super) fn run<E: From<Reason>>(
        &self,
        read: impl Fn(&mut [u8], u64) -> io::Result<usize>,
        work: impl FnMut(Range<u64>, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        thread::scope(|scope| {
            let (give, take) = sync_channel::<Piece>(1);
            let (give_back, spare) = channel::<Arc<Vec<u8>>>();
            let mut check = Check::new(self.declared, self.plan);
            let hashing = thread::Builder::new()
                .name("hash".to_owned())
                .spawn_scoped(scope, move || {
                    for (range, bytes) in take {
                        check.update(range, &bytes)?;
                        // Nobody takes the last ones.
                        let _ = give_back.send(bytes);
                    }
                    check.finish()
                })
                .map_err(Reason::Io)?;
            let went = self.go(read, work, give, &spare);
            let matched = hashing
                .join()
                .unwrap_or_else(|_| Err(Reason::Io(io::Error::other("hashing panicked"))));
            went.and_then(|()| matched.map_err(E::from))
        })
    }

    fn go<E: From<Reason>>(
        &self,
        read: impl Fn(&mut [u8], u64) -> io::Result<usize>,
        mut work: impl FnMut(Range<u64>, &[u8]) -> Result<(), E>,
        give: SyncSender<Piece>,
        spare: &Receiver<Arc<Vec<u8>>>,
    ) -> Result<(), E> {
        let declared = self.declared;
        let mut made = 0;
        for range in self.pieces() {
            if self.stopped.load(Ordering::Relaxed) {
                return Err(Reason::Stopped.into());
            }
            let mut room = if made < PIECES {
                made += 1;
                Arc::default()
            } else {
                // None comes back when hashing has ended early: with a refusal.
                match spare.recv() {
                    Ok(room) => room,
                    Err(_) => return Ok(()),
                }
            };
            let bytes: &mut Vec<u8> = Arc::make_mut(&mut room);
            bytes.resize((range.end - range.start) as usize, 0);
            let count = read(bytes, range.start).map_err(Reason::Io)?;
            self.read.fetch_add(count as u64, Ordering::Relaxed);
            if count < bytes.len() {
                let found = range.start.saturating_add(count as u64);
                return Err(declared.short(found).into());
            }
            if give.send((range.clone(), Arc::clone(&room))).is_err() {
                return Ok(());
            }
            work(range, &room)?;
        }
        // A chunk table says nothing of what comes behind its last chunk.
        let is_whole = !matches!(self.plan, Plan::Chunks(_));
        if is_whole && read(&mut [0], declared.size).map_err(Reason::Io)? > 0 {
            return Err(declared.long().into());
        }
        Ok(())
    }

    /// The file in pieces of whole blocks.
    fn pieces(&self) -> impl Iterator<Item = Range<u64>> {
        let (size, plan) = (self.declared.size, self.plan);
        let mut begin = 0_u64;
        std::iter::from_fn(move || {
            let last = begin.checked_add(PIECE)?.min(size).checked_sub(1)?;
            let end = match plan {
                Plan::Chunks(_) | Plan::Private(_) => plan.range(plan.index_of(last), size).end,
                Plan::Whole => last + 1,
            };
            let piece = begin..end;
            begin = end;
            (piece.start < piece.end).then_some(piece)
        })
    }
}
