//! The table itself.

use std::cmp::Ordering;

use super::numbers::Numbers;
use super::record::{Attributes, DirentRecord, Ino, Record, RichContent, Span, XattrSet, name_at};
use super::view::{Dirent, Inode};

/// All inodes of a manifest.
///
/// [`InodeTable::build`] makes it; from then on nothing changes.
#[derive(Debug)]
pub struct InodeTable {
    pub(super) inodes: Box<[Record]>,
    /// Grouped by directory, sorted by name within.
    pub(super) dirents: Box<[DirentRecord]>,
    /// The names, in the order of the dirents.
    pub(super) names: Box<[u8]>,
    pub(super) targets: Box<[u8]>,
    pub(super) attributes: Box<[Attributes]>,
    pub(super) sha256: Box<[[u8; 32]]>,
    pub(super) contents: Box<[RichContent]>,
    /// The first is empty.
    pub(super) xattrs: Box<[XattrSet]>,
    /// Whether the manifest says what the root is like.
    pub(super) root_is_declared: bool,
    /// From this one on, inodes are directories that no resource declares.
    pub(super) first_implied: usize,
    pub(super) statistics: Statistics,
    /// Where they do not follow from the places.
    pub(super) numbers: Option<Numbers>,
}

/// Counts over a whole table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Inodes, the root among them.
    pub inodes: u64,
    /// Names, without that of the root.
    pub names: u64,
    /// Regular files, each hard-linked one once.
    pub files: u64,
    /// Sum of their sizes, in bytes.
    pub bytes: u64,
    /// Files whose content nothing can vouch for; every read of them fails.
    pub unverifiable: u64,
    /// Directories that the manifest does not list but leads through.
    pub implied_directories: u64,
    /// Whether any inode has extended attributes.
    pub has_xattrs: bool,
    /// What the table takes in memory, in bytes.
    pub memory: u64,
}

impl InodeTable {
    /// The inode of this number.
    #[must_use]
    pub fn get(&self, ino: Ino) -> Option<Inode<'_>> {
        let place = match &self.numbers {
            None => ino.index()?,
            Some(numbers) => numbers.place(ino)?,
        };
        self.at(u32::try_from(place).ok()?)
    }

    /// All inodes, the root first.
    pub fn inodes(&self) -> impl Iterator<Item = Inode<'_>> {
        (0..).map_while(|place| self.at(place))
    }

    /// A number above all that were ever given.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        match &self.numbers {
            None => self.inodes.len() as u64 + 1,
            Some(numbers) => numbers.next(),
        }
    }

    /// The inode at a place in the table.
    pub(super) fn at(&self, place: u32) -> Option<Inode<'_>> {
        Some(Inode {
            table: self,
            record: self.inodes.get(place as usize)?,
            place,
        })
    }

    /// The inode of this name in a directory.
    #[must_use]
    pub fn lookup(&self, directory: Inode<'_>, name: &[u8]) -> Option<Inode<'_>> {
        let range = directory.dirents()?;
        let (mut low, mut high) = (range.start, range.end);
        while low < high {
            let middle = low.midpoint(high);
            match self.name(middle).cmp(name) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => {
                    let dirent = self.dirents.get(middle)?;
                    return self.at(dirent.inode);
                }
            }
        }
        None
    }

    /// The names in a directory, from the `from`th on, in byte order; without
    /// `.` and `..`.
    pub fn entries(
        &self,
        directory: Inode<'_>,
        from: usize,
    ) -> impl Iterator<Item = Dirent<'_>> + use<'_> {
        let range = directory.dirents().unwrap_or_default();
        (range.start.saturating_add(from)..range.end).filter_map(move |place| {
            let dirent = self.dirents.get(place)?;
            Some(Dirent {
                name: self.name(place),
                inode: self.at(dirent.inode)?,
            })
        })
    }

    /// Counts over the whole table.
    #[must_use]
    pub const fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// The name of a dirent.
    pub(super) fn name(&self, place: usize) -> &[u8] {
        name_at(&self.dirents, &self.names, place)
    }

    pub(super) fn target(&self, packed: u64) -> &[u8] {
        self.targets
            .get(Span::unpack(packed).range())
            .unwrap_or_default()
    }
}
