//! Records made into resources, under every rule of the format.

use crate::digest::{Algorithm, Digest, DigestError};
use crate::mode::{FileMode, FileType};
use crate::path::ManifestPath;

use super::error::{ManifestError, Place, Rule};
use super::extension::{Extension, RecordedChunks, RecordedTime};
use super::model::{
    AlternateStream, Carried, ChunkTable, Chunks, Content, DeviceNumber, HeaderCarried, Info, Kind,
    Manifest, Metadata, Resource, Timestamp, Xattr,
};
use super::record::{Entry, Record, Records, Section, manifest_field, section_of};
use super::wire::{Field, Fields, Value, WireError};

/// Bounds on what a manifest may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most resources.
    pub resources: u64,
    /// Most levels of directories in a path.
    pub depth: usize,
    /// Most paths of one resource.
    pub links: usize,
    /// Most digests of one resource.
    pub digests: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            resources: 100_000_000,
            depth: 1024,
            links: 1 << 20,
            digests: 16,
        }
    }
}

/// Longest name of an extended attribute, in bytes (`XATTR_NAME_MAX`).
pub const XATTR_NAME_MAX: usize = 255;
/// Longest value of an extended attribute (`XATTR_SIZE_MAX`) and longest list
/// of names (`XATTR_LIST_MAX`), in bytes.
pub const XATTR_SIZE_MAX: usize = 65_536;
/// Longest target of a symlink, in bytes: `PATH_MAX` less the NUL.
pub const TARGET_MAX: usize = 4095;

/// What stands in a manifest besides its resources.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Header {
    /// What is known about the manifest itself.
    pub info: Info,
    /// Metadata of `/`, where it is declared.
    pub root: Option<Metadata>,
    /// What is carried along without a meaning here.
    pub carried: HeaderCarried,
}

/// Reads the header, and refuses a manifest that needs what we do not know.
///
/// # Errors
/// See [`ManifestError`].
pub fn read_header(bytes: &[u8], limits: &Limits) -> Result<Header, ManifestError> {
    let mut header = Header::default();
    for field in Fields::new(bytes, 0) {
        let field = field?;
        match (field.number, field.value) {
            (manifest_field::RESOURCE | manifest_field::SPECIAL, Value::Bytes(_)) => {}
            (manifest_field::INFO, Value::Bytes(message)) => {
                let Header { info, carried, .. } = &mut header;
                read_info(field.fields(message), info, &mut carried.info)?;
            }
            (manifest_field::ROOT, Value::Bytes(message)) => {
                let record = Record::new(&field, message)?;
                let root = read_root(&record, limits).and_then(|root| match header.root {
                    None => Ok(root),
                    Some(_) => Err(Rule::SecondRoot),
                });
                let (root, carried) =
                    root.map_err(|rule| refused(Section::Root, 0, &record, rule))?;
                header.root = Some(root);
                header.carried.root = carried.map(|carried| *carried).unwrap_or_default();
            }
            _ => header.carried.unknown.extend_from_slice(field.raw),
        }
    }
    Ok(header)
}

fn read_info(
    fields: Fields<'_>,
    info: &mut Info,
    unknown: &mut Vec<u8>,
) -> Result<(), ManifestError> {
    for field in fields {
        let field = field?;
        match (field.number, field.value) {
            (1, Value::Varint(value)) => info.version = (value & 0xffff_ffff) as u32,
            (2, Value::Bytes(value)) => field.string(value)?.clone_into(&mut info.generator),
            // No feature that must be understood exists yet.
            (3, Value::Bytes(value)) => {
                let feature = field.string(value)?;
                // Enough to look it up by, however long a hostile one is.
                return Err(ManifestError::Feature(feature.chars().take(100).collect()));
            }
            (4, Value::Bytes(value)) => field.string(value)?.clone_into(&mut info.base),
            _ => unknown.extend_from_slice(field.raw),
        }
    }
    Ok(())
}

fn read_root(
    record: &Record<'_>,
    limits: &Limits,
) -> Result<(Metadata, Option<Box<Carried>>), Rule> {
    let extension = record.extension().map_err(Rule::Extension)?;
    match read_kind(record, &extension, limits)? {
        Kind::Directory => Ok((
            read_metadata(record, &extension)?,
            read_carried(record, &extension)?,
        )),
        other => Err(Rule::RootType(other.file_type())),
    }
}

impl Manifest {
    /// Reads a whole manifest into memory.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn read(bytes: &[u8], limits: &Limits) -> Result<Self, ManifestError> {
        let Header {
            info,
            root,
            carried,
        } = read_header(bytes, limits)?;
        Ok(Self {
            root,
            info,
            carried,
            resources: Resources::new(bytes, limits).collect::<Result<_, _>>()?,
        })
    }
}

/// The field that begins at this byte of a manifest.
pub(super) fn field_at(manifest: &[u8], offset: usize) -> Result<Field<'_>, WireError> {
    let invalid = WireError::Invalid { offset };
    let rest = manifest.get(offset..).ok_or(invalid)?;
    Fields::new(rest, offset).next().ok_or(invalid)?
}

/// The resource that begins at this byte of a manifest.
pub(super) fn read_at(
    manifest: &[u8],
    offset: usize,
    limits: &Limits,
) -> Result<Resource, ManifestError> {
    let field = field_at(manifest, offset)?;
    let (section, message) = section_of(&field).ok_or(WireError::Invalid { offset })?;
    let record = Record::new(&field, message)?;
    // Its number is not known here; the byte tells the place.
    read_resource(section, &record, limits).map_err(|rule| refused(section, 0, &record, rule))
}

/// The resources of a manifest, one at a time, in the order of the bytes; the
/// root of the header is not among them.
#[derive(Clone, Debug)]
pub struct Resources<'a> {
    records: Records<'a>,
    limits: Limits,
    resources: u64,
    specials: u64,
    failed: bool,
}

impl<'a> Resources<'a> {
    /// Walks a whole manifest.
    #[must_use]
    pub const fn new(bytes: &'a [u8], limits: &Limits) -> Self {
        Self {
            records: Records::new(bytes),
            limits: *limits,
            resources: 0,
            specials: 0,
            failed: false,
        }
    }

    fn read_next(&mut self) -> Option<Result<Resource, ManifestError>> {
        loop {
            let (section, record) = match self.records.next()? {
                Ok(found) => found,
                Err(error) => return Some(Err(error.into())),
            };
            let count = match section {
                Section::Resource => &mut self.resources,
                Section::Special => &mut self.specials,
                Section::Root => continue,
            };
            let index = *count;
            *count = index.saturating_add(1);
            if self.resources.saturating_add(self.specials) > self.limits.resources {
                return Some(Err(ManifestError::Count(self.limits.resources)));
            }
            return Some(
                read_resource(section, &record, &self.limits)
                    .map_err(|rule| refused(section, index, &record, rule)),
            );
        }
    }
}

impl Iterator for Resources<'_> {
    type Item = Result<Resource, ManifestError>;

    /// After the first error there is nothing more.
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.read_next();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}

fn refused(section: Section, index: u64, record: &Record<'_>, rule: Rule) -> ManifestError {
    let plain = record.paths().map(str::as_bytes);
    let path = plain.chain(record.raw_paths()).next().map(|path| {
        // Enough to find it, however long a hostile path is.
        Box::from(path.get(..crate::path::PATH_MAX).unwrap_or(path))
    });
    ManifestError::Resource(
        Place {
            section,
            index,
            offset: record.offset,
            path,
        },
        rule,
    )
}

fn read_resource(section: Section, record: &Record<'_>, limits: &Limits) -> Result<Resource, Rule> {
    let extension = record.extension().map_err(Rule::Extension)?;
    let paths = read_paths(section, record, limits)?;
    let kind = read_kind(record, &extension, limits)?;
    if paths.len() > 1 && kind == Kind::Directory {
        return Err(Rule::DirectoryLinks);
    }
    if let (Some(path), false) = (paths.first(), kind == Kind::Directory)
        && path.is_root()
    {
        return Err(Rule::RootType(kind.file_type()));
    }
    Ok(Resource {
        paths,
        metadata: read_metadata(record, &extension)?,
        kind,
        carried: read_carried(record, &extension)?,
    })
}

fn read_paths(
    section: Section,
    record: &Record<'_>,
    limits: &Limits,
) -> Result<Vec<ManifestPath>, Rule> {
    let plain = record.paths().map(str::as_bytes);
    let mut raw = 0;
    let counted = record.raw_paths().inspect(|_| raw += 1);
    let mut paths = Vec::new();
    for path in plain.chain(counted) {
        if paths.len() == limits.links {
            return Err(Rule::Links(limits.links));
        }
        let path = ManifestPath::parse(path)?;
        let found = path.as_bytes().iter().filter(|byte| **byte == b'/').count();
        if found > limits.depth {
            let limit = limits.depth;
            return Err(Rule::Depth { found, limit });
        }
        paths.push(path);
    }
    if paths.is_empty() {
        return Err(Rule::NoPath);
    }
    if raw != 0 && (raw != paths.len() || section != Section::Special) {
        return Err(Rule::MixedPaths);
    }
    paths.sort_unstable();
    if let Some([path, _]) = paths.array_windows().find(|[one, two]| one == two) {
        return Err(Rule::RepeatedPath(Box::from(path.as_bytes())));
    }
    Ok(paths)
}

fn read_kind(
    record: &Record<'_>,
    extension: &Extension<'_>,
    limits: &Limits,
) -> Result<Kind, Rule> {
    Ok(match read_mode(record)?.file_type() {
        FileType::Regular => Kind::Regular(read_content(record, extension, limits)?),
        FileType::Directory => Kind::Directory,
        FileType::Symlink => {
            let target = extension.raw_target.unwrap_or(record.target.as_bytes());
            if target.is_empty() || target.len() > TARGET_MAX || target.contains(&0) {
                return Err(Rule::Target(target.len()));
            }
            Kind::Symlink(Box::from(target))
        }
        FileType::Fifo => Kind::Fifo,
        FileType::CharDevice => Kind::CharDevice(read_device(record)?),
        FileType::BlockDevice => Kind::BlockDevice(read_device(record)?),
        FileType::Socket => Kind::Socket,
    })
}

fn read_mode(record: &Record<'_>) -> Result<FileMode, Rule> {
    // Go cuts a wider mode to 32 bits. No honest writer makes one.
    let mode = u32::try_from(record.mode).map_err(|_| Rule::WideMode(record.mode))?;
    Ok(FileMode::from_go(mode)?)
}

fn read_device(record: &Record<'_>) -> Result<DeviceNumber, Rule> {
    let (major, minor) = (record.major, record.minor);
    DeviceNumber::new(major, minor).ok_or(Rule::Device { major, minor })
}

fn read_content(
    record: &Record<'_>,
    extension: &Extension<'_>,
    limits: &Limits,
) -> Result<Content, Rule> {
    if i64::try_from(record.size).is_err() {
        return Err(Rule::Size(record.size));
    }
    let mut content = Content {
        size: record.size,
        ..Content::default()
    };
    for (index, text) in record.digests().enumerate() {
        if index == limits.digests {
            return Err(Rule::Digests(limits.digests));
        }
        match Digest::parse(text) {
            Ok(digest) => content.digests.push(digest),
            Err(DigestError::UnknownAlgorithm(_)) => content.unknown_digests.push(text.to_owned()),
            Err(error) => return Err(Rule::Digest(error)),
        }
    }
    content.chunks = read_chunks(record, extension, record.size)?;
    Ok(content)
}

fn read_metadata(record: &Record<'_>, extension: &Extension<'_>) -> Result<Metadata, Rule> {
    Ok(Metadata {
        mode: read_mode(record)?,
        uid: read_owner("uid", record.uid)?,
        gid: read_owner("gid", record.gid)?,
        mtime: read_time(extension.mtime)?,
        ctime: read_time(extension.ctime)?,
        xattrs: read_xattrs(record)?,
        whiteout: extension.whiteout,
        opaque: extension.opaque,
        user: extension.user.to_owned(),
        group: extension.group.to_owned(),
    })
}

fn read_owner(which: &'static str, value: i64) -> Result<u32, Rule> {
    // 4294967295 is -1, which chown(2) takes for "leave as it is".
    u32::try_from(value)
        .ok()
        .filter(|id| *id != u32::MAX)
        .ok_or(Rule::Owner { which, value })
}

fn read_xattrs(record: &Record<'_>) -> Result<Vec<Xattr>, Rule> {
    let plain = record
        .xattrs()
        .map(|entry| (entry.name.as_bytes(), entry.data));
    let mut xattrs = Vec::new();
    let mut list = 0_usize;
    for (name, value) in plain.chain(record.raw_xattrs()) {
        if name.is_empty() || name.len() > XATTR_NAME_MAX || name.contains(&0) {
            let shown = name.get(..XATTR_NAME_MAX).unwrap_or(name);
            return Err(Rule::XattrName(Box::from(shown)));
        }
        if value.len() > XATTR_SIZE_MAX {
            return Err(Rule::XattrValue {
                name: Box::from(name),
                length: value.len(),
            });
        }
        // listxattr(2) ends each name with a NUL.
        list = list.saturating_add(name.len()).saturating_add(1);
        if list > XATTR_SIZE_MAX {
            return Err(Rule::XattrList);
        }
        xattrs.push(Xattr {
            name: Box::from(name),
            value: Box::from(value),
        });
    }
    xattrs.sort_unstable();
    let twice = xattrs
        .array_windows()
        .find(|[one, two]| one.name == two.name);
    match twice {
        Some([xattr, _]) => Err(Rule::RepeatedXattr(xattr.name.clone())),
        None => Ok(xattrs),
    }
}

fn read_carried(
    record: &Record<'_>,
    extension: &Extension<'_>,
) -> Result<Option<Box<Carried>>, Rule> {
    let has_table = extension.chunks.is_some_and(|table| is_usable(&table));
    let carried = Carried {
        user: record.user.to_owned(),
        group: record.group.to_owned(),
        streams: record.ads().map(read_stream).collect::<Result<_, _>>()?,
        unknown: record
            .unknown()
            .flat_map(|field| field.raw)
            .copied()
            .collect(),
        extension: record
            .unknown_of_extension(!has_table)
            .flat_map(|field| field.raw)
            .copied()
            .collect(),
    };
    Ok((carried != Carried::default()).then(|| Box::new(carried)))
}

/// A stream whose content is here must be the one that its digest names.
fn read_stream(entry: Entry<'_>) -> Result<AlternateStream, Rule> {
    if let (false, Ok(wanted)) = (entry.data.is_empty(), Digest::parse(entry.digest))
        && wanted.algorithm().hash(entry.data) != wanted
    {
        return Err(Rule::Stream(Box::from(entry.name.as_bytes())));
    }
    Ok(AlternateStream {
        name: entry.name.to_owned(),
        data: entry.data.to_vec(),
        digest: entry.digest.to_owned(),
    })
}

fn read_time(time: Option<RecordedTime>) -> Result<Option<Timestamp>, Rule> {
    let Some(time) = time else {
        return Ok(None);
    };
    u32::try_from(time.nanoseconds)
        .ok()
        .and_then(|nanoseconds| Timestamp::new(time.seconds, nanoseconds))
        .map(Some)
        .ok_or(Rule::Nanoseconds(time.nanoseconds))
}

/// Whether a chunk table is by an algorithm that we know.
fn is_usable(table: &RecordedChunks<'_>) -> bool {
    Algorithm::from_name(table.algorithm).is_some()
}

/// The table of a file of `size` bytes; `None` when there is none, or none
/// that we can use.
fn read_chunks(
    record: &Record<'_>,
    extension: &Extension<'_>,
    size: u64,
) -> Result<Option<ChunkTable>, Rule> {
    let Some(table) = extension.chunks else {
        return Ok(None);
    };
    let Some(algorithm) = Algorithm::from_name(table.algorithm) else {
        return Ok(None);
    };
    let count = table.digest.len() / algorithm.size();
    if count * algorithm.size() != table.digest.len() {
        return Err(Rule::Chunks(
            "its digests do not have the algorithm's length",
        ));
    }
    let mut lengths = record.chunk_lengths().peekable();
    let chunks = match (table.chunk_size, lengths.peek()) {
        (0, None) if size == 0 && count == 0 => Chunks::Lengths(Vec::new()),
        (0, None) => return Err(Rule::Chunks("its chunks have no size")),
        (0, Some(_)) => read_lengths(lengths, size, count)?,
        (_, Some(_)) => return Err(Rule::Chunks("it has a chunk size and lengths")),
        (chunk_size, None) => {
            if usize::try_from(size.div_ceil(chunk_size)) != Ok(count) {
                return Err(Rule::Chunks("it has too few digests, or too many"));
            }
            Chunks::Fixed(chunk_size)
        }
    };
    Ok(Some(ChunkTable {
        algorithm,
        chunks,
        digests: table.digest.to_vec(),
    }))
}

fn read_lengths(
    lengths: impl Iterator<Item = u64>,
    size: u64,
    count: usize,
) -> Result<Chunks, Rule> {
    let mut kept = Vec::new();
    let mut sum = 0_u64;
    for length in lengths {
        if length == 0 || kept.len() == count {
            return Err(Rule::Chunks("it has too many lengths, or one of 0"));
        }
        sum = sum
            .checked_add(length)
            .ok_or(Rule::Chunks("its lengths overflow"))?;
        kept.push(length);
    }
    if sum != size || kept.len() != count {
        return Err(Rule::Chunks("its lengths do not add up to the size"));
    }
    Ok(Chunks::Lengths(kept))
}
