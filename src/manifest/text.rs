//! The text form of a manifest: protobuf text format as the Go library prints
//! it (<https://protobuf.dev/reference/protobuf/textformat-spec/>).

use std::io::{self, Write};

use super::record::Records;
use super::wire::{Field, Fields, Value, WireError};

/// Writes the text form of a whole manifest.
///
/// Known fields come by name in the order of their numbers, then unknown
/// fields by number, in the order in which they stand. Nothing is written
/// when the bytes do not parse.
///
/// # Errors
/// [`WireError`] as the source of an error of kind `InvalidData`, or whatever
/// `out` says.
pub fn write_text(manifest: &[u8], out: &mut impl Write) -> io::Result<()> {
    let invalid = |error: WireError| io::Error::new(io::ErrorKind::InvalidData, error);
    Records::new(manifest).try_for_each(|record| record.map(drop).map_err(invalid))?;
    let mut printer = Printer { out, depth: 0 };
    printer.message(MANIFEST, Fields::new(manifest, 0))
}

/// The known fields of a message, by number.
type Schema = &'static [(u32, &'static str, Label, Type)];

#[derive(Clone, Copy, PartialEq)]
enum Label {
    /// The last one counts; messages are joined; the default is not printed.
    One,
    Many,
}

#[derive(Clone, Copy)]
enum Type {
    Bool,
    Int64,
    Sint64,
    Uint32,
    Uint64,
    /// A string, or bytes.
    Text,
    Message(Schema),
}

use Label::{Many, One};
use Type::{Bool, Int64, Message, Sint64, Text, Uint32, Uint64};

const MANIFEST: Schema = &[
    (1, "resource", Many, Message(RESOURCE)),
    (100, "info", One, Message(INFO)),
    (101, "root", One, Message(RESOURCE)),
    (102, "special", Many, Message(RESOURCE)),
];

const INFO: Schema = &[
    (1, "version", One, Uint32),
    (2, "generator", One, Text),
    (3, "required_feature", Many, Text),
    (4, "base", One, Text),
];

const RESOURCE: Schema = &[
    (1, "path", Many, Text),
    (2, "uid", One, Int64),
    (3, "gid", One, Int64),
    (4, "user", One, Text),
    (5, "group", One, Text),
    (6, "mode", One, Uint32),
    (7, "size", One, Uint64),
    (8, "digest", Many, Text),
    (9, "target", One, Text),
    (10, "major", One, Uint64),
    (11, "minor", One, Uint64),
    (12, "xattr", Many, Message(XATTR)),
    (13, "ads", Many, Message(ADS)),
    (100, "extension", One, Message(EXTENSION)),
];

const XATTR: Schema = &[(1, "name", One, Text), (2, "data", One, Text)];

const ADS: Schema = &[
    (1, "name", One, Text),
    (2, "data", One, Text),
    (3, "digest", One, Text),
];

const EXTENSION: Schema = &[
    (1, "mtime", One, Message(TIMESTAMP)),
    (2, "ctime", One, Message(TIMESTAMP)),
    (3, "chunks", One, Message(CHUNKS)),
    (4, "whiteout", One, Message(&[])),
    (5, "opaque", One, Bool),
    (6, "user", One, Text),
    (7, "group", One, Text),
    (8, "raw_path", Many, Text),
    (9, "raw_target", One, Text),
    (10, "raw_xattr", Many, Message(XATTR)),
];

const TIMESTAMP: Schema = &[(1, "seconds", One, Sint64), (2, "nanos", One, Uint32)];

const CHUNKS: Schema = &[
    (1, "algorithm", One, Text),
    (2, "chunk_size", One, Uint64),
    (3, "length", Many, Uint64),
    (4, "digest", One, Text),
];

struct Printer<'o, W> {
    out: &'o mut W,
    depth: usize,
}

impl<W: Write> Printer<'_, W> {
    fn message(&mut self, schema: Schema, fields: Fields<'_>) -> io::Result<()> {
        for &(number, name, label, kind) in schema {
            let mut values = fields
                .clone()
                .flatten()
                .filter(|field| field.number == number && fits(kind, label, field.value));
            match (label, kind) {
                (One, Message(schema)) => {
                    let joined: Vec<u8> = values.clone().flat_map(payload).copied().collect();
                    if values.next().is_some() {
                        self.nested(name, schema, Fields::new(&joined, 0))?;
                    }
                }
                (One, _) => {
                    if let Some(field) = values.last().filter(|field| !is_default(field.value)) {
                        self.known(name, kind, &field)?;
                    }
                }
                (Many, _) => values.try_for_each(|field| self.known(name, kind, &field))?,
            }
        }
        let mut unknown = fields.flatten().filter(|field| {
            !schema.iter().any(|&(number, _, label, kind)| {
                field.number == number && fits(kind, label, field.value)
            })
        });
        unknown.try_for_each(|field| self.unknown(&field))
    }

    fn known(&mut self, name: &str, kind: Type, field: &Field<'_>) -> io::Result<()> {
        match (kind, field.value) {
            (Message(schema), Value::Bytes(value)) => {
                self.nested(name, schema, field.fields(value))
            }
            (Text, Value::Bytes(value)) => {
                self.begin(name)?;
                write_quoted(value, self.out)
            }
            (Bool, Value::Varint(value)) => self.scalar(name, value != 0),
            (Int64, Value::Varint(value)) => self.scalar(name, value.cast_signed()),
            (Sint64, Value::Varint(value)) => self.scalar(
                name,
                (value >> 1).cast_signed() ^ -((value & 1).cast_signed()),
            ),
            (Uint32, Value::Varint(value)) => self.scalar(name, value & 0xffff_ffff),
            (_, Value::Varint(value)) => self.scalar(name, value),
            (_, Value::Bytes(mut packed)) => {
                while let Ok(value) = prost::encoding::decode_varint(&mut packed) {
                    self.scalar(name, value)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn unknown(&mut self, field: &Field<'_>) -> io::Result<()> {
        let name = field.number.to_string();
        match field.value {
            Value::Varint(value) => self.scalar(&name, value),
            Value::Fixed32(value) => self.scalar(&name, format_args!("{value:#x}")),
            Value::Fixed64(value) => self.scalar(&name, format_args!("{value:#x}")),
            Value::Bytes(value) => {
                self.begin(&name)?;
                write_quoted(value, self.out)
            }
            Value::Group(value) => self.nested(&name, &[], field.fields(value)),
        }
    }

    fn nested(&mut self, name: &str, schema: Schema, fields: Fields<'_>) -> io::Result<()> {
        self.begin(name)?;
        if fields.clone().next().is_none() {
            return self.out.write_all(b"{}\n");
        }
        self.out.write_all(b"{\n")?;
        self.depth += 1;
        self.message(schema, fields)?;
        self.depth -= 1;
        self.indent()?;
        self.out.write_all(b"}\n")
    }

    fn scalar(&mut self, name: &str, value: impl std::fmt::Display) -> io::Result<()> {
        self.begin(name)?;
        writeln!(self.out, "{value}")
    }

    fn begin(&mut self, name: &str) -> io::Result<()> {
        self.indent()?;
        write!(self.out, "{name}: ")
    }

    fn indent(&mut self) -> io::Result<()> {
        (0..self.depth).try_for_each(|_| self.out.write_all(b"  "))
    }
}

/// Whether a known field has the wire type of its kind; if not it is unknown.
fn fits(kind: Type, label: Label, value: Value<'_>) -> bool {
    match value {
        Value::Varint(_) => matches!(kind, Bool | Int64 | Sint64 | Uint32 | Uint64),
        Value::Bytes(_) => matches!(kind, Text | Message(_)) || label == Many,
        _ => false,
    }
}

fn payload<'a>(field: Field<'a>) -> &'a [u8] {
    match field.value {
        Value::Bytes(value) => value,
        _ => &[],
    }
}

fn is_default(value: Value<'_>) -> bool {
    matches!(value, Value::Varint(0) | Value::Bytes(b""))
}

/// A string literal and a line feed.
fn write_quoted(bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"\"")?;
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' => out.write_all(b"\\n")?,
                '\r' => out.write_all(b"\\r")?,
                '\t' => out.write_all(b"\\t")?,
                '"' => out.write_all(b"\\\"")?,
                '\\' => out.write_all(b"\\\\")?,
                '\0'..='\x1f' | '\x7f' => write!(out, "\\x{:02x}", u32::from(character))?,
                '\u{80}'..='\u{9f}' => write!(out, "\\u{:04x}", u32::from(character))?,
                _ => write!(out, "{character}")?,
            }
        }
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}")?;
        }
    }
    out.write_all(b"\"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(manifest: &[u8]) -> String {
        let mut out = Vec::new();
        write_text(manifest, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn prints_unknown_fields_by_number() {
        assert_eq!(text(&[0x0a, 0]), "resource: {}\n");
        assert_eq!(
            text(&[0x0a, 4, 0xa3, 0x01, 0xa4, 0x01, 0x18, 9]),
            "resource: {\n  20: {}\n}\n3: 9\n"
        );
        assert_eq!(
            text(&[0x0a, 3, 0x32, 1, 0x85]),
            "resource: {\n  6: \"\\x85\"\n}\n"
        );
    }

    #[test]
    fn prints_nothing_of_broken_bytes() {
        let mut out = Vec::new();
        let error = write_text(&[0x0a, 0, 0x0a, 2, 0], &mut out).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(out, b"");
    }
}
