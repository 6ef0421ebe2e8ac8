//! `stats`: a manifest in numbers.

use std::io::Write;

use serde::Serialize;

use crate::manifest::{PrintError, Record, Records, Section, WireError};
use crate::mode::{FileMode, FileType, GoMode};

use super::size::HumanSize;

/// Counts over the resources and special resources of a manifest; the root is
/// not among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Resources; one with several hard links is one.
    pub resources: u64,
    /// Paths.
    pub paths: u64,
    /// Directories.
    pub directories: u64,
    /// Paths of regular files, as the Go tool counts them: each hard link.
    pub files: u64,
    /// Symlinks; one with several paths is one.
    pub symlinks: u64,
    /// Named pipes.
    pub fifos: u64,
    /// Character devices.
    pub char_devices: u64,
    /// Block devices.
    pub block_devices: u64,
    /// Sockets.
    pub sockets: u64,
    /// Resources whose mode is not that of one kind of file.
    pub other: u64,
    /// Sum of the sizes, in bytes; a file with several hard links counts once.
    pub size: u128,
    /// Extended attributes.
    pub xattrs: u64,
    /// Resources with a digest for each chunk.
    pub chunk_tables: u64,
}

impl Stats {
    /// Counts.
    ///
    /// # Errors
    /// When the bytes do not parse.
    pub fn of(manifest: &[u8]) -> Result<Self, WireError> {
        let mut stats = Self::default();
        for record in Records::new(manifest) {
            match record? {
                (Section::Root, _) => {}
                (_, record) => stats.take(&record),
            }
        }
        Ok(stats)
    }

    fn take(&mut self, record: &Record<'_>) {
        let paths = count(record.paths()).saturating_add(count(record.raw_paths()));
        let mode = GoMode(record.go_mode());
        self.resources += 1;
        self.paths += paths;
        self.size += u128::from(record.size);
        self.xattrs += count(record.xattrs()) + count(record.raw_xattrs());
        let extension = record.extension().unwrap_or_default();
        self.chunk_tables += u64::from(extension.chunks.is_some());
        // The first three as the Go tool decides them, one after the other.
        if mode.is_regular() {
            self.files += paths;
        } else if mode.is_directory() {
            self.directories += 1;
        } else if mode.is_symlink() {
            self.symlinks += 1;
        } else {
            let kind = FileMode::from_go(record.go_mode()).map(FileMode::file_type);
            *match kind {
                Ok(FileType::Fifo) => &mut self.fifos,
                Ok(FileType::CharDevice) => &mut self.char_devices,
                Ok(FileType::BlockDevice) => &mut self.block_devices,
                Ok(FileType::Socket) => &mut self.sockets,
                _ => &mut self.other,
            } += 1;
        }
    }

    /// Writes five of the numbers, as the Go tool does.
    ///
    /// # Errors
    /// See [`PrintError`].
    pub fn write_text(&self, out: &mut impl Write) -> Result<(), PrintError> {
        // The Go tool adds up in 64 bits.
        let size = HumanSize((self.size & u128::from(u64::MAX)) as u64);
        writeln!(out, "resources    {}", self.resources)?;
        writeln!(out, "directories  {}", self.directories)?;
        writeln!(out, "files        {}", self.files)?;
        writeln!(out, "symlinks     {}", self.symlinks)?;
        Ok(writeln!(out, "size         {size}")?)
    }

    /// Writes all of the numbers as one JSON object and a line feed.
    ///
    /// # Errors
    /// See [`PrintError`].
    pub fn write_json(&self, out: &mut impl Write) -> Result<(), PrintError> {
        serde_json::to_writer(&mut *out, self).map_err(std::io::Error::from)?;
        Ok(out.write_all(b"\n")?)
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> u64 {
    items.fold(0, |count, _| count + 1)
}
