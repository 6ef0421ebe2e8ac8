//! Removing whole trees.

use std::ffi::{OsStr, OsString};
use std::io;

use crate::sys::{Absence, Errno, RootDir};

use super::place::is;

/// How many levels are opened by one path before a directory is held open: a
/// tree can be deeper than there are descriptors, and than a path can be long.
const LEVELS_MAX: usize = 15;

/// Removes a file of any kind, a directory with all that is in it. What is not
/// there is none the worse.
///
/// # Errors
/// Whatever the system says of the first thing that cannot be removed.
pub(super) fn remove(directory: &RootDir, name: &OsStr) -> io::Result<()> {
    match directory.remove_file(name) {
        Err(error) if Absence::of(&error) == Some(Absence::Missing) => Ok(()),
        Err(error) if is(&error, Errno::ISDIR) => remove_below(directory, name.to_owned(), 1),
        done => done,
    }
}

/// Removes a directory `levels` below `top`, of which the names are joined in
/// `relative`.
fn remove_below(top: &RootDir, relative: OsString, levels: usize) -> io::Result<()> {
    let (parent, name) = split(&relative);
    for inner in top.open_directory(&relative)?.names()? {
        // Opened anew each time, so that nothing is held on the way down.
        let opened = top.open_directory(&relative)?;
        match opened.remove_file(&inner) {
            Err(error) if is(&error, Errno::ISDIR) => {}
            done => {
                done?;
                continue;
            }
        }
        if levels < LEVELS_MAX {
            drop(opened);
            let mut inner_path = relative.clone();
            inner_path.push("/");
            inner_path.push(inner);
            remove_below(top, inner_path, levels + 1)?;
        } else {
            remove_below(&opened, inner, 1)?;
        }
    }
    match parent {
        Some(parent) => top.open_directory(parent)?.remove_directory(name),
        None => top.remove_directory(name),
    }
}

/// The directory, and the name in it.
fn split(relative: &OsStr) -> (Option<&OsStr>, &OsStr) {
    use std::os::unix::ffi::OsStrExt;
    let bytes = relative.as_bytes();
    match bytes.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => {
            let (parent, name) = bytes.split_at(slash);
            let name = name.get(1..).unwrap_or_default();
            (Some(OsStr::from_bytes(parent)), OsStr::from_bytes(name))
        }
        None => (None, relative),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn removes_what_is_deeper_than_a_path_is_long() {
        let scratch = tempfile::tempdir().unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        let name = "d".repeat(200);
        root.make_directory(name.as_ref()).unwrap();
        let mut directory = root.open_directory(name.as_ref()).unwrap();
        for _ in 0..60 {
            directory.make_directory(name.as_ref()).unwrap();
            directory.make_file("file".as_ref()).unwrap();
            directory = directory.open_directory(name.as_ref()).unwrap();
        }
        remove(&root, name.as_ref()).unwrap();
        remove(&root, name.as_ref()).unwrap();
        assert!(root.names().unwrap().is_empty());
    }

    #[test]
    fn follows_no_link() {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir_all(scratch.path().join("outside/kept")).unwrap();
        fs::create_dir(scratch.path().join("tree")).unwrap();
        std::os::unix::fs::symlink("../outside", scratch.path().join("tree/link")).unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        remove(&root, "tree".as_ref()).unwrap();
        assert!(scratch.path().join("outside/kept").exists());
        assert!(!scratch.path().join("tree").exists());
    }
}
