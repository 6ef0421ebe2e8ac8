//! Mounts as they are found: one that somebody else has made, by its connection; and
//! what is on top at a path.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::mount::{MountIdentity, Seen, unescape};

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

/// The mount whose filesystem is served through this device (the field
/// `fuse_connection` in `/proc/PID/fdinfo/N`; seen on Linux 6.18). The last one if it
/// is mounted more than once; nothing if it is not.
///
/// # Errors
/// Without `/proc`.
pub fn served_through(device: &OwnedFd) -> io::Result<Option<Found>> {
    let fields = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", device.as_raw_fd()))?;
    let mut lines = fields.lines();
    let number = lines.find_map(|line| line.strip_prefix("fuse_connection:"));
    let Some(number) = number.and_then(|text| text.trim().parse::<u32>().ok()) else {
        return Ok(None);
    };
    let table = std::fs::read("/proc/self/mountinfo")?;
    let mut lines = table.rsplit(|byte| *byte == b'\n');
    Ok(lines.find_map(|line| found_in(line, (0, number))))
}

fn found_in(line: &[u8], device: (u32, u32)) -> Option<Found> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    if fields.nth(1)? != format!("{}:{}", device.0, device.1).as_bytes() {
        return None;
    }
    let path = OsString::from_vec(unescape(fields.nth(1)?)).into();
    fields.find(|field| *field == b"-")?;
    let mut options = fields.nth(2)?.split(|byte| *byte == b',');
    Some(Found {
        identity: MountIdentity { id, device },
        path,
        writable: options.clone().any(|option| option == b"rw"),
        checked: options.any(|option| option == b"default_permissions"),
    })
}

/// Whether nothing else is mounted over a mount.
///
/// # Errors
/// Without `/proc`.
pub fn is_on_top(seen: &Seen) -> io::Result<bool> {
    let table = std::fs::read("/proc/self/mountinfo")?;
    let mut lines = table.rsplit(|byte| *byte == b'\n');
    let path = seen.path.as_os_str().as_bytes();
    let (major, minor) = (
        rustix::fs::major(seen.device_number),
        rustix::fs::minor(seen.device_number),
    );
    let device = format!("{major}:{minor}");
    let top = lines.find_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ').skip(2);
        let device = fields.next()?;
        let place = fields.nth(1)?;
        (unescape(place) == path).then_some(device)
    });
    Ok(top == Some(device.as_bytes()))
}
