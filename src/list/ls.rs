//! `ls`: one line for each path.

use std::io::{self, Write};

use crate::escape::Escaped;
use crate::manifest::{Extension, PrintError, Record, Records, Section, WireError};
use crate::mode::GoMode;

use super::Names;
use super::columns::{Align, Measure};
use super::size::HumanSize;

/// Lists mode, owner, group, size and path, and the target of a symlink.
///
/// The resources come in the order in which they stand, then the special ones;
/// the root is not among them.
///
/// # Errors
/// See [`PrintError`].
pub fn ls(manifest: &[u8], names: Names, out: &mut impl Write) -> Result<(), PrintError> {
    let mut measure = Measure::default();
    write_lines(manifest, names, &mut measure)?;
    let mut out = Align::new(measure.finish(), out);
    write_lines(manifest, names, &mut out)
}

fn write_lines(manifest: &[u8], names: Names, out: &mut impl Write) -> Result<(), PrintError> {
    for section in [Section::Resource, Section::Special] {
        for record in in_section(manifest, section) {
            write_record(&record?, names, out)?;
        }
    }
    Ok(())
}

/// The records of one section.
pub(super) fn in_section(
    manifest: &[u8],
    section: Section,
) -> impl Iterator<Item = Result<Record<'_>, WireError>> {
    Records::new(manifest).filter_map(move |found| match found {
        Ok((found, record)) => (found == section).then_some(Ok(record)),
        Err(error) => Some(Err(error)),
    })
}

/// The paths of both forms.
pub(super) fn paths<'a>(record: &Record<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    record.paths().map(str::as_bytes).chain(record.raw_paths())
}

/// The target of either form.
pub(super) fn target<'a>(record: &Record<'a>, extension: &Extension<'a>) -> &'a [u8] {
    extension.raw_target.unwrap_or(record.target.as_bytes())
}

fn write_record(record: &Record<'_>, names: Names, out: &mut impl Write) -> io::Result<()> {
    let mode = GoMode(record.go_mode());
    let extension = record.extension().unwrap_or_default();
    for path in paths(record) {
        write!(out, "{mode}\t")?;
        write_owner(record.user, record.uid, names, out)?;
        write_owner(record.group, record.gid, names, out)?;
        write!(out, "{}\t", HumanSize(record.size))?;
        write_name(path, names, out)?;
        if mode.is_symlink() {
            out.write_all(b" -> ")?;
            write_name(target(record, &extension), names, out)?;
        }
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn write_owner(name: &str, id: i64, names: Names, out: &mut impl Write) -> io::Result<()> {
    if name.is_empty() {
        return write!(out, "{id}\t");
    }
    write_name(name.as_bytes(), names, out)?;
    out.write_all(b"\t")
}

fn write_name(name: &[u8], names: Names, out: &mut impl Write) -> io::Result<()> {
    match names {
        Names::Raw => out.write_all(name),
        Names::Escaped => write!(out, "{}", Escaped(name)),
    }
}
