//! What runtimes mount on.

use std::io;

use crate::inode::{InodeKind, InodeTable, ResolveError};
use crate::mode::FileType;
use crate::path::ManifestPath;

use super::Options;
use super::finding::{Cause, Finding};

struct Target {
    path: &'static str,
    wanted: FileType,
    by: &'static str,
    how: How,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// What the path leads to is mounted on.
    Followed,
    /// A symlink will not do. runc refuses one for proc and sysfs
    /// (libcontainer/rootfs_linux.go), and runtimes make devices by their paths.
    Itself,
    /// Nothing is mounted; anything of that name will do.
    Name,
}

const fn target(path: &'static str, wanted: FileType, by: &'static str, how: How) -> Target {
    Target {
        path,
        wanted,
        by,
        how,
    }
}

const ALL: &str = "all runtimes";
const PODS: &str = "podman, Docker and Kubernetes";

/// Those of all are what "runc spec" and "crun spec" write; /run is mounted by ctr
/// (containerd's oci/mounts.go), the others by podman and by all that run pods.
const TARGETS: [Target; 10] = [
    target("/proc", FileType::Directory, ALL, How::Itself),
    target("/sys", FileType::Directory, ALL, How::Itself),
    target("/dev", FileType::Directory, ALL, How::Itself),
    target(
        "/run",
        FileType::Directory,
        "containerd and podman",
        How::Followed,
    ),
    target(
        "/tmp",
        FileType::Directory,
        "podman --read-only and most programs",
        How::Followed,
    ),
    target(
        "/var/tmp",
        FileType::Directory,
        "podman --read-only",
        How::Followed,
    ),
    target("/etc/hosts", FileType::Regular, PODS, How::Followed),
    target("/etc/hostname", FileType::Regular, PODS, How::Followed),
    target("/etc/resolv.conf", FileType::Regular, PODS, How::Followed),
    // It makes it where it is missing (libpod/container_internal_common.go).
    target("/etc/mtab", FileType::Symlink, "podman", How::Name),
];

pub(super) fn check(
    table: &InodeTable,
    options: &Options,
    found: &mut impl FnMut(Finding) -> io::Result<()>,
) -> io::Result<()> {
    for target in &TARGETS {
        let Ok(path) = ManifestPath::parse(target.path.as_bytes()) else {
            continue;
        };
        if let Some((file_type, cause)) = judge(table, target, options) {
            found(Finding {
                path,
                file_type,
                cause,
            })?;
        }
    }
    Ok(())
}

fn judge(
    table: &InodeTable,
    target: &Target,
    options: &Options,
) -> Option<(Option<FileType>, Cause)> {
    let Target {
        path,
        wanted,
        by,
        how,
    } = *target;
    // What the name itself is, without following it.
    let (directory, name) = path.rsplit_once('/')?;
    let named = table
        .resolve(directory.as_bytes())
        .ok()
        .and_then(|directory| table.lookup(directory, name.as_bytes()));
    if how == How::Name && named.is_some() {
        return None;
    }
    if let (How::Itself, Some(InodeKind::Symlink(leads))) = (how, named.map(|inode| inode.kind())) {
        let cause = Cause::LinkedTarget(leads.into());
        return Some((Some(FileType::Symlink), cause));
    }
    match table.resolve(path.as_bytes()) {
        Ok(inode) => {
            let found = inode.mode().file_type();
            let is_fit = match wanted {
                FileType::Directory => found == FileType::Directory,
                // A file is mounted on anything but a directory.
                _ => found != FileType::Directory,
            };
            (!is_fit).then_some((Some(found), Cause::WrongTarget { wanted, found, by }))
        }
        // A runtime makes it in the layer on top.
        Err(ResolveError::Missing) if options.overlay => None,
        Err(_) => Some((None, Cause::MissingTarget { wanted, by })),
    }
}
