//! The fields of the messages by name, for printing them.

use super::wire::{Field, Value};

/// The known fields of a message, by number.
pub(super) type Schema = &'static [(u32, &'static str, Label, Type)];

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Label {
    /// The last one counts; messages are joined; the default is not printed.
    One,
    Many,
}

#[derive(Clone, Copy)]
pub(super) enum Type {
    Bool,
    Int64,
    Sint64,
    Uint32,
    Uint64,
    Text,
    /// `bytes`.
    Octets,
    Message(Schema),
}

use Label::{Many, One};
use Type::{Bool, Int64, Message, Octets, Sint64, Text, Uint32, Uint64};

pub(super) const MANIFEST: Schema = &[
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

const XATTR: Schema = &[(1, "name", One, Text), (2, "data", One, Octets)];

const RAW_XATTR: Schema = &[(1, "name", One, Octets), (2, "data", One, Octets)];

const ADS: Schema = &[
    (1, "name", One, Text),
    (2, "data", One, Octets),
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
    (8, "raw_path", Many, Octets),
    (9, "raw_target", One, Octets),
    (10, "raw_xattr", Many, Message(RAW_XATTR)),
];

const TIMESTAMP: Schema = &[(1, "seconds", One, Sint64), (2, "nanos", One, Uint32)];

const CHUNKS: Schema = &[
    (1, "algorithm", One, Text),
    (2, "chunk_size", One, Uint64),
    (3, "length", Many, Uint64),
    (4, "digest", One, Octets),
];

/// Whether a known field has the wire type of its kind; if not it is unknown.
pub(super) fn fits(kind: Type, label: Label, value: Value<'_>) -> bool {
    match value {
        Value::Varint(_) => matches!(kind, Bool | Int64 | Sint64 | Uint32 | Uint64),
        Value::Bytes(_) => matches!(kind, Text | Octets | Message(_)) || label == Many,
        _ => false,
    }
}

pub(super) fn payload<'a>(field: Field<'a>) -> &'a [u8] {
    match field.value {
        Value::Bytes(value) => value,
        _ => &[],
    }
}

pub(super) fn is_default(value: Value<'_>) -> bool {
    matches!(value, Value::Varint(0) | Value::Bytes(b""))
}
