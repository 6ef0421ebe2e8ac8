//! `dump`: all of a manifest.

use std::io::Write;

use crate::manifest::{PrintError, write_json, write_text};

/// Writes the manifest in protobuf text format, and a line feed more, as the
/// Go tool does.
///
/// # Errors
/// See [`PrintError`].
pub fn dump(manifest: &[u8], out: &mut impl Write) -> Result<(), PrintError> {
    write_text(manifest, out)?;
    Ok(out.write_all(b"\n")?)
}

/// Writes the manifest as JSON; see [`write_json`].
///
/// # Errors
/// See [`PrintError`].
pub fn dump_json(manifest: &[u8], out: &mut impl Write) -> Result<(), PrintError> {
    write_json(manifest, out)
}
