//! Two manifests, path by path.

use std::cmp::Ordering;

use crate::attributes::Attribute;
use crate::manifest::{Indexed, Kind, PathIndex, Resource};
use crate::mode::{FileMode, FileType};
use crate::path::ManifestPath;
use crate::sys::Absence;

use super::compare::{Rules, compare};
use super::error::{CheckError, Which};
use super::finding::{Change, Difference, DifferenceKind, Sides};
use super::links::{File, Links};

/// Goes through both in path order, and tells every path that differs.
///
/// # Errors
/// When a resource breaks a rule of the format, or `tell` fails.
pub(super) fn compare_manifests(
    wanted: &PathIndex<'_>,
    found: &PathIndex<'_>,
    rules: &Rules<'_>,
    mut tell: impl FnMut(Option<Difference>) -> Result<(), CheckError>,
) -> Result<(), CheckError> {
    let wanted_is = |entry| wanted.read(entry).map_err(CheckError::of(Which::First));
    let found_is = |entry| found.read(entry).map_err(CheckError::of(Which::Second));
    let mut links = Links::new();
    let mut one = wanted.entries().iter().copied().peekable();
    let mut other = found.entries().iter().copied().peekable();
    loop {
        let order = match (one.peek(), other.peek()) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(other)) => one.path().cmp(other.path()),
        };
        let here = one.next_if(|_| order.is_le());
        let there = other.next_if(|_| order.is_ge());
        match (here, there) {
            // Most of what is compared with what came of it is as it was.
            (Some(here), Some(there)) if wanted.is_identical(here, found, there) => tell(None)?,
            (Some(here), Some(there)) => {
                let (path, here_is) = wanted_is(here)?;
                let (_, there_is) = found_is(there)?;
                let meeting = links.meet(&path, file(here, &here_is), file(there, &there_is));
                let mut changes = if meeting.again {
                    Vec::new()
                } else {
                    compare(&here_is, &there_is, rules)
                };
                changes.extend(rules.link_change(meeting.different));
                tell(Difference::changed(path, here_is.kind.file_type(), changes))?;
            }
            (Some(entry), None) => {
                let (path, resource) = wanted_is(entry)?;
                tell(only_wanted(path, &resource, found, rules))?;
            }
            (None, Some(entry)) => {
                let (path, resource) = found_is(entry)?;
                let reversed = only_wanted(path, &resource, wanted, rules);
                tell(reversed.map(Difference::reversed))?;
            }
            (None, None) => return Ok(()),
        }
    }
}

/// What there is to say of a path that only one side lists.
fn only_wanted(
    path: ManifestPath,
    resource: &Resource,
    other: &PathIndex<'_>,
    rules: &Rules<'_>,
) -> Option<Difference> {
    let file_type = resource.kind.file_type();
    if other.leads_on(&path) {
        return Difference::changed(path, file_type, rules.implied(resource.metadata.mode));
    }
    let kind = DifferenceKind::Missing {
        absence: Absence::Missing,
        link_to: None,
    };
    Some(Difference {
        path,
        file_type,
        kind,
    })
}

impl Rules<'_> {
    /// Compares with a directory that is not listed but that others are in:
    /// nothing is declared of it but that.
    pub(super) fn implied(&self, mode: FileMode) -> Vec<Change> {
        if mode.file_type() == FileType::Directory || !self.attributes.has(Attribute::Type) {
            return Vec::new();
        }
        vec![Change::Type(Sides::of(&mode, &FileMode::DEFAULT_DIRECTORY))]
    }
}

/// Two names of a symlink are two symlinks.
pub(super) fn file(entry: Indexed<'_>, resource: &Resource) -> File<u64> {
    File {
        identity: entry.identity(),
        has_links: entry.has_links() && !matches!(resource.kind, Kind::Symlink(_)),
    }
}
