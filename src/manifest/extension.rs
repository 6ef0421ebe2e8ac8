//! What the bytes of a `ResourceExtension` say, before anybody judges it.

use super::record::Record;
use super::wire::{Field, Fields, Value, WireError};

/// The parts of an extension that stand once.
///
/// What is repeated is walked in the [`Record`] each time it is asked for:
/// [`Record::raw_paths`], [`Record::raw_xattrs`], [`Record::chunk_lengths`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extension<'a> {
    /// Last change of the content.
    pub mtime: Option<RecordedTime>,
    /// Last change of the inode.
    pub ctime: Option<RecordedTime>,
    /// Digests of the parts of the content.
    pub chunks: Option<RecordedChunks<'a>>,
    /// Whether the name hides the same one in lower layers.
    pub whiteout: bool,
    /// Whether the directory hides the content of the same one in lower layers.
    pub opaque: bool,
    /// Name of the owner.
    pub user: &'a str,
    /// Name of the group.
    pub group: &'a str,
    /// A link target that is not UTF-8.
    pub raw_target: Option<&'a [u8]>,
    /// Whether a path or an extended attribute stands in its raw form.
    pub(super) has_raw: bool,
    /// Whether there are fields that nobody here knows.
    pub(super) has_unknown: bool,
}

/// A time as it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordedTime {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds after them, which may be too many.
    pub nanoseconds: u64,
}

/// A chunk table as it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordedChunks<'a> {
    /// Name of the algorithm.
    pub algorithm: &'a str,
    /// Size of every chunk, or 0.
    pub chunk_size: u64,
    /// Raw digests, one after the other.
    pub digest: &'a [u8],
}

/// Numbers of the fields that stand several times.
mod repeated {
    pub const CHUNKS: u32 = 3;
    pub const RAW_PATH: u32 = 8;
    pub const RAW_XATTR: u32 = 10;
    pub const CHUNK_LENGTH: u32 = 3;
}

impl<'a> Extension<'a> {
    fn take(&mut self, field: &Field<'a>) -> Result<(), WireError> {
        match (field.number, field.value) {
            (1, Value::Bytes(value)) => {
                let time = self.mtime.get_or_insert_default();
                time.take(field.fields(value))?;
            }
            (2, Value::Bytes(value)) => {
                let time = self.ctime.get_or_insert_default();
                time.take(field.fields(value))?;
            }
            (repeated::CHUNKS, Value::Bytes(value)) => {
                let chunks = self.chunks.get_or_insert_default();
                chunks.take(field.fields(value))?;
            }
            (4, Value::Bytes(value)) => {
                // Nothing in it is known, but it is a message.
                field.fields(value).try_for_each(|field| field.map(drop))?;
                self.whiteout = true;
            }
            (5, Value::Varint(value)) => self.opaque = value != 0,
            (6, Value::Bytes(value)) => self.user = field.string(value)?,
            (7, Value::Bytes(value)) => self.group = field.string(value)?,
            (9, Value::Bytes(value)) => self.raw_target = Some(value),
            (repeated::RAW_PATH, Value::Bytes(_)) => self.has_raw = true,
            (repeated::RAW_XATTR, Value::Bytes(value)) => {
                raw_xattr(field.fields(value))?;
                self.has_raw = true;
            }
            _ => self.has_unknown = true,
        }
        Ok(())
    }
}

impl RecordedTime {
    fn take(&mut self, fields: Fields<'_>) -> Result<(), WireError> {
        for field in fields {
            let field = field?;
            match (field.number, field.value) {
                (1, Value::Varint(value)) => self.seconds = unzigzag(value),
                (2, Value::Varint(value)) => self.nanoseconds = value,
                _ => {}
            }
        }
        Ok(())
    }
}

/// The encoding of `sint64`.
pub(super) const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

impl<'a> RecordedChunks<'a> {
    fn take(&mut self, fields: Fields<'a>) -> Result<(), WireError> {
        for field in fields {
            let field = field?;
            match (field.number, field.value) {
                (1, Value::Bytes(value)) => self.algorithm = field.string(value)?,
                (2, Value::Varint(value)) => self.chunk_size = value,
                (repeated::CHUNK_LENGTH, Value::Bytes(packed)) => {
                    let invalid = WireError::Invalid {
                        offset: field.offset,
                    };
                    Packed(packed).try_for_each(|length| length.map(drop).ok_or(invalid))?;
                }
                (4, Value::Bytes(value)) => self.digest = value,
                _ => {}
            }
        }
        Ok(())
    }
}

impl<'a> Record<'a> {
    /// The extension, all of its known parts checked.
    ///
    /// # Errors
    /// When it does not parse. The Go tool does not know field 100 and takes
    /// any bytes there, so this is no reason not to list the record.
    pub fn extension(&self) -> Result<Extension<'a>, WireError> {
        let mut extension = Extension::default();
        for field in self.extensions().flatten() {
            extension.take(&field?)?;
        }
        Ok(extension)
    }

    /// The paths of a record of which one is not UTF-8.
    pub fn raw_paths(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.extension_messages(repeated::RAW_PATH)
            .map(|(_, value)| value)
    }

    /// Names and values of the extended attributes that older readers cannot
    /// or must not see.
    pub fn raw_xattrs(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.extension_messages(repeated::RAW_XATTR)
            .filter_map(|(field, value)| raw_xattr(field.fields(value)).ok())
    }

    /// The lengths in the chunk table.
    pub fn chunk_lengths(&self) -> impl Iterator<Item = u64> + use<'a> {
        self.extension_messages(repeated::CHUNKS)
            .flat_map(|(field, value)| field.fields(value).flatten())
            .filter(|field| field.number == repeated::CHUNK_LENGTH)
            .flat_map(|field| {
                let (one, packed) = match field.value {
                    Value::Varint(length) => (Some(length), &[][..]),
                    Value::Bytes(packed) => (None, packed),
                    _ => (None, &[][..]),
                };
                one.into_iter().chain(Packed(packed).flatten())
            })
    }

    /// The fields of the extension that nobody here knows; with the chunk table
    /// where nobody knows its algorithm.
    pub(super) fn unknown_of_extension(
        &self,
        with_chunks: bool,
    ) -> impl Iterator<Item = Field<'a>> + use<'a> {
        self.extensions().flatten().flatten().filter(move |field| {
            !is_known(field) || with_chunks && field.number == repeated::CHUNKS
        })
    }

    fn extension_messages(
        &self,
        number: u32,
    ) -> impl Iterator<Item = (Field<'a>, &'a [u8])> + use<'a> {
        self.extensions()
            .flatten()
            .flatten()
            .filter_map(move |field| match field.value {
                Value::Bytes(value) if field.number == number => Some((field, value)),
                _ => None,
            })
    }
}

fn is_known(field: &Field<'_>) -> bool {
    match field.value {
        Value::Varint(_) => field.number == 5,
        Value::Bytes(_) => matches!(field.number, 1..=4 | 6..=10),
        _ => false,
    }
}

fn raw_xattr<'a>(fields: Fields<'a>) -> Result<(&'a [u8], &'a [u8]), WireError> {
    let (mut name, mut data) = (&[][..], &[][..]);
    for field in fields {
        let field = field?;
        match (field.number, field.value) {
            (1, Value::Bytes(value)) => name = value,
            (2, Value::Bytes(value)) => data = value,
            _ => {}
        }
    }
    Ok((name, data))
}

/// Packed varints; `None` for what does not parse, and then nothing more.
pub(super) struct Packed<'a>(pub &'a [u8]);

impl Iterator for Packed<'_> {
    type Item = Option<u64>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let value = prost::encoding::decode_varint(&mut self.0).ok();
        if value.is_none() {
            self.0 = &[];
        }
        Some(value)
    }
}
