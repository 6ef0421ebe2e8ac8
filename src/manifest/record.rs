//! What the bytes of a manifest say, before anybody judges it.

use super::wire::{Field, Fields, Value, WireError};

/// Numbers of the fields of `Manifest`.
pub(super) mod manifest_field {
    pub const RESOURCE: u32 = 1;
    pub const INFO: u32 = 100;
    pub const ROOT: u32 = 101;
    pub const SPECIAL: u32 = 102;
}

/// Numbers of the fields of `Resource`.
pub(super) mod resource_field {
    pub const PATH: u32 = 1;
    pub const UID: u32 = 2;
    pub const GID: u32 = 3;
    pub const USER: u32 = 4;
    pub const GROUP: u32 = 5;
    pub const MODE: u32 = 6;
    pub const SIZE: u32 = 7;
    pub const DIGEST: u32 = 8;
    pub const TARGET: u32 = 9;
    pub const MAJOR: u32 = 10;
    pub const MINOR: u32 = 11;
    pub const XATTR: u32 = 12;
    pub const ADS: u32 = 13;
    pub const EXTENSION: u32 = 100;
}

/// Which list of the manifest a record stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// `Manifest.resource`, which every reader knows.
    Resource,
    /// `Manifest.root`, the metadata of `/`.
    Root,
    /// `Manifest.special`, what older readers would reject.
    Special,
}

/// The records of a manifest in the order in which they stand.
#[derive(Clone, Debug)]
pub struct Records<'a>(Fields<'a>);

impl<'a> Records<'a> {
    /// Walks a whole manifest.
    #[must_use]
    pub const fn new(manifest: &'a [u8]) -> Self {
        Self(Fields::new(manifest, 0))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<(Section, Record<'a>), WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let field = match self.0.next()? {
                Ok(field) => field,
                Err(error) => return Some(Err(error)),
            };
            let Some((section, message)) = section_of(&field) else {
                continue;
            };
            return Some(Record::new(&field, message).map(|record| (section, record)));
        }
    }
}

/// The section and the message of a field that holds a record.
pub(super) fn section_of<'a>(field: &Field<'a>) -> Option<(Section, &'a [u8])> {
    let section = match field.number {
        manifest_field::RESOURCE => Section::Resource,
        manifest_field::ROOT => Section::Root,
        manifest_field::SPECIAL => Section::Special,
        _ => return None,
    };
    match field.value {
        Value::Bytes(message) => Some((section, message)),
        _ => None,
    }
}

/// Whether the bytes are a manifest at all: they parse as the Go tool parses
/// them. Nothing is said about what they declare.
///
/// # Errors
/// The first place that does not parse.
pub fn check_wire(manifest: &[u8]) -> Result<(), WireError> {
    Records::new(manifest).try_for_each(|record| record.map(drop))
}

/// One resource as it is written: well-formed, and nothing more.
///
/// Scalars are read once; what is repeated is walked again each time it is
/// asked for, so that a record of any size takes no memory. A known field of
/// another wire type is an unknown field, as it is for Go.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    fields: Fields<'a>,
    /// What is not there, or stands once, is not looked for again.
    present: Present<'a>,
    /// Where the record begins, in bytes from the beginning of the manifest.
    pub offset: usize,
    /// Owner, as written.
    pub uid: i64,
    /// Group, as written.
    pub gid: i64,
    /// Name of the owner, reserved.
    pub user: &'a str,
    /// Name of the group, reserved.
    pub group: &'a str,
    /// Mode, before it is cut to 32 bits.
    pub mode: u64,
    /// Size in bytes.
    pub size: u64,
    /// Target of a symlink.
    pub target: &'a str,
    /// Major device number.
    pub major: u64,
    /// Minor device number.
    pub minor: u64,
}

#[derive(Clone, Debug, Default)]
struct Present<'a> {
    paths: Repeated<&'a str>,
    digests: Repeated<&'a str>,
    extensions: Repeated<Fields<'a>>,
    xattrs: bool,
    ads: bool,
    unknown: bool,
}

/// The values of a field that most records have once.
#[derive(Clone, Debug, Default)]
enum Repeated<T> {
    #[default]
    Never,
    Once(T),
    /// They have to be walked.
    Often,
}

impl<T: Clone> Repeated<T> {
    fn add(&mut self, value: T) {
        *self = match self {
            Self::Never => Self::Once(value),
            Self::Once(_) | Self::Often => Self::Often,
        };
    }

    /// All of them, given a walk that finds them where there are several.
    fn all<I: Iterator<Item = T>>(&self, walk: I) -> impl Iterator<Item = T> + use<T, I> {
        let (once, often) = match self {
            Self::Never => (None, None),
            Self::Once(value) => (Some(value.clone()), None),
            Self::Often => (None, Some(walk)),
        };
        once.into_iter().chain(often.into_iter().flatten())
    }
}

impl<'a> Record<'a> {
    /// Reads the message that `field` holds, and checks all of its known parts.
    pub(super) fn new(field: &Field<'a>, message: &'a [u8]) -> Result<Self, WireError> {
        let fields = field.fields(message);
        let mut record = Self {
            fields: fields.clone(),
            present: Present::default(),
            offset: field.offset,
            uid: 0,
            gid: 0,
            user: "",
            group: "",
            mode: 0,
            size: 0,
            target: "",
            major: 0,
            minor: 0,
        };
        for field in fields {
            record.take(&field?)?;
        }
        Ok(record)
    }

    fn take(&mut self, field: &Field<'a>) -> Result<(), WireError> {
        use resource_field::{
            ADS, DIGEST, EXTENSION, GID, GROUP, MAJOR, MINOR, MODE, PATH, SIZE, TARGET, UID, USER,
            XATTR,
        };
        match (field.number, field.value) {
            (UID, Value::Varint(value)) => self.uid = value.cast_signed(),
            (GID, Value::Varint(value)) => self.gid = value.cast_signed(),
            (MODE, Value::Varint(value)) => self.mode = value,
            (SIZE, Value::Varint(value)) => self.size = value,
            (MAJOR, Value::Varint(value)) => self.major = value,
            (MINOR, Value::Varint(value)) => self.minor = value,
            (USER, Value::Bytes(value)) => self.user = field.string(value)?,
            (GROUP, Value::Bytes(value)) => self.group = field.string(value)?,
            (TARGET, Value::Bytes(value)) => self.target = field.string(value)?,
            (PATH, Value::Bytes(value)) => self.present.paths.add(field.string(value)?),
            (DIGEST, Value::Bytes(value)) => self.present.digests.add(field.string(value)?),
            (XATTR, Value::Bytes(value)) => {
                self.present.xattrs = true;
                Entry::read_xattr(field.fields(value))?;
            }
            (ADS, Value::Bytes(value)) => {
                self.present.ads = true;
                Entry::read_stream(field.fields(value))?;
            }
            (EXTENSION, Value::Bytes(value)) => {
                self.present.extensions.add(field.fields(value));
            }
            _ => self.present.unknown = true,
        }
        Ok(())
    }

    /// The mode as Go has it: cut to 32 bits.
    #[must_use]
    pub const fn go_mode(&self) -> u32 {
        (self.mode & 0xffff_ffff) as u32
    }

    /// The paths, in the order in which they are written.
    pub fn paths(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let paths = &self.present.paths;
        paths.all(self.strings(resource_field::PATH))
    }

    /// The digests.
    pub fn digests(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let digests = &self.present.digests;
        digests.all(self.strings(resource_field::DIGEST))
    }

    /// The extended attributes.
    pub fn xattrs(&self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        self.messages(resource_field::XATTR, self.present.xattrs)
            .filter_map(|fields| Entry::read_xattr(fields).ok())
    }

    /// The alternate data streams.
    pub fn ads(&self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        self.messages(resource_field::ADS, self.present.ads)
            .filter_map(|fields| Entry::read_stream(fields).ok())
    }

    /// The messages of field `extension`; to be read as one.
    pub(super) fn extensions(&self) -> impl Iterator<Item = Fields<'a>> + use<'a> {
        let extensions = &self.present.extensions;
        extensions.all(self.messages(resource_field::EXTENSION, true))
    }

    /// Whether it has extended attributes that every reader knows.
    pub(super) const fn has_xattrs(&self) -> bool {
        self.present.xattrs
    }

    /// Whether it has anything that only has to be carried along: reserved fields,
    /// alternate data streams, fields that nobody here knows.
    pub(super) const fn has_more(&self) -> bool {
        let Present { ads, unknown, .. } = self.present;
        ads || unknown || !self.user.is_empty() || !self.group.is_empty()
    }

    /// Every field that is none of the above.
    pub(super) fn unknown(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        self.fields_if(self.present.unknown)
            .flatten()
            .filter(|field| !is_known(field))
    }

    fn strings(&self, number: u32) -> impl Iterator<Item = &'a str> + use<'a> {
        self.fields
            .clone()
            .flatten()
            .filter_map(move |field| match field.value {
                Value::Bytes(value) if field.number == number => field.string(value).ok(),
                _ => None,
            })
    }

    fn fields_if(&self, present: bool) -> Fields<'a> {
        if present {
            self.fields.clone()
        } else {
            Fields::new(&[], 0)
        }
    }

    fn messages(&self, number: u32, present: bool) -> impl Iterator<Item = Fields<'a>> + use<'a> {
        self.fields_if(present)
            .flatten()
            .filter_map(move |field| match field.value {
                Value::Bytes(value) if field.number == number => Some(field.fields(value)),
                _ => None,
            })
    }
}

fn is_known(field: &Field<'_>) -> bool {
    use resource_field::{
        ADS, DIGEST, EXTENSION, GID, GROUP, MAJOR, MINOR, MODE, PATH, SIZE, TARGET, UID, USER,
        XATTR,
    };
    match field.value {
        Value::Varint(_) => matches!(field.number, UID | GID | MODE | SIZE | MAJOR | MINOR),
        Value::Bytes(_) => matches!(
            field.number,
            PATH | USER | GROUP | DIGEST | TARGET | XATTR | ADS | EXTENSION
        ),
        _ => false,
    }
}

/// `XAttr` and `ADSEntry`, which have the same beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Name of the attribute or stream.
    pub name: &'a str,
    /// Its value.
    pub data: &'a [u8],
    /// Digest of a stream that is not held here.
    pub digest: &'a str,
}

impl<'a> Entry<'a> {
    /// Of any field 3 nothing is known.
    fn read_xattr(fields: Fields<'a>) -> Result<Self, WireError> {
        let mut entry = Self::default();
        for field in fields {
            entry.take(&field?)?;
        }
        Ok(entry)
    }

    fn read_stream(fields: Fields<'a>) -> Result<Self, WireError> {
        let mut entry = Self::default();
        for field in fields {
            let field = field?;
            match (field.number, field.value) {
                (3, Value::Bytes(value)) => entry.digest = field.string(value)?,
                _ => entry.take(&field)?,
            }
        }
        Ok(entry)
    }

    fn take(&mut self, field: &Field<'a>) -> Result<(), WireError> {
        match (field.number, field.value) {
            (1, Value::Bytes(value)) => self.name = field.string(value)?,
            (2, Value::Bytes(value)) => self.data = value,
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_millions_of_paths_takes_no_memory() {
        let paths = [0x0a, 0].repeat(1_000_000);
        let mut manifest = vec![0x0a];
        prost::encoding::encode_varint(paths.len() as u64, &mut manifest);
        manifest.extend(paths);
        let (section, record) = Records::new(&manifest).next().unwrap().unwrap();
        assert_eq!(section, Section::Resource);
        assert_eq!(record.paths().count(), 1_000_000);
    }

    #[test]
    fn the_last_of_a_repeated_scalar_counts() {
        let manifest = [0x0a, 6, 0x30, 1, 0x30, 2, 0x38, 3];
        let (_, record) = Records::new(&manifest).next().unwrap().unwrap();
        assert_eq!((record.mode, record.size), (2, 3));
    }
}
