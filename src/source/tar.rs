//! A tar archive as the source of content.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::sync::Arc;

use thiserror::Error;

use crate::mode::FileType;
use crate::path::ManifestPath;
use crate::sys::file;
use crate::tar::{Entry, EntryKind, Extents, Reader, Seekable, Stream, TarError, Tree};

use super::{ContentRef, Source, SourceError, SourceFile};

/// The files of an archive, each under the path where unpacking would leave it.
///
/// Opening it reads the headers; content is read when it is asked for.
#[derive(Debug)]
pub struct TarSource {
    archive: Arc<File>,
    found: BTreeMap<ManifestPath, Found>,
}

#[derive(Clone, Debug)]
enum Found {
    Regular(Extents),
    Other(FileType),
}

/// Why an archive is no source.
#[derive(Debug, Error)]
pub enum TarSourceError {
    /// It cannot be read, or not be unpacked.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Something in it is wrong.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// It is larger than [`TarSource::UNPACKED_MAX`] when it is unpacked.
    #[error(
        "it has more than {} bytes when it is unpacked",
        TarSource::UNPACKED_MAX
    )]
    Large,
}

impl TarSource {
    /// Most bytes of a packed archive, unpacked: 64 GiB.
    pub const UNPACKED_MAX: u64 = 64 << 30;

    /// Reads the headers of an archive.
    ///
    /// In one that is packed, or that is no regular file, no content can be
    /// found again: it is unpacked to the file that `scratch` makes, which
    /// should have no name.
    ///
    /// # Errors
    /// See [`TarSourceError`].
    pub fn open(
        archive: File,
        scratch: impl FnOnce() -> io::Result<File>,
    ) -> Result<Self, TarSourceError> {
        let mut start = [0; Stream::START];
        let archive = if archive.metadata()?.is_file() {
            let count = file::read_full_at(&archive, &mut start, 0)?;
            match Stream::is_packed(start.get(..count).unwrap_or_default()) {
                true => unpack(archive, scratch()?)?,
                false => archive,
            }
        } else {
            unpack(archive, scratch()?)?
        };
        let found = index(&archive)?;
        Ok(Self {
            archive: Arc::new(archive),
            found,
        })
    }
}

/// All of it, up to the limit.
fn unpack(packed: File, mut plain: File) -> Result<File, TarSourceError> {
    let mut stream = Stream::open(packed)?.take(TarSource::UNPACKED_MAX + 1);
    if io::copy(&mut stream, &mut plain)? > TarSource::UNPACKED_MAX {
        return Err(TarSourceError::Large);
    }
    plain.rewind()?;
    Ok(plain)
}

/// What lies where.
fn index(archive: &File) -> Result<BTreeMap<ManifestPath, Found>, TarSourceError> {
    // ACLs, and who is named in them, are of no concern here.
    let mut reader = Reader::new(Seekable::new(archive.try_clone()?), None);
    let mut tree = Tree::default();
    while let Some(entry) = reader.next_entry()? {
        let found = match &entry.kind {
            EntryKind::Regular(extents) => Found::Regular(extents.clone()),
            _ => Found::Other(entry.metadata.mode.file_type()),
        };
        // What has no place in a tree is missing; layers have marks that have none.
        let _ = put(&mut tree, &entry, found);
    }
    let (_, files) = tree.finish();
    let found = files
        .into_iter()
        .flat_map(|(paths, found)| paths.into_iter().map(move |path| (path, found.clone())));
    Ok(found.collect())
}

fn put(tree: &mut Tree<Found>, entry: &Entry, found: Found) -> Result<(), TarError> {
    let path = Tree::<Found>::path(entry)?;
    tree.check(&path, entry)?;
    tree.put(path, entry, found)
}

impl Source for TarSource {
    fn open(&self, content: &ContentRef<'_>) -> Result<Box<dyn SourceFile>, SourceError> {
        let extents = match self.found.get(content.path) {
            None => return Err(SourceError::Missing),
            Some(Found::Other(file_type)) => return Err(SourceError::NotRegular(*file_type)),
            Some(Found::Regular(extents)) => extents,
        };
        if extents.size != content.size {
            return Err(SourceError::Size {
                wanted: content.size,
                found: extents.size,
            });
        }
        Ok(Box::new(TarFile {
            archive: Arc::clone(&self.archive),
            extents: extents.clone(),
        }))
    }
}

#[derive(Debug)]
struct TarFile {
    archive: Arc<File>,
    extents: Extents,
}

impl SourceFile for TarFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let (stored, length) = self.extents.locate(offset.saturating_add(done as u64));
            let length = usize::try_from(length)
                .unwrap_or(usize::MAX)
                .min(rest.len());
            let part = rest.get_mut(..length).unwrap_or_default();
            let count = match stored {
                _ if part.is_empty() => break,
                None => {
                    part.fill(0);
                    length
                }
                Some(position) => file::read_full_at(&self.archive, part, position)?,
            };
            done += count;
            if count < length {
                break;
            }
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn reads_the_parts_and_the_holes() {
        let mut archive = tempfile::tempfile().unwrap();
        archive.write_all(b"..abcde").unwrap();
        let extents = Extents::sparse(2, 5, 12, &[(1, 2), (3, 0), (6, 3)]).unwrap();
        let file = TarFile {
            archive: Arc::new(archive),
            extents,
        };
        let wanted = b"\0ab\0\0\0cde\0\0\0";
        for offset in 0..=wanted.len() {
            for length in 0..=wanted.len() + 1 {
                let mut buffer = vec![b'x'; length];
                let count = file.read_at(&mut buffer, offset as u64).unwrap();
                let end = wanted.len().min(offset + length);
                assert_eq!(buffer[..count], wanted[offset..end], "{offset} {length}");
            }
        }
        let mut buffer = [0; 4];
        assert_eq!(file.read_at(&mut buffer, u64::MAX).unwrap(), 0);
    }
}
