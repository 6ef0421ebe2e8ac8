//! Other processes, as far as they can be seen in `/proc`: who serves a FUSE
//! filesystem, and who uses a mount.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::fuse_device;

/// A process that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// Its name.
    pub name: String,
}

/// Who was found among all processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holders {
    /// Who has it for certain.
    pub certain: Vec<Holder>,
    /// Who may have it: those that cannot be looked into.
    pub possible: Vec<Holder>,
}

/// Who has the connection of a FUSE filesystem open, by the minor number of its device.
/// Where the kernel does not tell of which one a device is, whoever has such a device
/// open may have it.
///
/// # Errors
/// Without `/proc`.
pub fn of_connection(number: u32) -> io::Result<Holders> {
    find(|process| {
        let links = entries(&process.join("fd"));
        any(links, |link| {
            let descriptor = link.file_name().unwrap_or_default().display();
            match fuse_device::connection(process, descriptor)? {
                Some(connection) => Ok(connection == number),
                None if fs::read_link(&link)? == Path::new(fuse_device::PATH) => {
                    Err(io::ErrorKind::Unsupported.into())
                }
                None => Ok(false),
            }
        })
    })
}

/// Who is below a path, or has something open there. No filesystem is asked.
///
/// # Errors
/// Without `/proc`.
pub fn of_path(path: &Path) -> io::Result<Holders> {
    find(|process| {
        let links = ["cwd", "root", "exe"].map(|name| Ok(process.join(name)));
        let links = links
            .into_iter()
            .chain(entries(&process.join("fd")))
            .chain(entries(&process.join("map_files")));
        any(links, |link| Ok(fs::read_link(link)?.starts_with(path)))
    })
}

/// What is in a directory, or the one error why that cannot be seen.
fn entries(directory: &Path) -> impl Iterator<Item = io::Result<PathBuf>> + use<> {
    let (entries, error) = match fs::read_dir(directory) {
        Ok(entries) => (Some(entries), None),
        Err(error) => (None, Some(Err(error))),
    };
    let entries = entries.into_iter().flatten();
    entries.map(|entry| Ok(entry?.path())).chain(error)
}

/// Whether something is so for one of these; an error when it is for none that can be
/// seen, and not all can.
fn any(
    paths: impl Iterator<Item = io::Result<PathBuf>>,
    is_so: impl Fn(PathBuf) -> io::Result<bool>,
) -> io::Result<bool> {
    let mut found = Ok(false);
    for path in paths {
        match gone_is_false(path.and_then(&is_so)) {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            error => found = error,
        }
    }
    found
}

/// A process or a descriptor that is gone by now has nothing.
pub(super) fn gone_is_false(found: io::Result<bool>) -> io::Result<bool> {
    let gone = [Some(Errno::NOENT), Some(Errno::SRCH)];
    match found {
        Err(error) if gone.contains(&Errno::from_io_error(&error)) => Ok(false),
        found => found,
    }
}

fn find(is_wanted: impl Fn(&Path) -> io::Result<bool>) -> io::Result<Holders> {
    let mut holders = Holders::default();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(pid) = name.and_then(|name| name.parse().ok()) else {
            continue;
        };
        let found = match is_wanted(&path) {
            Ok(false) => continue,
            Ok(true) => &mut holders.certain,
            Err(_) => &mut holders.possible,
        };
        let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
        let name = name.trim_end().to_owned();
        found.push(Holder { pid, name });
    }
    Ok(holders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_who_has_a_file_open() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().canonicalize().unwrap();
        assert_eq!(of_path(&path).unwrap().certain, []);
        let _open = fs::File::create(path.join("file")).unwrap();
        let pids = of_path(&path).unwrap().certain;
        assert_eq!(pids.len(), 1);
        assert_eq!(pids.first().unwrap().pid, std::process::id());
    }

    #[test]
    fn what_cannot_be_seen_may_be_so() {
        let denied = || Err(io::ErrorKind::PermissionDenied.into());
        let path = |name: &str| Ok(PathBuf::from(name));
        let gone = || Err(Errno::SRCH.into());
        let is_so = |path: PathBuf| Ok(path == Path::new("it"));
        let ask = |paths: Vec<io::Result<PathBuf>>| any(paths.into_iter(), is_so);
        assert!(ask(vec![denied(), path("it")]).unwrap());
        assert!(!ask(vec![path("other"), gone()]).unwrap());
        ask(vec![denied(), path("other")]).unwrap_err();
    }

    /// Needs /dev/fuse, as all tests that mount do.
    #[test]
    fn a_device_without_a_connection_may_be_of_any() {
        let _device = fuse_device::open().unwrap();
        let holders = of_connection(u32::MAX).unwrap();
        let is_this = |holder: &Holder| holder.pid == std::process::id();
        assert!(holders.possible.iter().any(is_this));
        assert!(!holders.certain.iter().any(is_this));
    }
}
