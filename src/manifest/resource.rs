//! One record made into a resource, under every rule of the format.

use crate::digest::Digest;
use crate::mode::{FileMode, FileType};
use crate::path::ManifestPath;

use super::content::{is_usable, read_content};
use super::error::Rule;
use super::extension::{Extension, RecordedTime};
use super::limits::{Limits, TARGET_MAX, XATTR_NAME_MAX, XATTR_SIZE_MAX};
use super::model::{
    AlternateStream, Carried, DeviceNumber, Kind, Metadata, Resource, Timestamp, Xattr,
};
use super::record::{Entry, Record, Section};

pub(super) fn read_resource(
    section: Section,
    record: &Record<'_>,
    limits: &Limits,
) -> Result<Resource, Rule> {
    let extension = record.extension().map_err(Rule::Extension)?;
    let paths = read_paths(section, record, &extension, limits)?;
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
    extension: &Extension<'_>,
    limits: &Limits,
) -> Result<Vec<ManifestPath>, Rule> {
    // Most have one.
    let mut paths = Vec::with_capacity(1);
    let mut add = |path| {
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
        Ok(())
    };
    let mut plain = record.paths().map(str::as_bytes);
    plain.try_for_each(&mut add)?;
    let mut raw = 0;
    if extension.has_raw {
        let mut counted = record.raw_paths().inspect(|_| raw += 1);
        counted.try_for_each(&mut add)?;
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

pub(super) fn read_kind(
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

pub(super) fn read_metadata(
    record: &Record<'_>,
    extension: &Extension<'_>,
) -> Result<Metadata, Rule> {
    Ok(Metadata {
        mode: read_mode(record)?,
        uid: read_owner("uid", record.uid)?,
        gid: read_owner("gid", record.gid)?,
        mtime: read_time(extension.mtime)?,
        ctime: read_time(extension.ctime)?,
        xattrs: read_xattrs(record, extension)?,
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

fn read_xattrs(record: &Record<'_>, extension: &Extension<'_>) -> Result<Vec<Xattr>, Rule> {
    let mut xattrs = Vec::new();
    if !record.has_xattrs() && !extension.has_raw {
        return Ok(xattrs);
    }
    let plain = record
        .xattrs()
        .map(|entry| (entry.name.as_bytes(), entry.data));
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

pub(super) fn read_carried(
    record: &Record<'_>,
    extension: &Extension<'_>,
) -> Result<Option<Box<Carried>>, Rule> {
    let has_table = extension.chunks.is_some_and(|table| is_usable(&table));
    let has_strange_table = extension.chunks.is_some() && !has_table;
    if !record.has_more() && !extension.has_unknown && !has_strange_table {
        return Ok(None);
    }
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
