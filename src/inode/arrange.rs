//! From paths to directories and the names in them.
//!
//! The paths of all resources are sorted with `/` as the smallest byte, which
//! puts every directory right before what lies in it; one walk over them then
//! finds duplicates, files used as parents and directories that nobody lists.

use crate::manifest::{ManifestError, Rule};
use crate::mode::FileType;
use crate::path::ManifestPath;

use super::record::{DirentRecord, Record, Span};

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
    /// One after the other, each `/` as a NUL: no path has any, and so plain
    /// comparing sorts them as wanted.
    paths: Vec<u8>,
    entries: Vec<Entry>,
}

/// One path of one resource.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Where the path begins in the arena.
    begin: usize,
    length: u16,
    inode: u32,
}

/// The dirents, and the names in their order.
pub(super) type Placed = (Box<[DirentRecord]>, Box<[u8]>);

/// One name, once its directory is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child {
    begin: usize,
    length: u16,
    inode: u32,
    parent: u32,
}

impl Paths {
    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        self.entries.len()
    }

    /// Adds a path of an inode.
    ///
    /// # Errors
    /// [`Rule::Capacity`].
    pub(super) fn add(&mut self, path: &ManifestPath, inode: u32) -> Result<(), ManifestError> {
        let path = path.as_bytes();
        let begin = self.paths.len();
        let separated = path
            .iter()
            .map(|byte| if *byte == b'/' { 0 } else { *byte });
        self.paths.extend(separated);
        self.entries.push(Entry {
            begin,
            length: u16::try_from(path.len()).map_err(|_| capacity())?,
            inode,
        });
        Ok(())
    }

    /// Sorts the paths and finds the directory of each.
    ///
    /// # Errors
    /// Duplicates, and what lies in something that is no directory.
    pub(super) fn find_parents(
        &mut self,
        inodes: &mut impl Inodes,
    ) -> Result<Vec<Child>, ManifestError> {
        let Self { paths, entries } = self;
        let path_of = |entry: &Entry| {
            paths
                .get(entry.begin..entry.begin + usize::from(entry.length))
                .unwrap_or_default()
        };
        // Stable: it is fast on what is nearly sorted, as manifests are.
        entries.sort_by(|one, two| path_of(one).cmp(path_of(two)));

        let mut children = Vec::with_capacity(entries.len());
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
                children.push(child(entry, begin, end, inode, parent)?);
                above.push((end, inode));
            }
            let (begin, parent) = match above.last() {
                Some(&(end, inode)) => (end + 1, inode),
                None => (1, ROOT),
            };
            children.push(child(entry, begin, path.len(), entry.inode, parent)?);
            above.push((path.len(), entry.inode));
            last = path;
        }
        Ok(children)
    }

    /// Puts the names of each directory side by side.
    pub(super) fn place(
        &self,
        children: &[Child],
        inodes: &mut [Record],
        file_types: &[FileType],
    ) -> Result<Placed, ManifestError> {
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
        let mut order = vec![0_u32; children.len()];
        for (number, child) in children.iter().enumerate() {
            if let Some(next) = next.get_mut(child.parent as usize)
                && let Some(place) = order.get_mut(*next as usize)
            {
                *place = number as u32;
                *next += 1;
            }
        }
        drop(next);
        let mut dirents = Vec::with_capacity(children.len());
        let mut names = Vec::new();
        for (place, number) in order.into_iter().enumerate() {
            let Some(child) = children.get(number as usize) else {
                continue;
            };
            dirents.push(DirentRecord {
                name: u32::try_from(names.len()).map_err(|_| capacity())?,
                inode: child.inode,
                parent: child.parent,
            });
            let name = child.begin..child.begin + usize::from(child.length);
            names.extend_from_slice(self.paths.get(name).unwrap_or_default());
            if let Some(record) = inodes.get_mut(child.inode as usize) {
                record.name = place as u32;
            }
        }
        Ok((dirents.into_boxed_slice(), names.into_boxed_slice()))
    }
}

/// Links of files, and how many names each directory has.
pub(super) fn count_links(children: &[Child], inodes: &mut [Record], file_types: &[FileType]) {
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

fn child(
    entry: &Entry,
    begin: usize,
    end: usize,
    inode: u32,
    parent: u32,
) -> Result<Child, ManifestError> {
    Ok(Child {
        begin: entry.begin + begin,
        length: u16::try_from(end.saturating_sub(begin)).map_err(|_| capacity())?,
        inode,
        parent,
    })
}

/// A path of the arena as it was in the manifest.
fn show(path: &[u8]) -> ManifestPath {
    let slashed: Vec<u8> = path
        .iter()
        .map(|byte| if *byte == 0 { b'/' } else { *byte })
        .collect();
    ManifestPath::parse(&slashed).unwrap_or_else(|_| ManifestPath::root())
}
