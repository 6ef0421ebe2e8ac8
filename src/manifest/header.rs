//! What stands in a manifest besides its resources.

use super::decode::refused;
use super::error::{ManifestError, Rule};
use super::limits::Limits;
use super::model::{Carried, HeaderCarried, Info, Kind, Metadata};
use super::record::{Record, Section, manifest_field};
use super::resource::{read_carried, read_kind, read_metadata};
use super::wire::{Fields, Value};

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
