//! Mounts as they are found in the table: those of a type, one that somebody else has
//! made, by its connection; and what is on top at a path.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::fuse_device;
use super::mount_table::{MountIdentity, rows};

/// A mount, as the table of mounts shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Where.
    pub path: PathBuf,
    /// The first column: what was mounted.
    pub source: OsString,
    /// The device number of its filesystem.
    pub device_number: u64,
}

impl Seen {
    /// The number of its connection, if it is one of FUSE.
    #[must_use]
    pub fn connection(&self) -> u32 {
        rustix::fs::minor(self.device_number)
    }
}

/// All mounts of a type, those that cover others behind them.
///
/// # Errors
/// Without `/proc`.
pub fn seen(file_system: &str) -> io::Result<Vec<Seen>> {
    let rows = rows()?.into_iter();
    let rows = rows.filter(|row| row.file_system == file_system);
    Ok(rows
        .map(|row| Seen {
            path: row.path,
            source: row.source,
            device_number: row.mount.device(),
        })
        .collect())
}

/// Whether nothing else is mounted over a mount.
///
/// # Errors
/// Without `/proc`.
pub fn is_on_top(seen: &Seen) -> io::Result<bool> {
    let rows = rows()?;
    let top = rows.iter().rfind(|row| row.path == seen.path);
    Ok(top.is_some_and(|top| top.mount.device() == seen.device_number))
}

/// A mount that somebody else has made.
#[derive(Debug)]
pub struct Found {
    /// Which it is.
    pub identity: MountIdentity,
    /// Where.
    pub path: PathBuf,
    /// Whether files in it could be changed.
    pub writable: bool,
    /// Whether the kernel checks permissions (`default_permissions`).
    pub checked: bool,
}

/// The mount whose filesystem is served through this device. The last one if it is
/// mounted more than once; nothing if it is not.
///
/// # Errors
/// Without `/proc`.
pub fn served_through(device: &OwnedFd) -> io::Result<Option<Found>> {
    let number = fuse_device::connection(Path::new("/proc/self"), device.as_raw_fd())?;
    let Some(number) = number else {
        return Ok(None);
    };
    let row = rows()?
        .into_iter()
        .rfind(|row| row.mount.device == (0, number));
    Ok(row.map(|row| Found {
        identity: row.mount,
        writable: row.has_option("rw"),
        checked: row.has_option("default_permissions"),
        path: row.path,
    }))
}
