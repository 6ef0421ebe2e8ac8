//! The text form of a manifest: protobuf text format as the Go library prints
//! it (<https://protobuf.dev/reference/protobuf/textformat-spec/>).

use std::io::{self, Write};

use super::error::PrintError;
use super::extension::{Packed, unzigzag};
use super::record::check_wire;
use super::schema::{Label, MANIFEST, Schema, Type, fits, is_default, payload};
use super::wire::{Field, Fields, Value};
use Label::{Many, One};
use Type::{Bool, Int64, Message, Octets, Sint64, Text, Uint32};

/// Writes the text form of a whole manifest.
///
/// Known fields come by name in the order of their numbers, then unknown
/// fields by number, in the order in which they stand. Nothing is written
/// when the bytes do not parse.
///
/// # Errors
/// See [`PrintError`].
pub fn write_text(manifest: &[u8], out: &mut impl Write) -> Result<(), PrintError> {
    check_wire(manifest)?;
    let mut printer = Printer {
        out,
        depth: 0,
        is_empty: false,
    };
    Ok(printer.message(MANIFEST, Fields::new(manifest, 0))?)
}

struct Printer<'o, W> {
    out: &'o mut W,
    depth: usize,
    /// Whether nothing was printed yet of the message that was begun last.
    is_empty: bool,
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
            (Text | Octets, Value::Bytes(value)) => {
                self.begin(name)?;
                write_quoted(value, self.out)
            }
            (Bool, Value::Varint(value)) => self.scalar(name, value != 0),
            (Int64, Value::Varint(value)) => self.scalar(name, value.cast_signed()),
            (Sint64, Value::Varint(value)) => self.scalar(name, unzigzag(value)),
            (Uint32, Value::Varint(value)) => self.scalar(name, value & 0xffff_ffff),
            (_, Value::Varint(value)) => self.scalar(name, value),
            (_, Value::Bytes(packed)) => Packed(packed)
                .flatten()
                .try_for_each(|value| self.scalar(name, value)),
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
        self.out.write_all(b"{")?;
        self.is_empty = true;
        self.depth += 1;
        self.message(schema, fields)?;
        self.depth -= 1;
        // Fields with their default values are there and not printed.
        if !std::mem::take(&mut self.is_empty) {
            self.indent()?;
        }
        self.out.write_all(b"}\n")
    }

    fn scalar(&mut self, name: &str, value: impl std::fmt::Display) -> io::Result<()> {
        self.begin(name)?;
        writeln!(self.out, "{value}")
    }

    fn begin(&mut self, name: &str) -> io::Result<()> {
        if std::mem::take(&mut self.is_empty) {
            self.out.write_all(b"\n")?;
        }
        self.indent()?;
        write!(self.out, "{name}: ")
    }

    fn indent(&mut self) -> io::Result<()> {
        (0..self.depth).try_for_each(|_| self.out.write_all(b"  "))
    }
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
        // uid: 0
        assert_eq!(text(&[0x0a, 2, 0x10, 0]), "resource: {}\n");
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
        assert!(matches!(error, PrintError::Manifest(_)), "{error}");
        assert_eq!(out, b"");
    }
}
