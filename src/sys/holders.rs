//! Other processes, as far as they can be seen in `/proc`: who serves a FUSE
//! filesystem, and who uses a mount.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A process that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// Its name.
    pub name: String,
}

/// Who has the connection of a FUSE filesystem open, by the number of its device
/// (the field `fuse_connection` in `/proc/PID/fdinfo/N`; seen on Linux 6.18). Where
/// there is none, nobody is found.
///
/// # Errors
/// Without `/proc`.
pub fn of_connection(device_number: u64) -> io::Result<Vec<Holder>> {
    let line = format!("fuse_connection:\t{}", rustix::fs::minor(device_number));
    find(|process| {
        entries(&process.join("fdinfo")).any(|descriptor| {
            let fields = fs::read_to_string(descriptor).unwrap_or_default();
            fields.lines().any(|field| field == line)
        })
    })
}

/// Who is below a path, or has something open there. No filesystem is asked.
///
/// # Errors
/// Without `/proc`.
pub fn of_path(path: &Path) -> io::Result<Vec<Holder>> {
    let is_below = |link: PathBuf| fs::read_link(link).is_ok_and(|to| to.starts_with(path));
    find(|process| {
        let links = ["cwd", "root", "exe"].map(|name| process.join(name));
        links
            .into_iter()
            .chain(entries(&process.join("fd")))
            .chain(entries(&process.join("map_files")))
            .any(is_below)
    })
}

/// Nothing where nothing can be seen.
fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path()))
}

fn find(mut is_wanted: impl FnMut(&Path) -> bool) -> io::Result<Vec<Holder>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(pid) = name.and_then(|name| name.parse().ok()) else {
            continue;
        };
        if is_wanted(&path) {
            let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
            let name = name.trim_end().to_owned();
            found.push(Holder { pid, name });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_who_has_a_file_open() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().canonicalize().unwrap();
        assert_eq!(of_path(&path).unwrap(), []);
        let _open = fs::File::create(path.join("file")).unwrap();
        let pids: Vec<_> = of_path(&path).unwrap();
        assert_eq!(pids.len(), 1);
        assert_eq!(pids.first().unwrap().pid, std::process::id());
    }
}
