//! From paths to directories and the names in them.
//!
//! The paths of all resources are sorted with `/` as the smallest byte, which
//! puts every directory right before what lies in it; one walk over them then
//! finds duplicates, files used as parents and directories that nobody lists.

use crate::manifest::{ManifestError, Rule};
use crate::mode::FileType;
use crate::path::ManifestPath;

use super::record::{DirentRecord, Record, Span, name_at};

/// The number of the root among the inodes.
pub(super) const ROOT: u32 = 0;

/// Why the table cannot be built, where no path is to blame alone.
pub(super) fn capacity() -> ManifestError {
    ManifestError::Tree(ManifestPath::root(), Rule::Capacity)
}

/// The inodes that paths lead to.
pub(super) trait Inodes {
    /// What an inode is.
    fn file_type(&self, inode: u32) -> FileType;

    /// Adds a directory that the manifest leads through but does not list.
    fn add_implied(&mut self) -> Result<u32, Rule>;
}

/// All paths of a manifest.
#[derive(Debug, Default)]
pub(super) struct Paths {
    /// One after the other, each behind its length, and each `/` as a NUL: no path has
    /// any, and so plain comparing sorts them as wanted.
    paths: Vec<u8>,
    entries: Vec<Entry>,
}

/// One path of one resource.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Its first bytes but the slash, which sort most short paths by themselves: a
    /// manifest made to cost much has millions of those, in any order.
    first: [u8; 8],
    /// Where it begins in the arena.
    begin: u32,
    inode: u32,
}

/// The names of a manifest, each with its directory.
#[derive(Debug, Default)]
pub(super) struct Dirents {
    pub(super) dirents: Vec<DirentRecord>,
    /// The names, in the order of the dirents.
    pub(super) names: Vec<u8>,
}

impl Paths {
    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        self.entries.len()
    }

    /// Adds a path of an inode.
    ///
    /// # Errors
    /// [`Rule::Capacity`], and [`Rule::DuplicatePath`] for the path that was added last.
    pub(super) fn add(&mut self, path: &ManifestPath, inode: u32) -> Result<(), ManifestError> {
        let begin = u32::try_from(self.paths.len()).map_err(|_| capacity())?;
        let bytes = path.as_bytes();
        let length = u16::try_from(bytes.len()).map_err(|_| capacity())?;
        let separated = || {
            let bytes = bytes.iter();
            bytes.map(|byte| if *byte == b'/' { 0 } else { *byte })
        };
        let last = self.entries.last().and_then(|last| self.path_of(last));
        if last.is_some_and(|last| separated().eq(last.iter().copied())) {
            return Err(ManifestError::Tree(path.clone(), Rule::DuplicatePath));
        }
        let mut first = [0; 8];
        for (to, from) in first.iter_mut().zip(separated().skip(1)) {
            *to = from;
        }
        self.paths.extend(length.to_ne_bytes());
        self.paths.extend(separated());
        self.entries.push(Entry {
            first,
            begin,
            inode,
        });
        Ok(())
    }

    fn path_of(&self, entry: &Entry) -> Option<&[u8]> {
        path_at(&self.paths, entry)
    }

    /// Sorts the paths and finds the directory of each. The paths are let go: with a
    /// name and its directory nothing else is needed of them.
    ///
    /// # Errors
    /// Duplicates, and what lies in something that is no directory.
    pub(super) fn find_parents(self, inodes: &mut impl Inodes) -> Result<Dirents, ManifestError> {
        let Self { paths, mut entries } = self;
        let path_of = |entry: &Entry| path_at(&paths, entry).unwrap_or_default();
        // Stable: it is fast on what is nearly sorted, as manifests are.
        entries.sort_by(|one, two| {
            let by_first = one.first.cmp(&two.first);
            by_first.then_with(|| path_of(one).cmp(path_of(two)))
        });

        let mut children = Dirents::default();
        children.dirents.reserve(entries.len());
        // The directories above the last path: where each one's path ends, and
        // which inode it is.
        let mut above: Vec<(usize, u32)> = Vec::new();
        let mut last: &[u8] = &[];
        for entry in &*entries {
            let path = path_of(entry);
            if path == last {
                return Err(ManifestError::Tree(show(path), Rule::DuplicatePath));
            }
            let common = path.iter().zip(last).take_while(|(a, b)| a == b).count();
            while above
                .pop_if(|&mut (end, _)| end > common || path.get(end) != Some(&0))
                .is_some()
            {}
            check_parent(path, above.last(), inodes)?;
            let known = above.last().map_or(0, |&(end, _)| end);
            let parent_end = path.iter().rposition(|byte| *byte == 0).unwrap_or(0);
            for end in separators(path, known).take_while(|end| *end <= parent_end) {
                let inode = inodes
                    .add_implied()
                    .map_err(|rule| ManifestError::Tree(show(path), rule))?;
                let parent = above.last().map_or(ROOT, |&(_, inode)| inode);
                let begin = above.last().map_or(0, |&(end, _)| end) + 1;
                children.add(path.get(begin..end), inode, parent)?;
                above.push((end, inode));
            }
            let (begin, parent) = match above.last() {
                Some(&(end, inode)) => (end + 1, inode),
                None => (1, ROOT),
            };
            children.add(path.get(begin..), entry.inode, parent)?;
            above.push((path.len(), entry.inode));
            last = path;
        }
        Ok(children)
    }
}

/// The path of an entry in the arena.
fn path_at<'a>(paths: &'a [u8], entry: &Entry) -> Option<&'a [u8]> {
    let (length, path) = paths.get(entry.begin as usize..)?.split_first_chunk()?;
    path.get(..usize::from(u16::from_ne_bytes(*length)))
}

impl Dirents {
    fn add(&mut self, name: Option<&[u8]>, inode: u32, parent: u32) -> Result<(), ManifestError> {
        self.dirents.push(DirentRecord {
            name: u32::try_from(self.names.len()).map_err(|_| capacity())?,
            inode,
            parent,
        });
        self.names.extend_from_slice(name.unwrap_or_default());
        Ok(())
    }

    /// Puts the names of each directory side by side.
    pub(super) fn group(
        self,
        inodes: &mut [Record],
        file_types: &[FileType],
    ) -> Result<Self, ManifestError> {
        let order = self.order(inodes, file_types)?;
        let mut grouped = Self::default();
        grouped.dirents.reserve_exact(self.dirents.len());
        grouped.names.reserve_exact(self.names.len());
        for (place, number) in order.into_iter().enumerate() {
            let number = number as usize;
            let Some(child) = self.dirents.get(number) else {
                continue;
            };
            let name = name_at(&self.dirents, &self.names, number);
            grouped.add(Some(name), child.inode, child.parent)?;
            if let Some(record) = inodes.get_mut(child.inode as usize) {
                record.name = place as u32;
            }
        }
        Ok(grouped)
    }

    /// Which name comes to each place, once each directory has its own places.
    fn order(
        &self,
        inodes: &mut [Record],
        file_types: &[FileType],
    ) -> Result<Vec<u32>, ManifestError> {
        let mut begin = 0_u32;
        let mut next = Vec::with_capacity(inodes.len());
        for (record, file_type) in inodes.iter_mut().zip(file_types) {
            next.push(begin);
            if *file_type == FileType::Directory {
                let count = u32::try_from(record.detail).map_err(|_| capacity())?;
                record.detail = Span { begin, count }.pack();
                begin = begin.checked_add(count).ok_or_else(capacity)?;
            }
        }
        let mut order = vec![0_u32; self.dirents.len()];
        for (number, child) in self.dirents.iter().enumerate() {
            if let Some(next) = next.get_mut(child.parent as usize)
                && let Some(place) = order.get_mut(*next as usize)
            {
                *place = number as u32;
                *next += 1;
            }
        }
        Ok(order)
    }
}

/// Links of files, and how many names each directory has.
pub(super) fn count_links(
    children: &[DirentRecord],
    inodes: &mut [Record],
    file_types: &[FileType],
) {
    for (record, file_type) in inodes.iter_mut().zip(file_types) {
        record.links = if *file_type == FileType::Directory {
            2
        } else {
            0
        };
    }
    for child in children {
        let is_directory = file_types.get(child.inode as usize) == Some(&FileType::Directory);
        if let Some(parent) = inodes.get_mut(child.parent as usize) {
            parent.detail += 1;
            parent.links += u32::from(is_directory);
        }
        if let Some(record) = inodes.get_mut(child.inode as usize)
            && !is_directory
        {
            record.links += 1;
        }
    }
}

/// Only directories have something in them.
fn check_parent(
    path: &[u8],
    parent: Option<&(usize, u32)>,
    inodes: &impl Inodes,
) -> Result<(), ManifestError> {
    let Some(&(end, inode)) = parent else {
        return Ok(());
    };
    match inodes.file_type(inode) {
        FileType::Directory => Ok(()),
        file_type => {
            let parent = show(path.get(..end).unwrap_or_default());
            let parent = Box::from(parent.as_bytes());
            let rule = Rule::ParentNotDirectory { parent, file_type };
            Err(ManifestError::Tree(show(path), rule))
        }
    }
}

/// Where the components of a path end, but for those that end at `known` or
/// before.
fn separators(path: &[u8], known: usize) -> impl Iterator<Item = usize> + '_ {
    path.iter()
        .enumerate()
        .skip(known + 1)
        .filter(|(_, byte)| **byte == 0)
        .map(|(end, _)| end)
}

/// A path of the arena as it was in the manifest.
fn show(path: &[u8]) -> ManifestPath {
    let slashed: Vec<u8> = path
        .iter()
        .map(|byte| if *byte == 0 { b'/' } else { *byte })
        .collect();
    ManifestPath::parse(&slashed).unwrap_or_else(|_| ManifestPath::root())
}
