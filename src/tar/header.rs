//! The 512-byte header block that stands before every member.

use std::ops::Range;

/// Everything in an archive is padded to blocks of this many bytes.
pub(super) const BLOCK_SIZE: usize = 512;

/// One block.
pub(super) type Block = [u8; BLOCK_SIZE];

/// Where the fields of a header stand (POSIX `pax`, "ustar Interchange Format").
pub(super) mod field {
    use std::ops::Range;

    pub const NAME: Range<usize> = 0..100;
    pub const MODE: Range<usize> = 100..108;
    pub const UID: Range<usize> = 108..116;
    pub const GID: Range<usize> = 116..124;
    pub const SIZE: Range<usize> = 124..136;
    pub const MTIME: Range<usize> = 136..148;
    pub const CHECKSUM: Range<usize> = 148..156;
    pub const TYPE: usize = 156;
    pub const LINK: Range<usize> = 157..257;
    pub const MAGIC: Range<usize> = 257..265;
    pub const USER: Range<usize> = 265..297;
    pub const GROUP: Range<usize> = 297..329;
    pub const MAJOR: Range<usize> = 329..337;
    pub const MINOR: Range<usize> = 337..345;
    pub const PREFIX: Range<usize> = 345..500;
    /// The prefix of Schily's star, which has times behind it.
    pub const STAR_PREFIX: Range<usize> = 345..476;
    pub const STAR_TRAILER: Range<usize> = 508..512;
    /// GNU's own: the first four extents of a sparse file.
    pub const GNU_SPARSE: Range<usize> = 386..482;
    pub const GNU_IS_EXTENDED: usize = 482;
    pub const GNU_REAL_SIZE: Range<usize> = 483..495;
}

/// `magic` and `version` of POSIX.
pub(super) const POSIX_MAGIC: &[u8; 8] = b"ustar\x0000";
/// `magic` and `version` of GNU tar's older format.
const GNU_MAGIC: &[u8; 8] = b"ustar  \0";

/// Which form a header has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Before POSIX: no names of owners, no devices.
    V7,
    /// GNU tar's, which has other things where POSIX has the prefix.
    Gnu,
    /// POSIX, and pax with it.
    Ustar,
    /// POSIX with a shorter prefix.
    Star,
}

/// A header whose checksum is right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header<'a>(&'a Block);

impl<'a> Header<'a> {
    /// `None` when the checksum is wrong.
    pub fn parse(block: &'a Block) -> Option<Self> {
        let header = Self(block);
        let wanted = header.number(field::CHECKSUM)?;
        let (unsigned, signed) = checksums(block);
        // Some old systems added signed bytes.
        (wanted == unsigned || wanted == signed).then_some(header)
    }

    pub fn format(&self) -> Format {
        let magic = self.bytes(field::MAGIC);
        if magic == GNU_MAGIC {
            Format::Gnu
        } else if !magic.starts_with(b"ustar\0") {
            Format::V7
        } else if self.bytes(field::STAR_TRAILER) == b"tar\0" {
            Format::Star
        } else {
            Format::Ustar
        }
    }

    pub fn type_flag(&self) -> u8 {
        self.byte(field::TYPE)
    }

    pub fn byte(&self, place: usize) -> u8 {
        self.0.get(place).copied().unwrap_or(0)
    }

    pub fn bytes(&self, field: Range<usize>) -> &'a [u8] {
        self.0.get(field).unwrap_or_default()
    }

    /// A field up to its NUL, if it has one.
    pub fn text(&self, field: Range<usize>) -> &'a [u8] {
        until_nul(self.bytes(field))
    }

    /// `None` when the field holds no number, or one beyond `i64`.
    pub fn number(&self, field: Range<usize>) -> Option<i64> {
        number(self.bytes(field))
    }

    /// The name with its prefix.
    pub fn name(&self) -> Vec<u8> {
        let prefix = match self.format() {
            Format::Ustar => self.text(field::PREFIX),
            Format::Star => self.text(field::STAR_PREFIX),
            Format::V7 | Format::Gnu => b"",
        };
        match prefix {
            b"" => self.text(field::NAME).to_vec(),
            prefix => [prefix, b"/", self.text(field::NAME)].concat(),
        }
    }
}

/// The bytes before the first NUL, or all.
pub(super) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A number as headers have it: octal digits, blank before and ended by a blank
/// or a NUL; or, with its first bit set, in base 256 (GNU and star). A blank
/// field is 0.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    match field {
        [first, rest @ ..] if *first & 0x80 != 0 => {
            // The second bit is the sign, and the rest is as a machine has it.
            let negative = first & 0x40 != 0;
            let first = if negative {
                i128::from(*first) - 0x100
            } else {
                i128::from(first & 0x3f)
            };
            let value = rest.iter().try_fold(first, |value, byte| {
                value.checked_mul(256)?.checked_add(i128::from(*byte))
            })?;
            i64::try_from(value).ok()
        }
        _ => {
            let digits = field.trim_ascii_start();
            let end = digits.iter().position(|byte| matches!(byte, 0 | b' '));
            let digits = digits.get(..end.unwrap_or(digits.len()))?;
            digits.iter().try_fold(0_i64, |value, digit| match digit {
                b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
                _ => None,
            })
        }
    }
}

/// The sum of all bytes, unsigned and signed; the checksum itself counts as
/// blanks.
pub(super) fn checksums(block: &Block) -> (i64, i64) {
    let sum = |value: fn(u8) -> i64| {
        block
            .iter()
            .enumerate()
            .map(|(place, byte)| match field::CHECKSUM.contains(&place) {
                true => i64::from(b' '),
                false => value(*byte),
            })
            .sum()
    };
    (sum(i64::from), sum(|byte| i64::from(byte.cast_signed())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_in_two_forms() {
        for (field, value) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"77777777777\0", Some(0o77_777_777_777)),
            (b"777777777777", Some(0o777_777_777_777)),
            (b"0000648\0", None),
            (b"-1\0", None),
            (b"0x1f\0", None),
            (b"\x80\0\0\0\0\0\x01\x02", Some(258)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
            (
                b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
                Some(i64::MAX),
            ),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
            (b"\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff", None),
        ] {
            assert_eq!(number(field), value, "{field:?}");
        }
    }

    #[test]
    fn a_header_has_a_checksum() {
        let mut block = [0; BLOCK_SIZE];
        block[..4].copy_from_slice(b"name");
        assert!(Header::parse(&block).is_none());
        let (sum, _) = checksums(&block);
        block[field::CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        assert_eq!(Header::parse(&block).unwrap().name(), b"name");
        block[0] ^= 1;
        assert!(Header::parse(&block).is_none());
    }
}
