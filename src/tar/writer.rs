//! Writes an archive, always the same bytes for the same members.
//!
//! A member has a header of ustar; what that cannot hold is in an extended
//! header of pax before it, and nothing else is. Names stand as they are, for
//! that is how GNU tar and libarchive leave them as they are.

use std::io::{self, Write};
use std::ops::Range;

use crate::acl::{ACCESS, DEFAULT, is_trivial};
use crate::manifest::{DeviceNumber, Metadata, Timestamp, Xattr};

use super::acl;
use super::extended::{base64_encode, percent_encode};
use super::header::{BLOCK_SIZE, Block, POSIX_MAGIC, checksums, field};
use super::pax;

/// One member to be written.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Its name, relative; of the root, `.`.
    pub name: &'a [u8],
    /// What every kind of file has.
    pub metadata: &'a Metadata,
    /// Its attributes, sorted by name.
    pub xattrs: &'a [Xattr],
    /// What only this kind has.
    pub kind: MemberKind<'a>,
}

/// What only one kind of member has.
#[derive(Clone, Copy, Debug)]
pub enum MemberKind<'a> {
    /// A regular file of so many bytes, which are to be written next.
    Regular(u64),
    /// One more name of the member of this name.
    Link(&'a [u8]),
    /// A directory.
    Directory,
    /// A symlink to this target.
    Symlink(&'a [u8]),
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice(DeviceNumber),
    /// A block device.
    BlockDevice(DeviceNumber),
}

impl MemberKind<'_> {
    const fn type_flag(self) -> u8 {
        match self {
            Self::Regular(_) => b'0',
            Self::Link(_) => b'1',
            Self::Symlink(_) => b'2',
            Self::CharDevice(_) => b'3',
            Self::BlockDevice(_) => b'4',
            Self::Directory => b'5',
            Self::Fifo => b'6',
        }
    }
}

/// Largest number in a field of 8 bytes, and of 12.
const OWNER_MAX: u64 = 0o7_777_777;
const SIZE_MAX: u64 = 0o77_777_777_777;
/// What stands in a header instead of a name that is in the extended one. Other
/// writers use it too.
const EXTENDED_NAME: &[u8] = b"././@PaxHeader";

/// Writes members one after the other.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    /// How many bytes of the current member's content are to come, and the
    /// padding behind them.
    missing: u64,
    padding: usize,
}

impl<W: Write> Writer<W> {
    /// Writes to `out`.
    pub const fn new(out: W) -> Self {
        Self {
            out,
            missing: 0,
            padding: 0,
        }
    }

    /// Begins a member. Its content, if it has any, must follow in full.
    ///
    /// # Errors
    /// As for writing; and when content of the member before is missing.
    pub fn begin(&mut self, member: &Member<'_>) -> io::Result<()> {
        self.end_member()?;
        let mut name = member.name.to_vec();
        if matches!(member.kind, MemberKind::Directory) {
            name.push(b'/');
        }
        let records = records(&name, member);
        if !records.is_empty() {
            let mut header = Fields::default();
            header.text(field::NAME, EXTENDED_NAME);
            header.octal(field::MODE, 0o644);
            header.octal(field::SIZE, records.len() as u64);
            header.octal(field::MTIME, 0);
            self.out.write_all(&header.seal(b'x'))?;
            self.out.write_all(&records)?;
            self.pad(padding(records.len() as u64))?;
        }
        self.out.write_all(&header(&name, member))?;
        if let MemberKind::Regular(size) = member.kind {
            self.missing = size;
            self.padding = padding(size);
        }
        Ok(())
    }

    /// The next bytes of the current member.
    ///
    /// # Errors
    /// As for writing; and when there are more than the member has.
    pub fn content(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.missing = self
            .missing
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| io::Error::other("more content than the member has"))?;
        self.out.write_all(bytes)
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// As for writing; and when content of the last member is missing.
    pub fn finish(mut self) -> io::Result<W> {
        self.end_member()?;
        self.pad(2 * BLOCK_SIZE)?;
        Ok(self.out)
    }

    fn end_member(&mut self) -> io::Result<()> {
        if self.missing != 0 {
            return Err(io::Error::other("less content than the member has"));
        }
        let padding = std::mem::take(&mut self.padding);
        self.pad(padding)
    }

    fn pad(&mut self, count: usize) -> io::Result<()> {
        let zeros = [0; 2 * BLOCK_SIZE];
        self.out.write_all(zeros.get(..count).unwrap_or(&zeros))
    }
}

/// How many bytes are missing to a whole block.
fn padding(size: u64) -> usize {
    // Less than a block.
    (size.wrapping_neg() % BLOCK_SIZE as u64) as usize
}

fn header(name: &[u8], member: &Member<'_>) -> Block {
    let metadata = member.metadata;
    let mut header = Fields::default();
    match split(name) {
        Some((prefix, name)) => {
            header.text(field::PREFIX, prefix);
            header.text(field::NAME, name);
        }
        None => header.text(field::NAME, EXTENDED_NAME),
    }
    header.octal(field::MODE, metadata.mode.permissions().into());
    // One who does not read extended headers should not take it for root's.
    header.octal(field::UID, OWNER_MAX.min(metadata.uid.into()));
    header.octal(field::GID, OWNER_MAX.min(metadata.gid.into()));
    let seconds = metadata.mtime.map_or(0, Timestamp::seconds);
    header.octal(
        field::MTIME,
        u64::try_from(seconds).unwrap_or(0).min(SIZE_MAX),
    );
    let size = match member.kind {
        MemberKind::Regular(size) if size <= SIZE_MAX => size,
        _ => 0,
    };
    header.octal(field::SIZE, size);
    for (field, name) in [
        (field::USER, &metadata.user),
        (field::GROUP, &metadata.group),
    ] {
        if is_short_owner(name) {
            header.text(field, name.as_bytes());
        }
    }
    if let MemberKind::Link(target) | MemberKind::Symlink(target) = member.kind
        && is_short_link(target)
    {
        header.text(field::LINK, target);
    }
    let (major, minor) = match member.kind {
        MemberKind::CharDevice(number) | MemberKind::BlockDevice(number) => {
            (number.major(), number.minor())
        }
        _ => (0, 0),
    };
    header.octal(field::MAJOR, major.into());
    header.octal(field::MINOR, minor.into());
    header.seal(member.kind.type_flag())
}

/// Cuts a name into prefix and name, if it fits.
fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if name.len() <= field::NAME.len() {
        return Some((b"", name));
    }
    // As late as it can be, but not at the slash of a directory.
    let end = (field::PREFIX.len() + 1).min(name.len() - 1);
    let slash = name.get(..end)?.iter().rposition(|byte| *byte == b'/')?;
    let (prefix, rest) = name.split_at_checked(slash)?;
    let rest = rest.get(1..)?;
    (!prefix.is_empty() && rest.len() <= field::NAME.len()).then_some((prefix, rest))
}

const fn is_short_link(target: &[u8]) -> bool {
    target.len() <= field::LINK.end - field::LINK.start
}

/// Names of owners end with a NUL.
fn is_short_owner(name: &str) -> bool {
    name.is_ascii() && name.len() < field::USER.len() && !name.contains('\0')
}

/// What the header cannot hold.
fn records(name: &[u8], member: &Member<'_>) -> Vec<u8> {
    let metadata = member.metadata;
    let mut records = Vec::new();
    let link = match member.kind {
        MemberKind::Link(target) | MemberKind::Symlink(target) => target,
        _ => b"",
    };
    let (long_name, long_link) = (split(name).is_none(), !is_short_link(link));
    if long_name && !name.is_ascii() || long_link && !link.is_ascii() {
        // Else they would have to be UTF-8, and libarchive changes what Unicode
        // has two forms of.
        pax::push(&mut records, b"hdrcharset", b"BINARY");
    }
    if long_name {
        pax::push(&mut records, b"path", name);
    }
    if long_link {
        pax::push(&mut records, b"linkpath", link);
    }
    for (key, id) in [(b"uid", metadata.uid), (b"gid", metadata.gid)] {
        if u64::from(id) > OWNER_MAX {
            pax::push(&mut records, key, id.to_string().as_bytes());
        }
    }
    for (key, name) in [(b"uname", &metadata.user), (b"gname", &metadata.group)] {
        if !is_short_owner(name) {
            pax::push(&mut records, key, name.as_bytes());
        }
    }
    if let MemberKind::Regular(size) = member.kind
        && size > SIZE_MAX
    {
        pax::push(&mut records, b"size", size.to_string().as_bytes());
    }
    if let Some(time) = metadata.mtime {
        let fits = u64::try_from(time.seconds()).is_ok_and(|seconds| seconds <= SIZE_MAX);
        if !fits || time.nanoseconds() != 0 {
            let text = pax::write_time(time.seconds(), time.nanoseconds());
            pax::push(&mut records, b"mtime", &text);
        }
    }
    for xattr in member.xattrs {
        push_xattr(&mut records, xattr);
    }
    records
}

/// An ACL as the text that tools make ACLs of; anything else as star has it, or
/// if its name cannot be that, as libarchive has it.
fn push_xattr(records: &mut Vec<u8>, xattr: &Xattr) {
    let text = |key: &[u8]| acl::to_text(&xattr.value).map(|text| (key.to_vec(), text));
    let acl = match &*xattr.name {
        // What says no more than the permissions is no ACL for those tools.
        ACCESS if !is_trivial(&xattr.value) => text(b"SCHILY.acl.access"),
        DEFAULT => text(b"SCHILY.acl.default"),
        _ => None,
    };
    let is_plain =
        std::str::from_utf8(&xattr.name).is_ok() && !xattr.name.iter().any(|c| b"=%".contains(c));
    let (key, value) = match acl {
        Some(acl) => acl,
        None if is_plain => (
            [b"SCHILY.xattr.", &*xattr.name].concat(),
            xattr.value.to_vec(),
        ),
        None => (
            [&b"LIBARCHIVE.xattr."[..], &percent_encode(&xattr.name)].concat(),
            base64_encode(&xattr.value),
        ),
    };
    pax::push(records, &key, &value);
}

/// A header that is being filled.
struct Fields(Block);

impl Default for Fields {
    fn default() -> Self {
        let mut fields = Self([0; BLOCK_SIZE]);
        fields.text(field::MAGIC, POSIX_MAGIC);
        fields.octal(field::UID, 0);
        fields.octal(field::GID, 0);
        fields.octal(field::MAJOR, 0);
        fields.octal(field::MINOR, 0);
        fields
    }
}

impl Fields {
    /// What is longer than the field is cut; callers look before.
    fn text(&mut self, field: Range<usize>, text: &[u8]) {
        let place = self.0.get_mut(field).unwrap_or_default();
        for (to, from) in place.iter_mut().zip(text) {
            *to = *from;
        }
    }

    /// With leading zeros and a NUL behind.
    fn octal(&mut self, field: Range<usize>, value: u64) {
        let digits = field.len() - 1;
        self.text(field, format!("{value:0digits$o}").as_bytes());
    }

    fn seal(mut self, type_flag: u8) -> Block {
        if let Some(place) = self.0.get_mut(field::TYPE) {
            *place = type_flag;
        }
        let (sum, _) = checksums(&self.0);
        self.text(field::CHECKSUM, format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_at_a_slash() {
        let name = |parts: &[usize]| {
            let parts: Vec<_> = parts.iter().map(|length| "n".repeat(*length)).collect();
            parts.join("/").into_bytes()
        };
        for (parts, cut) in [
            (&[100][..], Some(0)),
            (&[101], None),
            (&[1, 100], Some(1)),
            (&[155, 100], Some(155)),
            (&[156, 100], None),
            (&[155, 101], None),
            (&[50, 50, 50], Some(101)),
            (&[50, 99, 0], Some(50)),
            (&[50, 100, 0], None),
        ] {
            let name = name(parts);
            let found = split(&name).map(|(prefix, _)| prefix.len());
            assert_eq!(found, cut, "{parts:?}");
        }
    }

    #[test]
    fn content_must_be_there_in_full() {
        let metadata = Metadata::new(crate::mode::FileMode::new(
            crate::mode::FileType::Regular,
            0o644,
        ));
        let member = Member {
            name: b"f",
            metadata: &metadata,
            xattrs: &[],
            kind: MemberKind::Regular(3),
        };
        let mut writer = Writer::new(Vec::new());
        writer.begin(&member).unwrap();
        writer.content(b"12").unwrap();
        assert!(writer.content(b"34").is_err());
        let mut writer = Writer::new(Vec::new());
        writer.begin(&member).unwrap();
        assert!(writer.begin(&member).is_err());
        assert!(writer.finish().is_err());
    }
}
