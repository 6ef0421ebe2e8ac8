//! The protobuf wire format, read without copying.
//!
//! It accepts and refuses the same bytes as the Go library does (see
//! <https://protobuf.dev/programming-guides/encoding/>), but for groups nested
//! deeper than [`GROUP_DEPTH_MAX`].

use thiserror::Error;

/// The types that `build/main.rs` makes of `proto/manifest.proto`; only for writing.
pub(super) mod proto {
    // `Manifest` itself is written one resource at a time.
    #![allow(dead_code, missing_docs, clippy::all)]
    include!(concat!(env!("OUT_DIR"), "/continuity.manifest.rs"));
}

/// How deep unknown groups may nest.
pub const GROUP_DEPTH_MAX: usize = 100;

/// Bytes that are no protobuf message; offsets count from the beginning of
/// the manifest, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// A field does not parse.
    #[error("cannot parse invalid wire-format data at byte {offset}")]
    Invalid {
        /// Where the field begins.
        offset: usize,
    },
    /// A string is not UTF-8.
    #[error("string field contains invalid UTF-8 at byte {offset}")]
    Utf8 {
        /// Where the field begins.
        offset: usize,
    },
}

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field<'a> {
    /// The field's number.
    pub number: u32,
    /// Its value.
    pub value: Value<'a>,
    /// The whole field, tag and all.
    pub raw: &'a [u8],
    /// Where it begins, in bytes from the beginning of the manifest.
    pub offset: usize,
}

/// The value of a field, by wire type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2: bytes, a string or a message.
    Bytes(&'a [u8]),
    /// Wire types 3 and 4: the fields between them.
    Group(&'a [u8]),
    /// Wire type 5.
    Fixed32(u32),
}

impl<'a> Field<'a> {
    /// The value as a string.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub fn string(&self, bytes: &'a [u8]) -> Result<&'a str, WireError> {
        std::str::from_utf8(bytes).map_err(|_| WireError::Utf8 {
            offset: self.offset,
        })
    }

    /// The fields of a value that is a message.
    #[must_use]
    pub fn fields(&self, bytes: &'a [u8]) -> Fields<'a> {
        let header = self.raw.len().saturating_sub(bytes.len());
        Fields::new(bytes, self.offset.saturating_add(header))
    }
}

/// The fields of a message, in the order in which they stand.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Fields<'a> {
    /// Reads a message which begins at `offset` of the manifest.
    #[must_use]
    pub const fn new(message: &'a [u8], offset: usize) -> Self {
        Self {
            rest: message,
            offset,
        }
    }

    fn next_field(&mut self) -> Result<Field<'a>, ()> {
        let start = self.rest;
        let offset = self.offset;
        let mut rest = start;
        let (number, wire_type) = tag(&mut rest)?;
        let value = value(&mut rest, number, wire_type)?;
        let length = start.len().checked_sub(rest.len()).ok_or(())?;
        self.rest = rest;
        self.offset = offset.saturating_add(length);
        Ok(Field {
            number,
            value,
            raw: start.get(..length).ok_or(())?,
            offset,
        })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let offset = self.offset;
        Some(self.next_field().map_err(|()| {
            self.rest = &[];
            WireError::Invalid { offset }
        }))
    }
}

fn tag(rest: &mut &[u8]) -> Result<(u32, u8), ()> {
    let tag = varint(rest)?;
    let number = u32::try_from(tag >> 3).map_err(|_| ())?;
    // Field numbers have 29 bits, and 0 is none.
    if number == 0 || number >= 1 << 29 {
        return Err(());
    }
    Ok((number, (tag & 7) as u8))
}

fn value<'a>(rest: &mut &'a [u8], number: u32, wire_type: u8) -> Result<Value<'a>, ()> {
    Ok(match wire_type {
        0 => Value::Varint(varint(rest)?),
        1 => Value::Fixed64(u64::from_le_bytes(array(rest)?)),
        2 => {
            let length = usize::try_from(varint(rest)?).map_err(|_| ())?;
            Value::Bytes(take(rest, length)?)
        }
        3 => Value::Group(group(rest, number)?),
        5 => Value::Fixed32(u32::from_le_bytes(array(rest)?)),
        _ => return Err(()),
    })
}

/// The inside of a group that has begun; without recursion, for the depth is
/// the sender's choice.
fn group<'a>(rest: &mut &'a [u8], number: u32) -> Result<&'a [u8], ()> {
    let start = *rest;
    let mut open = vec![number];
    loop {
        let before = rest.len();
        let (number, wire_type) = tag(rest)?;
        match wire_type {
            3 if open.len() < GROUP_DEPTH_MAX => open.push(number),
            3 => return Err(()),
            4 if open.pop() != Some(number) => return Err(()),
            4 if open.is_empty() => {
                let length = start.len().checked_sub(before).ok_or(())?;
                return start.get(..length).ok_or(());
            }
            4 => {}
            _ => {
                value(rest, number, wire_type)?;
            }
        }
    }
}

fn varint(rest: &mut &[u8]) -> Result<u64, ()> {
    // Most have one byte.
    if let [byte @ ..0x80, left @ ..] = *rest {
        *rest = left;
        return Ok(u64::from(*byte));
    }
    long_varint(rest)
}

fn long_varint(rest: &mut &[u8]) -> Result<u64, ()> {
    let mut value = 0_u64;
    for (index, &byte) in rest.iter().enumerate().take(10) {
        // The tenth byte holds the 64th bit and nothing else.
        if index == 9 && byte > 1 {
            return Err(());
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            *rest = rest.get(index + 1..).ok_or(())?;
            return Ok(value);
        }
    }
    Err(())
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], ()> {
    let (taken, left) = rest.split_at_checked(length).ok_or(())?;
    *rest = left;
    Ok(taken)
}

fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], ()> {
    let (taken, left) = rest.split_first_chunk::<N>().ok_or(())?;
    *rest = left;
    Ok(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<(u32, Value<'_>)>, WireError> {
        Fields::new(bytes, 0)
            .map(|field| field.map(|field| (field.number, field.value)))
            .collect()
    }

    #[test]
    fn reads_every_wire_type() {
        let bytes = [
            0x08, 0x96, 0x01, // 1: 150
            0x11, 1, 0, 0, 0, 0, 0, 0, 0, // 2: fixed64
            0x1a, 2, b'h', b'i', // 3: "hi"
            0x23, 0x08, 5, 0x24, // 4: { 1: 5 }
            0x2d, 7, 0, 0, 0, // 5: fixed32
        ];
        assert_eq!(
            all(&bytes).unwrap(),
            [
                (1, Value::Varint(150)),
                (2, Value::Fixed64(1)),
                (3, Value::Bytes(b"hi")),
                (4, Value::Group(&[0x08, 5])),
                (5, Value::Fixed32(7)),
            ]
        );
    }

    #[test]
    fn refuses_what_go_refuses() {
        for bad in [
            &[0x00][..],                                             // field 0
            &[0x08],                                                 // no value
            &[0x08, 0x80],                                           // varint cut off
            &[0x0a, 5, b'x'],                                        // length past the end
            &[0x0b, 0x08, 5],                                        // group without an end
            &[0x0c],                                                 // end of no group
            &[0x0b, 0x14],                                           // end of another group
            &[0x0d, 1, 2, 3],                                        // fixed32 cut off
            &[0x0e, 0],                                              // wire type 6
            &[0x0f, 0],                                              // wire type 7
            &[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2], // 65 bits
            &[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
        ] {
            assert_eq!(all(bad), Err(WireError::Invalid { offset: 0 }), "{bad:x?}");
        }
        assert_eq!(all(&[0x08, 1, 0x08]), Err(WireError::Invalid { offset: 2 }),);
    }

    #[test]
    fn deep_groups_end_without_recursion() {
        let mut deep = vec![0x0b; GROUP_DEPTH_MAX];
        deep.extend(vec![0x0c; GROUP_DEPTH_MAX]);
        assert!(all(&deep).is_ok());
        let deeper = [vec![0x0b; 1_000_000], vec![0x0c; 1_000_000]].concat();
        assert!(all(&deeper).is_err());
    }

    #[test]
    fn longer_varints_than_needed_are_fine() {
        assert_eq!(
            all(&[0x08, 0x86, 0x80, 0x00]).unwrap(),
            [(1, Value::Varint(6))]
        );
    }
}
