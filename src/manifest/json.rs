//! A manifest as JSON: every known field under its name, as it is written.

use std::io::Write;

use serde::ser::{Error as _, SerializeMap};
use serde::{Serialize, Serializer};

use crate::escape::{Escaped, Hex, JsonFormatter};

use super::error::PrintError;
use super::extension::{Packed, unzigzag};
use super::record::check_wire;
use super::schema::{Label, MANIFEST, Schema, Type, fits, is_default, payload};
use super::wire::{Field, Fields, Value};

/// Writes a whole manifest as one JSON document and a line feed.
///
/// The names are those of `proto/manifest.proto`, numbers are numbers, `bytes`
/// are lower-case hexadecimal digits, and what is not set is left out. Unknown
/// fields are not shown.
///
/// # Errors
/// See [`PrintError`].
pub fn write_json(manifest: &[u8], out: &mut impl Write) -> Result<(), PrintError> {
    check_wire(manifest)?;
    let document = Object {
        schema: MANIFEST,
        fields: Fields::new(manifest, 0),
    };
    let mut serializer = serde_json::Serializer::with_formatter(&mut *out, JsonFormatter);
    document
        .serialize(&mut serializer)
        .map_err(std::io::Error::from)?;
    Ok(out.write_all(b"\n")?)
}

/// A message.
struct Object<'a> {
    schema: Schema,
    fields: Fields<'a>,
}

/// All values of one known field.
#[derive(Clone)]
struct Values<'a> {
    field: &'static (u32, &'static str, Label, Type),
    fields: Fields<'a>,
}

/// One value.
struct One<'a>(Type, Field<'a>);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for field in self.schema {
            let &(_, name, label, kind) = field;
            let values = Values {
                field,
                fields: self.fields.clone(),
            };
            let set = match (label, kind) {
                (Label::One, Type::Message(_)) | (Label::Many, _) => values.iter().next().is_some(),
                (Label::One, _) => values
                    .iter()
                    .last()
                    .is_some_and(|field| !is_default(field.value)),
            };
            if set {
                map.serialize_entry(name, &values)?;
            }
        }
        map.end()
    }
}

impl<'a> Values<'a> {
    fn iter(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        let &(number, _, label, kind) = self.field;
        self.fields
            .clone()
            .flatten()
            .filter(move |field| field.number == number && fits(kind, label, field.value))
    }
}

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let &(_, _, label, kind) = self.field;
        match (label, kind) {
            (Label::One, Type::Message(schema)) => {
                let joined: Vec<u8> = self.iter().flat_map(payload).copied().collect();
                let fields = Fields::new(&joined, 0);
                Object { schema, fields }.serialize(serializer)
            }
            (Label::One, _) => match self.iter().last() {
                Some(field) => One(kind, field).serialize(serializer),
                None => serializer.serialize_none(),
            },
            (Label::Many, Type::Uint64) => {
                serializer.collect_seq(self.iter().flat_map(|field| match field.value {
                    Value::Varint(value) => Numbers::One(value),
                    _ => Numbers::Packed(Packed(payload(field))),
                }))
            }
            (Label::Many, _) => serializer.collect_seq(self.iter().map(|field| One(kind, field))),
        }
    }
}

/// The numbers in one field of a repeated number.
enum Numbers<'a> {
    One(u64),
    Packed(Packed<'a>),
}

impl Iterator for Numbers<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        match self {
            Self::One(value) => {
                let value = *value;
                *self = Self::Packed(Packed(&[]));
                Some(value)
            }
            Self::Packed(packed) => packed.next().flatten(),
        }
    }
}

impl Serialize for One<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(kind, field) = self;
        match (*kind, field.value) {
            (Type::Message(schema), Value::Bytes(value)) => {
                let fields = field.fields(value);
                Object { schema, fields }.serialize(serializer)
            }
            (Type::Text, Value::Bytes(value)) => match std::str::from_utf8(value) {
                Ok(text) => serializer.serialize_str(text),
                // Only in an extension or the info, which nobody checked.
                Err(_) => serializer.collect_str(&Escaped(value)),
            },
            (Type::Octets, Value::Bytes(value)) => serializer.collect_str(&Hex(value)),
            (Type::Bool, Value::Varint(value)) => serializer.serialize_bool(value != 0),
            (Type::Int64, Value::Varint(value)) => serializer.serialize_i64(value.cast_signed()),
            (Type::Sint64, Value::Varint(value)) => serializer.serialize_i64(unzigzag(value)),
            (Type::Uint32, Value::Varint(value)) => {
                serializer.serialize_u64(value & u64::from(u32::MAX))
            }
            (_, Value::Varint(value)) => serializer.serialize_u64(value),
            _ => Err(S::Error::custom("wire type of another kind")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(manifest: &[u8]) -> serde_json::Value {
        let mut out = Vec::new();
        write_json(manifest, &mut out).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn shows_known_fields_by_name() {
        use serde_json::json as value;
        assert_eq!(json(b""), value!({}));
        assert_eq!(json(&[0x0a, 0]), value!({ "resource": [{}] }));
        let resource = [
            0x0a, 2, b'/', b'a', 0x10, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0x38, 3,
            0xa2, 6, 7, 0x0a, 2, 0x08, 3, 0x42, 1, 0xff,
        ];
        let manifest = [&[0x0a, resource.len() as u8][..], &resource].concat();
        assert_eq!(
            json(&manifest),
            value!({ "resource": [{
                "path": ["/a"], "uid": -1, "size": 3,
                "extension": { "mtime": { "seconds": -2 }, "raw_path": ["ff"] },
            }] })
        );
    }
}
