//! What is stored for an inode and for a name.

use crate::digest::Digest;
use crate::manifest::{Chunks, Content, Xattr};
use crate::mode::FileMode;
use crate::verify::{ChunksRef, Declared, FileId, Located, Whole};

/// An inode number. The root has 1; the others follow from the manifest alone,
/// so the same manifest always gives the same numbers, until another one takes its
/// place ([`InodeTable::follow`](super::InodeTable::follow)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ino(pub u64);

impl Ino {
    /// The root of the tree.
    pub const ROOT: Self = Self(1);

    pub(super) fn index(self) -> Option<usize> {
        usize::try_from(self.0).ok()?.checked_sub(1)
    }

    pub(super) const fn of(index: u32) -> Self {
        Self(index as u64 + 1)
    }
}

/// Who owns a root that the manifest says nothing about: whoever mounts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RootOwner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// One inode, 40 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    /// By kind: the size of a regular file; the encoded number of a device;
    /// where the target of a symlink, or the names of a directory, begin and
    /// how many there are ([`Span`]).
    pub detail: u64,
    pub mtime_seconds: i64,
    pub mtime_nanoseconds: u32,
    /// Into the attributes.
    pub attributes: u32,
    /// Into the contents: [`ContentRow`].
    pub content: ContentRow,
    /// Into the sets of extended attributes.
    pub xattrs: u32,
    pub links: u32,
    /// The name by which the file is found in the source.
    pub name: u32,
}

/// `mtime_nanoseconds` of an inode without a time.
pub(super) const NO_TIME: u32 = u32::MAX;

/// A place in an arena and how much lies there, in 64 bits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    pub begin: u32,
    pub count: u32,
}

impl Span {
    pub const fn pack(self) -> u64 {
        (self.begin as u64) << 32 | self.count as u64
    }

    pub const fn unpack(packed: u64) -> Self {
        Self {
            begin: (packed >> 32) as u32,
            count: (packed & 0xffff_ffff) as u32,
        }
    }

    pub const fn range(self) -> std::ops::Range<usize> {
        let begin = self.begin as usize;
        begin..begin + self.count as usize
    }
}

/// Where the digests of a regular file lie: most have one SHA-256 digest and
/// nothing else, and take 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContentRow(u32);

impl ContentRow {
    const RICH: u32 = 1 << 31;

    pub const NONE: Self = Self(Self::RICH - 1);

    pub fn plain(row: usize) -> Option<Self> {
        let row = u32::try_from(row).ok()?;
        (row < Self::NONE.0).then_some(Self(row))
    }

    pub fn rich(row: usize) -> Option<Self> {
        let row = u32::try_from(row).ok()?;
        (row < Self::RICH).then_some(Self(row | Self::RICH))
    }

    /// The row, and whether it is one of the rich ones.
    pub const fn row(self) -> (usize, bool) {
        ((self.0 & !Self::RICH) as usize, self.0 & Self::RICH != 0)
    }
}

/// Mode and owner, which many inodes share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Attributes {
    pub mode: FileMode,
    pub uid: u32,
    pub gid: u32,
}

/// One name in a directory, 12 bytes. Names end where the next one begins.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DirentRecord {
    /// Where the name begins in the arena.
    pub name: u32,
    pub inode: u32,
    pub parent: u32,
}

/// The name at a place among dirents whose names lie in this arena.
pub(super) fn name_at<'a>(dirents: &[DirentRecord], names: &'a [u8], place: usize) -> &'a [u8] {
    let begin = dirents.get(place).map(|dirent| dirent.name as usize);
    let end = dirents
        .get(place + 1)
        .map_or(names.len(), |next| next.name as usize);
    begin
        .and_then(|begin| names.get(begin..end))
        .unwrap_or_default()
}

/// What can vouch for a file that has more than one SHA-256 digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RichContent {
    digests: Box<[Digest]>,
    chunks: Option<StoredChunks>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct StoredChunks {
    algorithm: crate::digest::Algorithm,
    digests: Box<[u8]>,
    largest: u64,
    /// Where each chunk ends; empty where all but the last have the same size.
    ends: Box<[u64]>,
}

impl RichContent {
    pub fn new(content: Content) -> Self {
        let chunks = content.chunks.map(|table| {
            let (largest, ends) = match table.chunks {
                Chunks::Fixed(size) => (size, Box::default()),
                Chunks::Lengths(lengths) => {
                    let largest = lengths.iter().copied().max().unwrap_or(0);
                    let ends = lengths.into_iter().scan(0_u64, |end, length| {
                        *end = end.saturating_add(length);
                        Some(*end)
                    });
                    (largest, ends.collect())
                }
            };
            StoredChunks {
                algorithm: table.algorithm,
                digests: table.digests.into_boxed_slice(),
                largest,
                ends,
            }
        });
        Self {
            digests: content.digests.into_boxed_slice(),
            chunks,
        }
    }

    pub fn declared<'a>(&'a self, id: FileId, path: &'a dyn Located, size: u64) -> Declared<'a> {
        Declared {
            id,
            path,
            size,
            whole: Whole::Many(&self.digests),
            chunks: self.chunks.as_ref().map(|chunks| ChunksRef {
                algorithm: chunks.algorithm,
                digests: &chunks.digests,
                largest: chunks.largest,
                ends: &chunks.ends,
            }),
        }
    }

    pub fn digests(&self) -> &[Digest] {
        &self.digests
    }

    pub fn bytes(&self) -> usize {
        let chunks = self.chunks.as_ref().map_or(0, |chunks| {
            chunks.digests.len() + size_of_val(&*chunks.ends)
        });
        size_of::<Self>() + size_of_val(&*self.digests) + chunks
    }
}

/// All extended attributes of an inode; equal sets are stored once.
pub(super) type XattrSet = Box<[Xattr]>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_as_small_as_promised() {
        assert_eq!(size_of::<Record>(), 40);
        assert_eq!(size_of::<DirentRecord>(), 12);
    }

    #[test]
    fn spans_and_rows_come_back() {
        let span = Span::unpack(
            Span {
                begin: 7,
                count: u32::MAX,
            }
            .pack(),
        );
        assert_eq!((span.begin, span.count), (7, u32::MAX));
        assert_eq!(ContentRow::plain(5).unwrap().row(), (5, false));
        assert_eq!(ContentRow::rich(5).unwrap().row(), (5, true));
        assert_eq!(ContentRow::plain(u32::MAX as usize >> 1), None);
    }
}
