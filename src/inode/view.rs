//! Looking at one inode.

use std::ops::Range;

use crate::digest::{Algorithm, Digest};
use crate::manifest::{DeviceNumber, Timestamp, Xattr};
use crate::mode::{FileMode, FileType};
use crate::path::ManifestPath;
use crate::verify::{Declared, FileId, Located, Whole};

use super::arrange::ROOT;
use super::record::{Attributes, Ino, NO_TIME, Record, RichContent, Span};
use super::table::InodeTable;

/// One inode of a table.
#[derive(Clone, Copy, Debug)]
pub struct Inode<'t> {
    pub(super) table: &'t InodeTable,
    pub(super) record: &'t Record,
    pub(super) place: u32,
}

/// What only one kind of inode has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InodeKind<'t> {
    /// Regular file, with its size in bytes.
    Regular(u64),
    /// Directory, with the number of names in it.
    Directory(usize),
    /// Symlink, with its target.
    Symlink(&'t [u8]),
    /// Character or block device.
    Device(DeviceNumber),
    /// Named pipe or socket.
    Other,
}

/// One name in a directory.
#[derive(Clone, Copy, Debug)]
pub struct Dirent<'t> {
    /// The name.
    pub name: &'t [u8],
    /// What it names.
    pub inode: Inode<'t>,
}

impl Located for Inode<'_> {
    fn path(&self) -> ManifestPath {
        Inode::path(self)
    }
}

impl<'t> Inode<'t> {
    /// Its number.
    #[must_use]
    pub fn ino(&self) -> Ino {
        match &self.table.numbers {
            None => Ino::of(self.place),
            Some(numbers) => numbers.ino(self.place),
        }
    }

    /// Whether the manifest declares it: else its attributes are made up, as
    /// those of a directory that paths only lead through.
    #[must_use]
    pub fn is_declared(&self) -> bool {
        match self.place {
            ROOT => self.table.root_is_declared,
            place => (place as usize) < self.table.first_implied,
        }
    }

    /// Kind of file and permissions.
    #[must_use]
    pub fn mode(&self) -> FileMode {
        self.attributes().mode
    }

    /// Owner.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.attributes().uid
    }

    /// Group.
    #[must_use]
    pub fn gid(&self) -> u32 {
        self.attributes().gid
    }

    /// How many names it has; for a directory as stat(2) counts them.
    #[must_use]
    pub const fn links(&self) -> u32 {
        self.record.links
    }

    /// Last change of the content, where it is declared.
    #[must_use]
    pub const fn mtime(&self) -> Option<Timestamp> {
        if self.record.mtime_nanoseconds == NO_TIME {
            return None;
        }
        Timestamp::new(self.record.mtime_seconds, self.record.mtime_nanoseconds)
    }

    /// What only its kind has.
    #[must_use]
    pub fn kind(&self) -> InodeKind<'t> {
        let detail = self.record.detail;
        match self.mode().file_type() {
            FileType::Regular => InodeKind::Regular(detail),
            FileType::Directory => InodeKind::Directory(Span::unpack(detail).count as usize),
            FileType::Symlink => InodeKind::Symlink(self.table.target(detail)),
            FileType::CharDevice | FileType::BlockDevice => {
                InodeKind::Device(DeviceNumber::decode((detail & 0xffff_ffff) as u32))
            }
            FileType::Fifo | FileType::Socket => InodeKind::Other,
        }
    }

    /// The number of a device.
    #[must_use]
    pub fn device(&self) -> Option<DeviceNumber> {
        match self.kind() {
            InodeKind::Device(number) => Some(number),
            _ => None,
        }
    }

    /// Extended attributes, sorted by name.
    #[must_use]
    pub fn xattrs(&self) -> &'t [Xattr] {
        self.table
            .xattrs
            .get(self.record.xattrs as usize)
            .map_or(&[], |set| set)
    }

    /// The value of an extended attribute.
    #[must_use]
    pub fn xattr(&self, name: &[u8]) -> Option<&'t [u8]> {
        let xattrs = self.xattrs();
        let place = xattrs
            .binary_search_by(|xattr| (*xattr.name).cmp(name))
            .ok()?;
        xattrs.get(place).map(|xattr| &*xattr.value)
    }

    /// Its path; of a hard-linked file the one by which the source has it.
    #[must_use]
    pub fn path(&self) -> ManifestPath {
        let mut names = Vec::new();
        let mut inode = *self;
        while inode.place != ROOT {
            let place = inode.record.name as usize;
            let parent = self
                .table
                .dirents
                .get(place)
                .and_then(|dirent| self.table.at(dirent.parent));
            names.push(self.table.name(place));
            match parent {
                Some(parent) => inode = parent,
                None => break,
            }
        }
        let mut path = Vec::with_capacity(names.iter().map(|name| name.len() + 1).sum());
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        // It was checked when the table was built.
        ManifestPath::parse(&path).unwrap_or_else(|_| ManifestPath::root())
    }

    /// The directory that the path of this inode lies in; the root's is itself.
    #[must_use]
    pub fn parent(&self) -> Inode<'t> {
        if self.place == ROOT {
            return *self;
        }
        self.table
            .dirents
            .get(self.record.name as usize)
            .and_then(|dirent| self.table.at(dirent.parent))
            .unwrap_or(*self)
    }

    /// What can vouch for the content of a regular file that lies at `path`;
    /// the inode itself is one.
    #[must_use]
    pub fn declared<'a>(&self, path: &'a dyn Located) -> Option<Declared<'a>>
    where
        't: 'a,
    {
        let InodeKind::Regular(size) = self.kind() else {
            return None;
        };
        let id = FileId(self.ino().0);
        let table = self.table;
        match self.record.content.row() {
            (row, true) => Some(table.contents.get(row)?.declared(id, path, size)),
            (row, false) => Some(Declared {
                id,
                path,
                size,
                whole: match table.sha256.get(row) {
                    Some(raw) => Whole::Sha256(raw),
                    None => Whole::Many(&[]),
                },
                chunks: None,
            }),
        }
    }

    /// The declared digests of the whole content, where there are any.
    #[must_use]
    pub fn digests(&self) -> Vec<Digest> {
        match self.record.content.row() {
            (row, true) => self
                .table
                .contents
                .get(row)
                .map(|content| content.digests().to_vec())
                .unwrap_or_default(),
            (row, false) => self
                .table
                .sha256
                .get(row)
                .and_then(|raw| Digest::from_raw(Algorithm::Sha256, raw))
                .into_iter()
                .collect(),
        }
    }

    /// What the content of a regular file must be.
    pub(super) fn content(&self) -> (Option<&'t [u8; 32]>, Option<&'t RichContent>) {
        match self.record.content.row() {
            (row, true) => (None, self.table.contents.get(row)),
            (row, false) => (self.table.sha256.get(row), None),
        }
    }

    /// The places of the names in a directory.
    pub(super) fn dirents(&self) -> Option<Range<usize>> {
        match self.mode().file_type() {
            FileType::Directory => Some(Span::unpack(self.record.detail).range()),
            _ => None,
        }
    }

    fn attributes(&self) -> Attributes {
        self.table
            .attributes
            .get(self.record.attributes as usize)
            .copied()
            .unwrap_or(Attributes {
                mode: FileMode::DEFAULT_DIRECTORY,
                uid: 0,
                gid: 0,
            })
    }
}
