//! Building the table from a manifest, one resource at a time.

use crate::digest::{Algorithm, Digest};
use crate::manifest::{
    Content, DeviceNumber, Kind, Limits, ManifestError, Metadata, Resource, Resources, Rule, Xattr,
    read_header,
};
use crate::mode::{FileMode, FileType};
use crate::path::ManifestPath;

use super::arrange::{Dirents, Inodes, Paths, ROOT, capacity, count_links};
use super::intern::Interned;
use super::record::{
    Attributes, ContentRow, NO_TIME, Record, RichContent, RootOwner, Span, XattrSet,
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
        builder.memory = Memory::of(manifest.len());
        for resource in Resources::new(manifest, limits) {
            builder.add(resource?)?;
        }
        builder.finish()
    }
}

/// How much memory the names of a manifest may take, and how much is left of it, in
/// bytes.
///
/// While the table is made a name takes ten times as much as it may in a manifest, or
/// fifty where a path leads through it. So there are 64 MiB, and three times the size of
/// the manifest: a file with content has eighty bytes there besides its name, and leaves
/// more than it takes. Only of more than a million directories with nothing in them
/// could there be too many.
struct Memory {
    most: u64,
    left: u64,
}

impl Memory {
    /// Of one name, without its bytes: its inode, its place among the paths and then in
    /// its directory, and what sorting takes.
    const NAME: u64 = 96;

    const fn of(manifest: usize) -> Self {
        let most = (64 << 20) + 3 * manifest as u64;
        Self { most, left: most }
    }

    /// Its bytes are there twice, in a path and by themselves.
    fn take_name(&mut self, length: usize) -> Result<(), Rule> {
        let cost = Self::NAME + 2 * length as u64;
        let left = self.left.checked_sub(cost);
        self.left = left.ok_or(Rule::Crowded(self.most))?;
        Ok(())
    }
}

struct Builder {
    inodes: Vec<Record>,
    file_types: Vec<FileType>,
    paths: Paths,
    targets: Vec<u8>,
    attributes: Interned<Attributes>,
    sha256: Vec<[u8; 32]>,
    contents: Vec<RichContent>,
    xattrs: Interned<XattrSet>,
    root_is_declared: bool,
    memory: Memory,
    statistics: Statistics,
}

impl Builder {
    fn new(root: Option<Metadata>, owner: RootOwner) -> Self {
        let mut builder = Self {
            inodes: Vec::new(),
            file_types: Vec::new(),
            paths: Paths::default(),
            targets: Vec::new(),
            attributes: Interned::default(),
            sha256: Vec::new(),
            contents: Vec::new(),
            xattrs: Interned::default(),
            root_is_declared: root.is_some(),
            memory: Memory::of(0),
            statistics: Statistics::default(),
        };
        // Number 0 is "none at all".
        builder.xattrs.number(XattrSet::default());
        let metadata = root.unwrap_or_else(|| Metadata {
            uid: owner.uid,
            gid: owner.gid,
            ..Metadata::new(FileMode::DEFAULT_DIRECTORY)
        });
        builder.add_inode(&metadata, 0, ContentRow::NONE);
        builder
    }

    fn add(&mut self, mut resource: Resource) -> Result<(), ManifestError> {
        if resource.path().is_root() {
            return self.add_root(&resource.metadata);
        }
        make_native(&mut resource);
        let Resource {
            paths,
            metadata,
            kind,
            ..
        } = resource;
        let is_symlink = matches!(kind, Kind::Symlink(_));
        let (detail, content) = self.add_kind(kind)?;
        let mut inode = self.add_inode(&metadata, detail, content);
        for (number, path) in paths.iter().enumerate() {
            // Two names of a symlink are two: an absolute one that is shown
            // relative leads elsewhere from each.
            if number > 0 && is_symlink {
                inode = self.add_inode(&metadata, detail, content);
            }
            self.paths.add(path, inode)?;
            let taken = self.memory.take_name(path.as_bytes().len());
            taken.map_err(|rule| ManifestError::Tree(path.clone(), rule))?;
        }
        if u32::try_from(self.inodes.len().max(self.paths.count())).is_err() {
            return Err(capacity());
        }
        Ok(())
    }

    /// Some writers list the root as a resource.
    fn add_root(&mut self, metadata: &Metadata) -> Result<(), ManifestError> {
        if self.root_is_declared {
            return Err(ManifestError::Tree(ManifestPath::root(), Rule::SecondRoot));
        }
        self.root_is_declared = true;
        let last = self.add_inode(metadata, 0, ContentRow::NONE);
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

    fn add_inode(&mut self, metadata: &Metadata, detail: u64, content: ContentRow) -> u32 {
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
            xattrs: match served_xattrs(metadata) {
                none if none.is_empty() => 0,
                set => self.xattrs.number(set),
            },
            links: 0,
            name: 0,
        });
        inode
    }

    fn finish(mut self) -> Result<InodeTable, ManifestError> {
        let paths = std::mem::take(&mut self.paths);
        let first_implied = self.inodes.len();
        let children = paths.find_parents(&mut self)?;
        count_links(&children.dirents, &mut self.inodes, &self.file_types);
        let Dirents { dirents, names } = children.group(&mut self.inodes, &self.file_types)?;

        let mut table = InodeTable {
            inodes: self.inodes.into_boxed_slice(),
            dirents: dirents.into_boxed_slice(),
            names: names.into_boxed_slice(),
            targets: self.targets.into_boxed_slice(),
            attributes: self.attributes.into_values(),
            sha256: self.sha256.into_boxed_slice(),
            contents: self.contents.into_boxed_slice(),
            xattrs: self.xattrs.into_values(),
            root_is_declared: self.root_is_declared,
            first_implied,
            statistics: self.statistics,
            numbers: None,
        };
        table.statistics.inodes = table.inodes.len() as u64;
        table.statistics.names = table.dirents.len() as u64;
        table.statistics.has_xattrs = table.xattrs.len() > 1;
        table.statistics.memory = memory(&table) as u64;
        Ok(table)
    }
}

impl Inodes for Builder {
    fn file_type(&self, inode: u32) -> FileType {
        let file_type = self.file_types.get(inode as usize);
        file_type.copied().unwrap_or(FileType::Directory)
    }

    fn add_implied(&mut self) -> Result<u32, Rule> {
        self.statistics.implied_directories += 1;
        // Its name is part of a path that is counted.
        self.memory.take_name(0)?;
        if u32::try_from(self.inodes.len()).is_err() {
            return Err(Rule::Capacity);
        }
        let metadata = Metadata::new(FileMode::DEFAULT_DIRECTORY);
        Ok(self.add_inode(&metadata, 0, ContentRow::NONE))
    }
}

/// A whiteout that is declared in the portable form only has its native one: a
/// character device 0:0, which is what overlayfs looks for.
fn make_native(resource: &mut Resource) {
    if resource.metadata.whiteout
        && let (Some(mode), Some(number)) =
            (FileMode::from_stat(0o020_000), DeviceNumber::new(0, 0))
    {
        resource.metadata.mode = mode;
        resource.kind = Kind::CharDevice(number);
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
fn served_xattrs(metadata: &Metadata) -> XattrSet {
    let mut xattrs = metadata.xattrs.clone();
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether so many names of a length are too many, each of which stands in so many
    /// bytes of a manifest.
    fn is_crowded(names: usize, length: usize, bytes: usize) -> bool {
        let mut memory = Memory::of(names * bytes);
        (0..names).any(|_| memory.take_name(length).is_err())
    }

    #[test]
    fn a_tree_is_never_crowded() {
        for length in [2, 10, 100, 4095] {
            // A file with one digest; an empty directory, or a file without a digest.
            assert!(!is_crowded(3_000_000, length, 80 + length), "{length}");
            assert!(!is_crowded(1_000_000, length, 10 + length), "{length}");
        }
        assert!(is_crowded(4_000_000, 5, 10));
    }
}
