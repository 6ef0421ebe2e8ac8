//! Building the table from a manifest.
//!
//! The paths of all resources are sorted with `/` as the smallest byte, which
//! puts every directory right before what lies in it; one walk over them then
//! finds duplicates, files used as parents and directories that nobody lists.

use std::collections::HashMap;
use std::hash::Hash;

use crate::digest::{Algorithm, Digest};
use crate::manifest::{
    Content, Kind, Limits, ManifestError, Metadata, Resource, Resources, Rule, Xattr, read_header,
};
use crate::mode::{FileMode, FileType};
use crate::path::ManifestPath;

use super::record::{
    Attributes, ContentRow, DirentRecord, NO_TIME, Record, RichContent, RootOwner, Span, XattrSet,
};
use super::table::{InodeTable, Statistics};

impl InodeTable {
    /// Builds the table of a manifest; `owner` owns the root if the manifest
    /// says nothing about it.
    ///
    /// # Errors
    /// See [`ManifestError`]: everything that breaks a rule of the format, and
    /// resources that make no tree together.
    pub fn build(
        manifest: &[u8],
        limits: &Limits,
        owner: RootOwner,
    ) -> Result<Self, ManifestError> {
        let header = read_header(manifest, limits)?;
        let mut builder = Builder::new(header.root, owner);
        for resource in Resources::new(manifest, limits) {
            builder.add(resource?)?;
        }
        builder.finish()
    }
}

/// Why the table cannot be built, where no path is to blame alone.
fn capacity() -> ManifestError {
    ManifestError::Tree(ManifestPath::root(), Rule::Capacity)
}

struct Builder {
    inodes: Vec<Record>,
    file_types: Vec<FileType>,
    entries: Vec<Entry>,
    /// All paths, one after the other, each `/` as a NUL: no path has any, and
    /// so plain comparing sorts them as wanted.
    paths: Vec<u8>,
    targets: Vec<u8>,
    attributes: Interned<Attributes>,
    sha256: Vec<[u8; 32]>,
    contents: Vec<RichContent>,
    xattrs: Interned<XattrSet>,
    root_is_declared: bool,
    statistics: Statistics,
}

/// One path of one resource.
#[derive(Clone, Copy)]
struct Entry {
    /// Where the path begins in the arena.
    begin: usize,
    length: u16,
    inode: u32,
}

/// The dirents, and the names in their order.
type Placed = (Box<[DirentRecord]>, Box<[u8]>);

/// One name, once its directory is known.
#[derive(Clone, Copy)]
struct Child {
    begin: usize,
    length: u16,
    inode: u32,
    parent: u32,
}

const ROOT: u32 = 0;

impl Builder {
    fn new(root: Option<Metadata>, owner: RootOwner) -> Self {
        let mut builder = Self {
            inodes: Vec::new(),
            file_types: Vec::new(),
            entries: Vec::new(),
            paths: Vec::new(),
            targets: Vec::new(),
            attributes: Interned::default(),
            sha256: Vec::new(),
            contents: Vec::new(),
            xattrs: Interned::default(),
            root_is_declared: root.is_some(),
            statistics: Statistics::default(),
        };
        // Number 0 is "none at all".
        builder.xattrs.number(XattrSet::default());
        let metadata = root.unwrap_or_else(|| Metadata {
            uid: owner.uid,
            gid: owner.gid,
            ..Metadata::new(FileMode::DEFAULT_DIRECTORY)
        });
        builder.add_inode(metadata, 0, ContentRow::NONE);
        builder
    }

    fn add(&mut self, resource: Resource) -> Result<(), ManifestError> {
        if resource.path().is_root() {
            return self.add_root(resource);
        }
        let (detail, content) = self.add_kind(resource.kind)?;
        let inode = self.add_inode(resource.metadata, detail, content);
        for path in &resource.paths {
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
        }
        if u32::try_from(self.inodes.len().max(self.entries.len())).is_err() {
            return Err(capacity());
        }
        Ok(())
    }

    /// Some writers list the root as a resource.
    fn add_root(&mut self, resource: Resource) -> Result<(), ManifestError> {
        if self.root_is_declared {
            return Err(ManifestError::Tree(ManifestPath::root(), Rule::SecondRoot));
        }
        self.root_is_declared = true;
        let last = self.add_inode(resource.metadata, 0, ContentRow::NONE);
        self.inodes.swap_remove(ROOT as usize);
        self.inodes.truncate(last as usize);
        self.file_types.truncate(last as usize);
        Ok(())
    }

    fn add_kind(&mut self, kind: Kind) -> Result<(u64, ContentRow), ManifestError> {
        Ok(match kind {
            Kind::Regular(content) => {
                let size = content.size;
                self.statistics.files += 1;
                self.statistics.bytes = self.statistics.bytes.saturating_add(size);
                (size, self.add_content(content)?)
            }
            Kind::Symlink(target) => {
                let span = Span {
                    begin: u32::try_from(self.targets.len()).map_err(|_| capacity())?,
                    count: u32::try_from(target.len()).map_err(|_| capacity())?,
                };
                self.targets.extend_from_slice(&target);
                (span.pack(), ContentRow::NONE)
            }
            Kind::CharDevice(number) | Kind::BlockDevice(number) => {
                (u64::from(number.encode()), ContentRow::NONE)
            }
            Kind::Directory | Kind::Fifo | Kind::Socket => (0, ContentRow::NONE),
        })
    }

    fn add_content(&mut self, content: Content) -> Result<ContentRow, ManifestError> {
        if content.digests.is_empty() && content.chunks.is_none() {
            self.statistics.unverifiable += u64::from(content.size > 0);
            return Ok(ContentRow::NONE);
        }
        if let Some(raw) = only_sha256(&content) {
            self.sha256.push(raw);
            return ContentRow::plain(self.sha256.len() - 1).ok_or_else(capacity);
        }
        self.contents.push(RichContent::new(content));
        ContentRow::rich(self.contents.len() - 1).ok_or_else(capacity)
    }

    fn add_inode(&mut self, metadata: Metadata, detail: u64, content: ContentRow) -> u32 {
        let inode = self.inodes.len() as u32;
        self.file_types.push(metadata.mode.file_type());
        let (mtime_seconds, mtime_nanoseconds) = metadata
            .mtime
            .map_or((0, NO_TIME), |time| (time.seconds(), time.nanoseconds()));
        self.inodes.push(Record {
            detail,
            mtime_seconds,
            mtime_nanoseconds,
            attributes: self.attributes.number(Attributes {
                mode: metadata.mode,
                uid: metadata.uid,
                gid: metadata.gid,
            }),
            content,
            xattrs: self.xattrs.number(served_xattrs(metadata)),
            links: 0,
            name: 0,
        });
        inode
    }

    fn finish(mut self) -> Result<InodeTable, ManifestError> {
        let children = self.find_parents()?;
        self.count_links(&children);
        let (dirents, names) = self.place(&children)?;
        drop(children);

        let mut table = InodeTable {
            inodes: self.inodes.into_boxed_slice(),
            dirents,
            names,
            targets: self.targets.into_boxed_slice(),
            attributes: self.attributes.into_values(),
            sha256: self.sha256.into_boxed_slice(),
            contents: self.contents.into_boxed_slice(),
            xattrs: self.xattrs.into_values(),
            statistics: self.statistics,
        };
        table.statistics.inodes = table.inodes.len() as u64;
        table.statistics.names = table.dirents.len() as u64;
        table.statistics.has_xattrs = table.xattrs.len() > 1;
        table.statistics.memory = memory(&table) as u64;
        Ok(table)
    }

    /// Sorts the paths and finds the directory of each.
    fn find_parents(&mut self) -> Result<Vec<Child>, ManifestError> {
        let mut entries = std::mem::take(&mut self.entries);
        let paths = std::mem::take(&mut self.paths);
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
        for entry in &entries {
            let path = path_of(entry);
            if path == last {
                return Err(ManifestError::Tree(show(path), Rule::DuplicatePath));
            }
            let common = path.iter().zip(last).take_while(|(a, b)| a == b).count();
            while above
                .pop_if(|&mut (end, _)| end > common || path.get(end) != Some(&0))
                .is_some()
            {}
            self.check_parent(path, above.last())?;
            let known = above.last().map_or(0, |&(end, _)| end);
            let parent_end = path.iter().rposition(|byte| *byte == 0).unwrap_or(0);
            for end in separators(path, known).take_while(|end| *end <= parent_end) {
                let inode = self.add_implied();
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
        self.paths = paths;
        Ok(children)
    }

    fn check_parent(
        &self,
        path: &[u8],
        parent: Option<&(usize, u32)>,
    ) -> Result<(), ManifestError> {
        let Some(&(end, inode)) = parent else {
            return Ok(());
        };
        match self.file_types.get(inode as usize) {
            Some(FileType::Directory) | None => Ok(()),
            Some(&file_type) => {
                let parent = show(path.get(..end).unwrap_or_default());
                let parent = Box::from(parent.as_bytes());
                let rule = Rule::ParentNotDirectory { parent, file_type };
                Err(ManifestError::Tree(show(path), rule))
            }
        }
    }

    /// A directory that the manifest leads through but does not list.
    fn add_implied(&mut self) -> u32 {
        self.statistics.implied_directories += 1;
        let metadata = Metadata::new(FileMode::DEFAULT_DIRECTORY);
        self.add_inode(metadata, 0, ContentRow::NONE)
    }

    /// Links of files, and how many names each directory has.
    fn count_links(&mut self, children: &[Child]) {
        for (record, file_type) in self.inodes.iter_mut().zip(&self.file_types) {
            record.links = if *file_type == FileType::Directory {
                2
            } else {
                0
            };
        }
        for child in children {
            let is_directory =
                self.file_types.get(child.inode as usize) == Some(&FileType::Directory);
            if let Some(parent) = self.inodes.get_mut(child.parent as usize) {
                parent.detail += 1;
                parent.links += u32::from(is_directory);
            }
            if let Some(record) = self.inodes.get_mut(child.inode as usize)
                && !is_directory
            {
                record.links += 1;
            }
        }
    }

    /// Puts the names of each directory side by side.
    fn place(&mut self, children: &[Child]) -> Result<Placed, ManifestError> {
        let mut begin = 0_u32;
        let mut next = Vec::with_capacity(self.inodes.len());
        for (record, file_type) in self.inodes.iter_mut().zip(&self.file_types) {
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
            if let Some(record) = self.inodes.get_mut(child.inode as usize) {
                record.name = place as u32;
            }
        }
        Ok((dirents.into_boxed_slice(), names.into_boxed_slice()))
    }
}

/// The raw digest of a file that has one SHA-256 digest and nothing else.
fn only_sha256(content: &Content) -> Option<[u8; 32]> {
    match (content.digests.as_slice(), &content.chunks) {
        ([digest], None) if digest.algorithm() == Algorithm::Sha256 => {
            Digest::as_raw(digest).try_into().ok()
        }
        _ => None,
    }
}

/// What is declared, and the native form of an opaque directory that is
/// declared in the portable one only: overlayfs looks for one of these two.
fn served_xattrs(metadata: Metadata) -> XattrSet {
    let mut xattrs = metadata.xattrs;
    if metadata.opaque {
        for name in [&b"trusted.overlay.opaque"[..], b"user.overlay.opaque"] {
            if !xattrs.iter().any(|xattr| *xattr.name == *name) {
                xattrs.push(Xattr {
                    name: Box::from(name),
                    value: Box::from(*b"y"),
                });
            }
        }
        xattrs.sort_unstable();
    }
    xattrs.into_boxed_slice()
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

fn memory(table: &InodeTable) -> usize {
    let xattrs: usize = table
        .xattrs
        .iter()
        .flatten()
        .map(|xattr| size_of::<Xattr>() + xattr.name.len() + xattr.value.len())
        .sum();
    let contents: usize = table.contents.iter().map(RichContent::bytes).sum();
    size_of_val(&*table.inodes)
        + size_of_val(&*table.dirents)
        + table.names.len()
        + table.targets.len()
        + size_of_val(&*table.attributes)
        + size_of_val(&*table.sha256)
        + size_of_val(&*table.xattrs)
        + contents
        + xattrs
}

/// Values stored once each, and their numbers.
struct Interned<T> {
    numbers: HashMap<T, u32>,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self {
            numbers: HashMap::new(),
        }
    }
}

impl<T: Eq + Hash + Clone> Interned<T> {
    fn number(&mut self, value: T) -> u32 {
        let next = self.numbers.len() as u32;
        *self.numbers.entry(value).or_insert(next)
    }

    fn into_values(self) -> Box<[T]> {
        let mut values: Vec<(u32, T)> = self
            .numbers
            .into_iter()
            .map(|(value, number)| (number, value))
            .collect();
        values.sort_unstable_by_key(|(number, _)| *number);
        values.into_iter().map(|(_, value)| value).collect()
    }
}
