//! What was not taken, and what tells that it should not be.

use std::fs::File;
use std::io;
use std::ops::AddAssign;

use crate::path::ManifestPath;
use crate::sys::file;

/// How much of what was met is not in the manifest. What lies in a directory
/// that was left out is not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Sockets.
    pub sockets: u64,
    /// Devices.
    pub devices: u64,
    /// Files and directories whose names are ignored.
    pub ignored: u64,
    /// Directories on other filesystems, whose content was left out.
    pub filesystems: u64,
    /// Directories with a `CACHEDIR.TAG`, whose content was left out.
    pub caches: u64,
    /// AppleDouble files and directories named `__MACOSX`.
    pub appledouble: u64,
    /// One of those that were taken after all; to warn of them.
    pub appledouble_taken: Option<ManifestPath>,
}

impl AddAssign for LeftOut {
    fn add_assign(&mut self, other: Self) {
        self.sockets += other.sockets;
        self.devices += other.devices;
        self.ignored += other.ignored;
        self.filesystems += other.filesystems;
        self.caches += other.caches;
        self.appledouble += other.appledouble;
        // The first by path, so that the same tree gives the same warning.
        let both = self.appledouble_taken.take().into_iter();
        self.appledouble_taken = both.chain(other.appledouble_taken).min();
    }
}

/// Name of the file that makes a directory a cache.
pub(super) const CACHE_TAG: &str = "CACHEDIR.TAG";

/// How that file begins.
const CACHE_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// How an AppleDouble file begins (RFC 1740).
const APPLEDOUBLE_MAGIC: &[u8] = &[0, 5, 0x16, 7];

/// Whether a file named [`CACHE_TAG`] is one.
pub(super) fn is_cache_tag(file: &File) -> io::Result<bool> {
    begins_with(file, CACHE_SIGNATURE)
}

/// Whether a file holds the resource fork and the like of the one that its name
/// names.
pub(super) fn is_appledouble(name: &[u8], file: &File) -> io::Result<bool> {
    Ok(name.starts_with(b"._") && begins_with(file, APPLEDOUBLE_MAGIC)?)
}

/// Whether a directory is where macOS puts AppleDouble files in archives.
pub(super) fn is_appledouble_directory(name: &[u8]) -> bool {
    name == b"__MACOSX"
}

fn begins_with(file: &File, wanted: &[u8]) -> io::Result<bool> {
    let mut found = vec![0; wanted.len()];
    let count = file::read_full_at(file, &mut found, 0)?;
    Ok(found.get(..count) == Some(wanted))
}
