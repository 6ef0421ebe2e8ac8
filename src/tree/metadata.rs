//! What a manifest can declare of a file besides its content.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;

use thiserror::Error;

use crate::manifest::{Content, DeviceNumber, Kind, Metadata, Timestamp, Xattr};
use crate::mode::{FileMode, FileType};
use crate::path::ManifestPath;
use crate::sys::{Handle, RootDir, Stat, xattr};

/// One file as it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What stat(2) said.
    pub stat: Stat,
    /// What every kind of file has.
    pub metadata: Metadata,
    /// What only this kind of file has; a regular file without its digests.
    pub kind: Kind,
}

/// Why a file cannot be told in the words of a manifest.
#[derive(Debug, Error)]
pub enum NodeError {
    /// The system does not tell.
    #[error("cannot be looked at: {0}")]
    Io(#[from] io::Error),
    /// Its type is none of inode(7).
    #[error("is of an unknown type: its mode is {0:#o}")]
    Type(u32),
    /// Its device number is out of range.
    #[error("has device number {}:{}, which is out of range", .0.0, .0.1)]
    Device((u32, u32)),
}

/// Looks at a file below `root`; at the link itself where it is a symlink.
/// Extended attributes are looked at only `with_xattrs`.
///
/// # Errors
/// See [`NodeError`].
pub fn inspect(root: &RootDir, path: &ManifestPath, with_xattrs: bool) -> Result<Node, NodeError> {
    inspect_handle(&root.handle(path.relative())?, with_xattrs)
}

/// Looks at a file that is held.
///
/// # Errors
/// See [`NodeError`].
pub fn inspect_handle(handle: &Handle, with_xattrs: bool) -> Result<Node, NodeError> {
    let stat = handle.stat()?;
    inspect_stat(handle, stat, with_xattrs)
}

/// The same with what stat(2) said of it.
///
/// # Errors
/// See [`NodeError`].
pub fn inspect_stat(handle: &Handle, stat: Stat, with_xattrs: bool) -> Result<Node, NodeError> {
    let xattrs = if with_xattrs {
        handle.xattrs()?
    } else {
        Vec::new()
    };
    let metadata = metadata_of(&stat, xattrs)?;
    let kind = match metadata.mode.file_type() {
        FileType::Regular => regular(&stat),
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink(handle.read_link()?.into_vec().into_boxed_slice()),
        FileType::Fifo => Kind::Fifo,
        FileType::CharDevice => Kind::CharDevice(device(&stat)?),
        FileType::BlockDevice => Kind::BlockDevice(device(&stat)?),
        FileType::Socket => Kind::Socket,
    };
    Ok(Node {
        stat,
        metadata,
        kind,
    })
}

/// Looks at a file that is open for reading; `None` if it is neither a regular
/// file nor a directory.
///
/// # Errors
/// See [`NodeError`].
pub fn inspect_open(file: impl AsFd, with_xattrs: bool) -> Result<Option<Node>, NodeError> {
    let stat = Stat::of(&file)?;
    let kind = match FileMode::from_stat(stat.st_mode).map(FileMode::file_type) {
        Some(FileType::Regular) => regular(&stat),
        Some(FileType::Directory) => Kind::Directory,
        _ => return Ok(None),
    };
    let xattrs = if with_xattrs {
        xattr::of_open(&file)?
    } else {
        Vec::new()
    };
    Ok(Some(Node {
        metadata: metadata_of(&stat, xattrs)?,
        stat,
        kind,
    }))
}

/// Without its digests.
fn regular(stat: &Stat) -> Kind {
    Kind::Regular(Content {
        size: stat.size,
        ..Content::default()
    })
}

/// The metadata of a file, from what the system calls said.
///
/// ctime is left out: nobody can set it, so no two trees would agree.
///
/// # Errors
/// [`NodeError::Type`].
pub fn metadata_of(stat: &Stat, xattrs: Vec<xattr::Xattr>) -> Result<Metadata, NodeError> {
    let mode = FileMode::from_stat(stat.st_mode).ok_or(NodeError::Type(stat.st_mode))?;
    let mut metadata = Metadata::new(mode);
    metadata.uid = stat.uid;
    metadata.gid = stat.gid;
    metadata.mtime = Timestamp::new(stat.mtime.0, stat.mtime.1);
    metadata.xattrs = xattrs
        .into_iter()
        .map(|(name, value)| Xattr {
            name: name.into_boxed_slice(),
            value: value.into_boxed_slice(),
        })
        .collect();
    metadata.xattrs.sort_unstable();
    Ok(metadata)
}

fn device(stat: &Stat) -> Result<DeviceNumber, NodeError> {
    let (major, minor) = stat.rdev;
    DeviceNumber::new(major.into(), minor.into()).ok_or(NodeError::Device(stat.rdev))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn tells_files_from_links() {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("file"), "12345").unwrap();
        symlink("file", scratch.path().join("link")).unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        let kind = |path: &[u8]| {
            let path = ManifestPath::parse(path).unwrap();
            inspect(&root, &path, true).unwrap().kind
        };
        assert_eq!(kind(b"/"), Kind::Directory);
        assert!(matches!(kind(b"/file"), Kind::Regular(content) if content.size == 5));
        assert_eq!(kind(b"/link"), Kind::Symlink(Box::from(*b"file")));
    }

    #[test]
    fn refuses_a_type_that_nobody_knows() {
        let scratch = tempfile::tempdir().unwrap();
        let mut stat = RootDir::open(scratch.path())
            .unwrap()
            .stat(".".as_ref())
            .unwrap();
        stat.st_mode = 0o644;
        let refused = metadata_of(&stat, Vec::new());
        assert!(matches!(refused, Err(NodeError::Type(0o644))));
    }
}
