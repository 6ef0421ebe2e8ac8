//! A private copy of a whole file, every byte of which was hashed and matched.
//!
//! Nobody else can write to the copy, before or after. So it is the same whether
//! the bytes are hashed in the buffer from which they are written, or read back
//! from a copy that shares its blocks with the source: what will be read from
//! the copy is what was hashed. The source is never looked at again.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;

use thiserror::Error;

use crate::digest::{Digest, Hasher};
use crate::source::SourceFile;
use crate::sys::{self, PrivateFile, SealedFile};

use super::block::Plan;
use super::declared::{ChunksRef, Declared};
use super::error::{Reason, VerifyError};
use super::verifier::Verifier;

/// How much is read at once, in bytes; more where a chunk is more.
const PIECE: u64 = 1 << 20;
/// How many pieces are on their way at the most: one is being hashed while one is
/// written and one waits.
const PIECES: usize = 3;

/// Why there is no copy.
#[derive(Debug, Error)]
pub enum CopyError {
    /// The content is not what is declared.
    #[error("{0}")]
    Refused(#[from] VerifyError),
    /// The copy cannot be made, whatever the content is.
    #[error("cannot write a private copy: {0}")]
    Store(#[source] io::Error),
}

impl Verifier {
    /// Fills `to` with the content of a file, all of it checked, and seals it.
    /// `read` counts the bytes that came so far.
    ///
    /// # Errors
    /// See [`CopyError`].
    pub fn copy(
        &self,
        declared: &Declared<'_>,
        to: PrivateFile,
        read: &AtomicU64,
    ) -> Result<SealedFile, CopyError> {
        let copying = |plan| Copying {
            declared,
            plan,
            read,
        };
        self.plan(declared)
            .and_then(|plan| {
                self.with_file(declared, |file| copy_checked(&copying(plan), file, &to))
            })
            .map_err(|reason| VerifyError::new(declared, None, 0..declared.size, reason))?
            .and_then(|()| to.seal())
            .map_err(CopyError::Store)
    }
}

/// What is copied, and how it is cut.
#[derive(Clone, Copy)]
struct Copying<'a> {
    declared: &'a Declared<'a>,
    plan: Plan<'a>,
    read: &'a AtomicU64,
}

type Piece = (Range<u64>, Arc<Vec<u8>>);

/// The inner error is one of the copy, and no reason to try the source again.
fn copy_checked(
    copying: &Copying<'_>,
    file: &dyn SourceFile,
    to: &PrivateFile,
) -> Result<io::Result<()>, Reason> {
    let declared = copying.declared;
    let cloned = (file.as_fd()).is_some_and(|file| sys::copy::reflink(file, to).is_ok());
    let ready = if cloned {
        match to.size() {
            Ok(found) if found < declared.size => return Err(declared.short(found)),
            Ok(found) if found > declared.size => return Err(declared.long()),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    } else {
        to.reserve(declared.size)
    };
    if ready.is_err() {
        return Ok(ready);
    }
    thread::scope(|scope| {
        let (give, take) = sync_channel::<Piece>(1);
        let (give_back, spare) = channel::<Arc<Vec<u8>>>();
        let mut check = Check::new(copying);
        let hashing =
            thread::Builder::new()
                .name("hash".to_owned())
                .spawn_scoped(scope, move || {
                    for (range, bytes) in take {
                        check.update(range, &bytes)?;
                        let _ = give_back.send(bytes);
                    }
                    check.finish()
                });
        let hashing = match hashing {
            Ok(hashing) => hashing,
            Err(error) => return Ok(Err(error)),
        };
        let moved = if cloned {
            let read = |room: &mut [u8], offset| to.read_at(room, offset);
            move_pieces(copying, read, |_, _| Ok(()), give, &spare)
        } else {
            let read = |room: &mut [u8], offset| file.read_at(room, offset);
            move_pieces(
                copying,
                read,
                |bytes, offset| to.write_at(bytes, offset),
                give,
                &spare,
            )
        };
        let matched = hashing
            .join()
            .unwrap_or_else(|_| Err(Reason::Io(io::Error::other("hashing panicked"))));
        match moved {
            Ok(Ok(())) => matched.map(Ok),
            failed => failed,
        }
    })
}

/// Reads the file piece by piece, and gives each to be hashed and to be written.
fn move_pieces(
    copying: &Copying<'_>,
    read: impl Fn(&mut [u8], u64) -> io::Result<usize>,
    write: impl Fn(&[u8], u64) -> io::Result<()>,
    give: SyncSender<Piece>,
    spare: &Receiver<Arc<Vec<u8>>>,
) -> Result<io::Result<()>, Reason> {
    let declared = copying.declared;
    let mut made = 0;
    for range in copying.pieces() {
        let mut room = if made < PIECES {
            made += 1;
            Arc::default()
        } else {
            // None comes back when hashing has ended early: with a refusal.
            match spare.recv() {
                Ok(room) => room,
                Err(_) => return Ok(Ok(())),
            }
        };
        let bytes: &mut Vec<u8> = Arc::make_mut(&mut room);
        bytes.resize((range.end - range.start) as usize, 0);
        let count = read(bytes, range.start).map_err(Reason::Io)?;
        copying.read.fetch_add(count as u64, Ordering::Relaxed);
        if count < bytes.len() {
            return Err(declared.short(range.start.saturating_add(count as u64)));
        }
        let offset = range.start;
        if give.send((range, Arc::clone(&room))).is_err() {
            return Ok(Ok(()));
        }
        if let Err(error) = write(&room, offset) {
            return Ok(Err(error));
        }
    }
    let goes_on = read(&mut [0], declared.size).map_err(Reason::Io)? > 0;
    if goes_on && !matches!(copying.plan, Plan::Chunks(_)) {
        return Err(declared.long());
    }
    Ok(Ok(()))
}

impl Copying<'_> {
    /// The file in pieces of whole chunks.
    fn pieces(&self) -> impl Iterator<Item = Range<u64>> {
        let (size, plan) = (self.declared.size, self.plan);
        let mut begin = 0_u64;
        std::iter::from_fn(move || {
            let last = begin.checked_add(PIECE)?.min(size).checked_sub(1)?;
            let end = match plan {
                Plan::Chunks(_) => plan.range(plan.index_of(last), size).end,
                Plan::Whole | Plan::Private(_) => last + 1,
            };
            let piece = begin..end;
            begin = end;
            (piece.start < piece.end).then_some(piece)
        })
    }
}

/// Hashes pieces in their order, against what is declared.
enum Check<'a> {
    Whole(Vec<(Digest, Hasher)>),
    Chunks(Copying<'a>, ChunksRef<'a>),
}

impl<'a> Check<'a> {
    fn new(copying: &Copying<'a>) -> Self {
        match copying.plan {
            Plan::Chunks(chunks) => Self::Chunks(*copying, chunks),
            Plan::Whole | Plan::Private(_) => Self::Whole(
                (copying.declared.whole.iter())
                    .map(|digest| (digest, Hasher::new(digest.algorithm())))
                    .collect(),
            ),
        }
    }

    fn update(&mut self, range: Range<u64>, bytes: &[u8]) -> Result<(), Reason> {
        match self {
            Self::Whole(hashers) => {
                hashers
                    .iter_mut()
                    .for_each(|(_, hasher)| hasher.update(bytes));
            }
            Self::Chunks(Copying { declared, plan, .. }, chunks) => {
                let mut begin = range.start;
                while begin < range.end {
                    let index = plan.index_of(begin);
                    let end = plan.range(index, declared.size).end.min(range.end);
                    let place = |at: u64| (at - range.start) as usize;
                    let wanted = chunks.digest(index).ok_or(Reason::NoDigest)?;
                    let chunk = bytes.get(place(begin)..place(end)).unwrap_or_default();
                    Reason::compare(wanted, wanted.algorithm().hash(chunk))?;
                    begin = end;
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Reason> {
        match self {
            Self::Whole(hashers) => hashers
                .into_iter()
                .try_for_each(|(wanted, hasher)| Reason::compare(wanted, hasher.finish())),
            Self::Chunks(..) => Ok(()),
        }
    }
}
