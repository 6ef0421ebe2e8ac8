//! Reading a file once, and hashing all that is wanted of it on the way.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::sync::mpsc;
use std::thread;

use thiserror::Error;

use crate::digest::{Algorithm, Digest, Hasher};
use crate::manifest::Chunks;
use crate::path::ManifestPath;
use crate::progress::Progress;
use crate::sys::{Absence, RootDir, Stat, file};

use super::chunk::ChunkHasher;

/// Larger ones gain nothing.
const BUFFER_SIZE: usize = 128 << 10;

/// Files of at least this many bytes are worth a second thread.
const LARGE_MIN: u64 = 8 << 20;

/// How much of such a file goes from one thread to the other at once, in bytes.
const STRIDE: usize = 1 << 20;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER_SIZE]);
}

/// What to hash.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Algorithms for the whole file.
    pub algorithms: &'a [Algorithm],
    /// Algorithm and cut of the chunks.
    pub chunks: Option<(Algorithm, &'a Chunks)>,
}

/// What was hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashes {
    /// One digest of the whole for each wanted algorithm, in that order.
    pub digests: Vec<Digest>,
    /// Raw digests of the chunks, one after the other; empty if not wanted.
    pub chunks: Vec<u8>,
}

/// Hashes a stream of bytes for all that is wanted of it.
#[derive(Debug)]
pub struct ContentHasher<'a> {
    whole: Vec<Hasher>,
    chunks: Option<ChunkHasher<'a>>,
}

impl<'a> ContentHasher<'a> {
    /// A hasher that has seen nothing yet.
    #[must_use]
    pub fn new(wanted: &Wanted<'a>) -> Self {
        Self {
            whole: wanted.algorithms.iter().map(|a| Hasher::new(*a)).collect(),
            chunks: wanted
                .chunks
                .map(|(algorithm, chunks)| ChunkHasher::new(algorithm, chunks)),
        }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, part: &[u8]) {
        self.whole.iter_mut().for_each(|hasher| hasher.update(part));
        if let Some(chunks) = &mut self.chunks {
            chunks.update(part);
        }
    }

    /// The hashes of all that was taken.
    #[must_use]
    pub fn finish(self) -> Hashes {
        Hashes {
            digests: self.whole.into_iter().map(Hasher::finish).collect(),
            chunks: self.chunks.map(ChunkHasher::finish).unwrap_or_default(),
        }
    }
}

/// Why a file has no digest.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is no longer the file that was looked at, or became another while it
    /// was read.
    #[error("changed while it was read")]
    Changed,
}

/// Hashes a regular file that was as `before` says, and still is when it has
/// been read. Its bytes are counted as they are read, and taken back when there
/// are no hashes.
///
/// # Errors
/// See [`ReadError`].
pub fn hash(
    root: &RootDir,
    path: &ManifestPath,
    before: &Stat,
    wanted: &Wanted<'_>,
    progress: &Progress,
) -> Result<Hashes, ReadError> {
    let file = root.open_file(path.relative()).map_err(gone)?;
    // This also keeps us from reading a FIFO or a device that took its place.
    if !Stat::of(&file)?.is_unchanged(before) {
        return Err(ReadError::Changed);
    }
    hash_open(&file, before, wanted, progress)
}

/// The same of an open file that was just now as `before` says.
///
/// # Errors
/// See [`ReadError`].
pub fn hash_open(
    file: &File,
    before: &Stat,
    wanted: &Wanted<'_>,
    progress: &Progress,
) -> Result<Hashes, ReadError> {
    let hashes = read_open(file, before.size, wanted, progress)?;
    let unchanged = Stat::of(file).map(|stat| stat.is_unchanged(before));
    match unchanged {
        Ok(true) => return Ok(hashes),
        Ok(false) | Err(_) => progress.take_back_bytes(before.size),
    }
    unchanged?;
    Err(ReadError::Changed)
}

/// Hashes the first `size` bytes of an open file, and does not ask whether it
/// changed meanwhile: for who knows what the hashes should be.
///
/// # Errors
/// See [`ReadError`]; [`ReadError::Changed`] when it has fewer bytes.
pub fn read_open(
    file: &File,
    size: u64,
    wanted: &Wanted<'_>,
    progress: &Progress,
) -> Result<Hashes, ReadError> {
    let mut hashing = Hashing::new(wanted, progress);
    let read = if size < LARGE_MIN {
        BUFFER.with_borrow_mut(|buffer| hashing.read(file, size, buffer))
    } else {
        hashing.read_ahead(file, size)
    };
    match read {
        Ok(()) => Ok(hashing.hasher.finish()),
        Err(error) => {
            progress.take_back_bytes(hashing.counted);
            Err(error)
        }
    }
}

/// A file that was there a moment ago is not missing, but changed.
fn gone(error: io::Error) -> ReadError {
    match Absence::of(&error) {
        Some(_) => ReadError::Changed,
        None => ReadError::Io(error),
    }
}

/// Reads as many bytes as there must be.
fn fill(file: &File, buffer: &mut [u8], offset: u64) -> Result<(), ReadError> {
    if file::read_full_at(file, buffer, offset)? != buffer.len() {
        return Err(ReadError::Changed);
    }
    Ok(())
}

/// A file that is read and hashed.
struct Hashing<'a> {
    hasher: ContentHasher<'a>,
    progress: &'a Progress,
    /// How many bytes were counted there.
    counted: u64,
}

/// Both read `size` bytes and no more, however fast the file grows.
impl<'a> Hashing<'a> {
    fn new(wanted: &Wanted<'a>, progress: &'a Progress) -> Self {
        Self {
            hasher: ContentHasher::new(wanted),
            progress,
            counted: 0,
        }
    }

    fn count(&mut self, bytes: usize) {
        self.progress.add_bytes(bytes as u64);
        self.counted += bytes as u64;
    }

    fn read(&mut self, file: &File, size: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        if size > buffer.len() as u64 {
            file::advise_sequential(file);
        }
        let mut offset = 0;
        while offset < size {
            let left = usize::try_from(size - offset).unwrap_or(usize::MAX);
            let length = left.min(buffer.len());
            let part = buffer.get_mut(..length).unwrap_or_default();
            fill(file, part, offset)?;
            self.hasher.update(part);
            self.count(length);
            offset += length as u64;
        }
        Ok(())
    }

    /// The digest of the whole can only go byte after byte, and is what takes
    /// longest. Everything else goes beside it, on another thread. That is none
    /// of rayon's, which would begin another file whenever it has to wait.
    fn read_ahead(&mut self, file: &File, size: u64) -> Result<(), ReadError> {
        file::advise_sequential(file);
        let mut chunks = self.hasher.chunks.take();
        let (read, chunks) = thread::scope(|scope| {
            let (give, take) = mpsc::sync_channel::<Vec<u8>>(1);
            let (give_back, take_back) = mpsc::channel();
            let reader = thread::Builder::new().spawn_scoped(scope, move || {
                let mut offset = 0;
                let mut read = Ok(());
                while offset < size {
                    let left = usize::try_from(size - offset).unwrap_or(usize::MAX);
                    let mut stride: Vec<u8> = take_back.try_recv().unwrap_or_default();
                    stride.resize(left.min(STRIDE), 0);
                    read = fill(file, &mut stride, offset);
                    if read.is_err() {
                        break;
                    }
                    if let Some(chunks) = &mut chunks {
                        chunks.update(&stride);
                    }
                    offset += stride.len() as u64;
                    if give.send(stride).is_err() {
                        break;
                    }
                }
                (read, chunks)
            })?;
            for stride in take {
                let whole = &mut self.hasher.whole;
                whole.iter_mut().for_each(|one| one.update(&stride));
                self.count(stride.len());
                // The reader may have ended.
                let _ = give_back.send(stride);
            }
            reader
                .join()
                .map_err(|_| io::Error::other("a thread ended"))
        })?;
        self.hasher.chunks = chunks;
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    const SHA256: Wanted<'static> = Wanted {
        algorithms: &[Algorithm::Sha256],
        chunks: None,
    };

    #[test]
    fn hashes_whole_and_chunks_in_one_pass() {
        let scratch = tempfile::tempdir().unwrap();
        let data: Vec<u8> = (0..300_001_u32).map(|i| i.to_le_bytes()[1]).collect();
        fs::write(scratch.path().join("file"), &data).unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        let path = ManifestPath::parse(b"/file").unwrap();
        let stat = root.stat(path.relative()).unwrap();
        let wanted = Wanted {
            algorithms: &[Algorithm::Sha512, Algorithm::Blake3],
            chunks: Some((Algorithm::Sha256, &Chunks::Fixed(100_000))),
        };
        let progress = Progress::default();
        let hashes = hash(&root, &path, &stat, &wanted, &progress).unwrap();
        let digests = [Algorithm::Sha512, Algorithm::Blake3].map(|a| a.hash(&data));
        assert_eq!(hashes.digests, digests);
        assert_eq!(hashes.chunks.len(), 4 * 32);
        let last = Algorithm::Sha256.hash(&data[300_000..]);
        assert_eq!(hashes.chunks[96..], *last.as_raw());
        assert_eq!(progress.counts().bytes, 300_001);
    }

    #[test]
    fn notices_another_file_of_the_same_name() {
        let scratch = tempfile::tempdir().unwrap();
        let name = scratch.path().join("file");
        fs::write(&name, "one").unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        let path = ManifestPath::parse(b"/file").unwrap();
        let stat = root.stat(path.relative()).unwrap();
        let progress = Progress::default();
        assert!(hash(&root, &path, &stat, &SHA256, &progress).is_ok());

        fs::write(scratch.path().join("other"), "one").unwrap();
        fs::rename(scratch.path().join("other"), &name).unwrap();
        let replaced = hash(&root, &path, &stat, &SHA256, &progress);
        assert!(matches!(replaced, Err(ReadError::Changed)));

        fs::remove_file(&name).unwrap();
        let missing = hash(&root, &path, &stat, &SHA256, &progress);
        assert!(matches!(missing, Err(ReadError::Changed)));

        symlink("/etc/hostname", &name).unwrap();
        let linked = hash(&root, &path, &stat, &SHA256, &progress);
        assert!(matches!(linked, Err(ReadError::Changed)));
    }
}
