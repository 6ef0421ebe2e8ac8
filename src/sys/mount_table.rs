//! The table of mounts, `/proc/self/mountinfo` (proc_pid_mountinfo(5)).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

const TABLE: &str = "/proc/self/mountinfo";

/// Tells one mount from all others: by its number, which another one may have
/// had or may get, and by its filesystem, which is ours while we serve it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MountIdentity {
    pub(super) id: u64,
    pub(super) device: (u32, u32),
}

impl MountIdentity {
    /// The device number of its filesystem, as stat(2) tells it.
    #[must_use]
    pub fn device(self) -> u64 {
        rustix::fs::makedev(self.device.0, self.device.1)
    }

    /// The numbers that it is, for [`Self::from_numbers`].
    #[must_use]
    pub fn to_numbers(self) -> [u64; 3] {
        [self.id, self.device.0.into(), self.device.1.into()]
    }

    /// From what [`Self::to_numbers`] gave.
    #[must_use]
    pub fn from_numbers([id, major, minor]: [u64; 3]) -> Option<Self> {
        let device = (major.try_into().ok()?, minor.try_into().ok()?);
        Some(Self { id, device })
    }

    /// The number by which fusectl and `/proc` know its connection.
    pub(super) const fn minor(self) -> u32 {
        self.device.1
    }
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) mount: MountIdentity,
    /// The number of the mount that it lies in.
    pub(super) parent: u64,
    pub(super) path: PathBuf,
    pub(super) file_system: OsString,
    /// What was mounted.
    pub(super) source: OsString,
    /// Those of the filesystem, which all of its mounts have.
    options: Vec<u8>,
}

impl Row {
    pub(super) fn has_option(&self, option: &str) -> bool {
        let mut options = self.options.split(|byte| *byte == b',');
        options.any(|other| other == option.as_bytes())
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let text = |field| std::str::from_utf8(field).ok();
        let mut fields = line.split(|byte| *byte == b' ');
        let id = text(fields.next()?)?.parse().ok()?;
        let parent = text(fields.next()?)?.parse().ok()?;
        let (major, minor) = text(fields.next()?)?.split_once(':')?;
        let device = (major.parse().ok()?, minor.parse().ok()?);
        let path = fields.nth(1)?;
        // Any number of fields, and then a mark.
        fields.find(|field| *field == b"-")?;
        let file_system = fields.next()?;
        let source = fields.next()?;
        Some(Self {
            mount: MountIdentity { id, device },
            parent,
            path: OsString::from_vec(unescape(path)).into(),
            file_system: OsStr::from_bytes(file_system).to_owned(),
            source: OsString::from_vec(unescape(source)),
            options: fields.next()?.to_owned(),
        })
    }
}

/// All of it; what covers others stands behind them.
pub(super) fn rows() -> io::Result<Vec<Row>> {
    let table = std::fs::read(TABLE)?;
    let lines = table.split(|byte| *byte == b'\n');
    Ok(lines.filter_map(Row::parse).collect())
}

/// What it says of one mount.
pub(super) fn row(mount: MountIdentity) -> io::Result<Option<Row>> {
    Ok(rows()?.into_iter().find(|row| row.mount == mount))
}

/// Blanks and backslashes come as `\ooo`.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, behind)) = rest.split_first() {
        let octal = behind.get(..3).filter(|_| *byte == b'\\');
        let escaped = octal
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(escaped.unwrap_or(*byte));
        rest = match escaped {
            Some(_) => behind.get(3..).unwrap_or_default(),
            None => behind,
        };
    }
    plain
}

/// Tells when the table of mounts changes.
#[derive(Debug)]
pub struct MountTable(File);

impl MountTable {
    /// Begins to watch.
    ///
    /// # Errors
    /// As open(2), without `/proc`.
    pub fn watch() -> io::Result<Self> {
        File::open(TABLE).map(Self)
    }

    /// Waits for a change, for as long as `timeout` at the most.
    ///
    /// # Errors
    /// As poll(2).
    pub fn wait(&self, timeout: Duration) -> io::Result<()> {
        let timeout = Timespec::try_from(timeout).unwrap_or_default();
        let mut fds = [PollFd::new(&self.0, PollFlags::PRI)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::path::Path;

    #[test]
    fn blanks_in_the_table_of_mounts() {
        for (field, plain) in [
            (&b"/mnt"[..], &b"/mnt"[..]),
            (b"/a\\040b\\134040", b"/a b\\040"),
            (b"/\\", b"/\\"),
            (b"/\\9", b"/\\9"),
        ] {
            assert_eq!(unescape(field), plain);
        }
    }

    #[test]
    fn a_line_has_any_number_of_fields() {
        for optional in ["", "shared:7 ", "shared:7 master:1 "] {
            let line = format!(
                "36 35 0:41 /root /a\\040b rw,noatime {optional}- fuse.x a\\134b ro,user_id=0"
            );
            let row = Row::parse(line.as_bytes()).unwrap();
            assert_eq!(row.mount.to_numbers(), [36, 0, 41]);
            assert_eq!((row.parent, row.path), (35, PathBuf::from("/a b")));
            assert_eq!(
                (row.file_system, row.source),
                ("fuse.x".into(), "a\\b".into())
            );
        }
        for line in [
            "",
            "36 35",
            "36 35 0:41 / /a rw shared:7",
            "36 35 0:41 / /a rw - x",
        ] {
            assert_eq!(Row::parse(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn options_are_those_of_the_filesystem() {
        let row = Row::parse(b"36 35 0:41 / /a ro - fuse rw rw,user_id=0").unwrap();
        assert!(row.has_option("rw") && row.has_option("user_id=0"));
        assert!(!row.has_option("ro") && !row.has_option("user_id"));
    }

    #[test]
    fn the_root_is_in_it() {
        assert!(
            rows()
                .unwrap()
                .iter()
                .any(|row| row.path.as_path() == Path::new("/"))
        );
    }
}
