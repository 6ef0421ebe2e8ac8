//! The manifest: bytes to values and back.
//!
//! Reading goes in two steps. [`Records`] walks the bytes exactly as the Go
//! tool's protobuf library does and shows what they say ([`Record`]); that is
//! what `ls`, `stats` and `dump` print. [`Manifest::read`] and [`Resources`]
//! turn records into [`Resource`]s, which obey every rule of the format; that
//! is what is mounted, verified and applied. Both go one resource at a time,
//! so that memory does not grow with what the bytes pretend to hold.

mod content;
mod decode;
mod encode;
mod encoded;
mod error;
mod extension;
mod header;
mod index;
mod json;
mod limits;
mod model;
mod read_text;
mod record;
mod resource;
mod schema;
mod text;
mod token;
mod wire;

pub use decode::Resources;
pub use encode::{EncodeError, Form};
pub use encoded::Encoded;
pub use error::{ManifestError, Place, PrintError, Rule, TextCause, TextError};
pub use extension::{Extension, RecordedChunks, RecordedTime};
pub use header::{Header, read_header};
pub use index::{Indexed, PathIndex};
pub use json::write_json;
pub use limits::{Limits, TARGET_MAX, XATTR_NAME_MAX, XATTR_SIZE_MAX};
pub use model::{
    AlternateStream, Carried, ChunkTable, Chunks, Content, DeviceNumber, HeaderCarried, Info, Kind,
    Manifest, Metadata, Resource, Timestamp, Xattr,
};
pub use read_text::read_text;
pub use record::{Entry, Record, Records, Section, check_wire};
pub use text::write_text;
pub use wire::{Field, Fields, Value, WireError};

/// Media type of a manifest, as agreed in containerd/continuity issue 46.
pub const MEDIA_TYPE: &str = "application/vnd.continuity.manifest.v0+pb";
