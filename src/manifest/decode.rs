//! Records made into resources, one after the other.

use super::error::{ManifestError, Place, Rule};
use super::header::{Header, read_header};
use super::limits::Limits;
use super::model::{Manifest, Resource};
use super::record::{Record, Records, Section, section_of};
use super::resource::read_resource;
use super::wire::{Field, Fields, WireError};

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

/// The rule that a record breaks, and where it stands.
pub(super) fn refused(
    section: Section,
    index: u64,
    record: &Record<'_>,
    rule: Rule,
) -> ManifestError {
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
