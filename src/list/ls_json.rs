//! `ls` as JSON.

use std::io::Write;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::escape::{Hex, JsonFormatter, serialize_name};
use crate::manifest::{
    Extension, PrintError, Record, RecordedChunks, RecordedTime, Section, check_wire,
};
use crate::mode::{FileMode, FileType, GoMode};

use super::ls::{in_section, paths, target};

/// Lists the manifest as a JSON array with one object for each path, each on a
/// line of its own: the root, where it is declared, then what `ls` lists.
///
/// A name that is not UTF-8 is escaped as [`crate::escape::Escaped`] does it, and stands
/// beside it in hexadecimal digits (`path_hex`, `target_hex`, `name_hex`). The
/// values of extended attributes are always hexadecimal. The objects of one
/// resource have the same `section` and `index`.
///
/// # Errors
/// See [`PrintError`].
pub fn ls_json(manifest: &[u8], out: &mut impl Write) -> Result<(), PrintError> {
    check_wire(manifest)?;
    out.write_all(b"[")?;
    let mut separator = "\n";
    for (section, name) in [
        (Section::Root, "root"),
        (Section::Resource, "resource"),
        (Section::Special, "special"),
    ] {
        for (index, record) in in_section(manifest, section).enumerate() {
            let record = record?;
            let extension = record.extension().unwrap_or_default();
            let root = (section == Section::Root).then_some(&b"/"[..]);
            let links = paths(&record).count();
            for path in root.into_iter().chain(paths(&record)) {
                out.write_all(separator.as_bytes())?;
                separator = ",\n";
                let line = Line {
                    path,
                    links,
                    section: name,
                    index,
                    record: &record,
                    extension: &extension,
                };
                let mut serializer =
                    serde_json::Serializer::with_formatter(&mut *out, JsonFormatter);
                line.serialize(&mut serializer)
                    .map_err(std::io::Error::from)?;
            }
        }
    }
    Ok(out.write_all(b"\n]\n")?)
}

/// One path of one record.
struct Line<'a> {
    path: &'a [u8],
    links: usize,
    section: &'static str,
    index: usize,
    record: &'a Record<'a>,
    extension: &'a Extension<'a>,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (record, extension) = (self.record, self.extension);
        let go_mode = record.go_mode();
        let mode = FileMode::from_go(go_mode).ok();
        let file_type = mode.map(FileMode::file_type);
        let mut map = serializer.serialize_map(None)?;
        serialize_name(&mut map, "path", "path_hex", self.path)?;
        map.serialize_entry("section", self.section)?;
        map.serialize_entry("index", &self.index)?;
        map.serialize_entry("type", file_type.map_or("unknown", FileType::word))?;
        map.serialize_entry("mode", &mode.map(|m| format!("{:04o}", m.permissions())))?;
        map.serialize_entry("mode_string", &GoMode(go_mode).to_string())?;
        map.serialize_entry("uid", &record.uid)?;
        map.serialize_entry("gid", &record.gid)?;
        for (key, plain, extended) in [
            ("user", record.user, extension.user),
            ("group", record.group, extension.group),
        ] {
            match (plain, extended) {
                ("", "") => {}
                ("", name) | (name, _) => map.serialize_entry(key, name)?,
            }
        }
        if self.links > 1 {
            map.serialize_entry("links", &self.links)?;
        }
        if GoMode(go_mode).is_regular() {
            map.serialize_entry("size", &record.size)?;
            map.serialize_entry("digests", &Each(|| record.digests()))?;
        }
        if GoMode(go_mode).is_symlink() {
            serialize_name(&mut map, "target", "target_hex", target(record, extension))?;
        }
        if matches!(
            file_type,
            Some(FileType::CharDevice | FileType::BlockDevice)
        ) {
            map.serialize_entry("major", &record.major)?;
            map.serialize_entry("minor", &record.minor)?;
        }
        if xattrs(record).next().is_some() {
            map.serialize_entry("xattrs", &Each(|| xattrs(record)))?;
        }
        if let Some(time) = extension.mtime {
            map.serialize_entry("mtime", &Time::from(time))?;
        }
        if let Some(time) = extension.ctime {
            map.serialize_entry("ctime", &Time::from(time))?;
        }
        if let Some(table) = extension.chunks {
            map.serialize_entry("chunks", &ChunkSummary::of(record, table))?;
        }
        if extension.whiteout {
            map.serialize_entry("whiteout", &true)?;
        }
        if extension.opaque {
            map.serialize_entry("opaque", &true)?;
        }
        map.end()
    }
}

fn xattrs<'a>(record: &Record<'a>) -> impl Iterator<Item = NamedValue<'a>> + use<'a> {
    record
        .xattrs()
        .map(|entry| (entry.name.as_bytes(), entry.data))
        .chain(record.raw_xattrs())
        .map(|(name, value)| NamedValue { name, value })
}

/// An extended attribute.
struct NamedValue<'a> {
    name: &'a [u8],
    value: &'a [u8],
}

impl Serialize for NamedValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        serialize_name(&mut map, "name", "name_hex", self.name)?;
        map.serialize_entry("value", &Hex(self.value).to_string())?;
        map.end()
    }
}

/// What an iterator yields, as an array.
struct Each<F>(F);

impl<F, I> Serialize for Each<F>
where
    F: Fn() -> I,
    I: Iterator<Item: Serialize>,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

#[derive(Serialize)]
struct Time {
    seconds: i64,
    nanoseconds: u64,
}

impl From<RecordedTime> for Time {
    fn from(time: RecordedTime) -> Self {
        Self {
            seconds: time.seconds,
            nanoseconds: time.nanoseconds,
        }
    }
}

/// A chunk table without its digests; `dump` has them.
#[derive(Serialize)]
struct ChunkSummary<'a> {
    algorithm: &'a str,
    /// 0 where every chunk has a length of its own.
    chunk_size: u64,
    /// How many lengths there are, where every chunk has one of its own.
    lengths: usize,
    digest_bytes: usize,
}

impl<'a> ChunkSummary<'a> {
    fn of(record: &Record<'_>, table: RecordedChunks<'a>) -> Self {
        Self {
            algorithm: table.algorithm,
            chunk_size: table.chunk_size,
            lengths: record.chunk_lengths().count(),
            digest_bytes: table.digest.len(),
        }
    }
}
