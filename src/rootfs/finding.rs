//! What is found, and its words.

use std::fmt;

use crate::escape::Escaped;
use crate::manifest::DeviceNumber;
use crate::mode::FileType;
use crate::path::ManifestPath;

/// One thing that will not work in a container, or not as it looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub path: ManifestPath,
    /// What is there, if anything is.
    pub file_type: Option<FileType>,
    /// What is wrong.
    pub cause: Cause,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Something is mounted or made here, and nothing is here.
    MissingTarget {
        /// What must be here.
        wanted: FileType,
        /// Who mounts.
        by: &'static str,
    },
    /// Something is mounted here, and it cannot be mounted on what is here.
    WrongTarget {
        /// What must be here.
        wanted: FileType,
        /// What is here, or where a symlink leads.
        found: FileType,
        /// Who mounts.
        by: &'static str,
    },
    /// A symlink where runtimes want a directory itself.
    LinkedTarget(Box<[u8]>),
    /// A symlink that climbs above the root; it leads elsewhere for who looks
    /// from outside.
    LeavesRoot(Box<[u8]>),
    /// The root itself lets in nobody but its owner and group; its permissions.
    ClosedRoot(u32),
    /// Runs as its owner, but not on a mount with `nosuid`.
    Setuid(u32),
    /// Runs as its group, but not on a mount with `nosuid`.
    Setgid(u32),
    /// Has capabilities, but not on a mount with `nosuid`.
    Capabilities,
    /// Cannot be opened on a mount with `nodev`.
    Device(DeviceNumber),
    /// Hides something below, in overlayfs alone.
    Whiteout,
    /// Says something to overlayfs alone; its name.
    OverlayAttribute(Box<[u8]>),
    /// Nothing can vouch for the content.
    NoDigest,
    /// Belongs to an id that there is not inside.
    Owner {
        /// User or group.
        which: Id,
        /// The id.
        id: u32,
        /// The largest that there is.
        max: u32,
    },
}

/// The two kinds of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Id {
    /// A user.
    User,
    /// A group.
    Group,
}

impl Id {
    const fn word(self) -> &'static str {
        match self {
            Self::User => "owner",
            Self::Group => "group",
        }
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Files of any kind that were looked at, the root among them.
    pub inodes: u64,
    /// What was found.
    pub warnings: u64,
}

impl Cause {
    /// One word for it, where a program reads.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::MissingTarget { .. } => "missing-target",
            Self::WrongTarget { .. } => "wrong-target",
            Self::LinkedTarget(_) => "linked-target",
            Self::LeavesRoot(_) => "leaves-root",
            Self::ClosedRoot(_) => "closed-root",
            Self::Setuid(_) => "setuid",
            Self::Setgid(_) => "setgid",
            Self::Capabilities => "capabilities",
            Self::Device(_) => "device",
            Self::Whiteout => "whiteout",
            Self::OverlayAttribute(_) => "overlay-attribute",
            Self::NoDigest => "no-digest",
            Self::Owner { which, .. } => which.word(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, cause, .. } = self;
        write!(f, "{}: {cause}", Escaped(path.as_bytes()))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingTarget { wanted, by } => write!(
                f,
                "not there; on a read-only root there must be a {wanted} here, for {by}"
            ),
            Self::WrongTarget { wanted, found, by } => {
                write!(f, "a {found}, where there must be a {wanted}, for {by}")
            }
            Self::LinkedTarget(target) => write!(
                f,
                "a symlink to {:?}, where runtimes want a directory itself",
                Escaped(target)
            ),
            Self::LeavesRoot(target) => write!(
                f,
                "a symlink to {:?}, which leads above the root; who follows it from outside gets a file of the host",
                Escaped(target)
            ),
            Self::ClosedRoot(mode) => write!(
                f,
                "has mode {mode:04o}; inside nobody but its owner and group gets to any file"
            ),
            Self::Setuid(owner) => write!(
                f,
                "setuid, of user {owner}; without effect unless mounted with -o suid"
            ),
            Self::Setgid(group) => write!(
                f,
                "setgid, of group {group}; without effect unless mounted with -o suid"
            ),
            Self::Capabilities => {
                f.write_str("has file capabilities; without effect unless mounted with -o suid")
            }
            Self::Device(number) => write!(
                f,
                "device {}:{}; cannot be opened unless mounted with -o dev",
                number.major(),
                number.minor()
            ),
            Self::Whiteout => f.write_str(
                "a whiteout; it hides something below overlayfs, and is a device 0:0 elsewhere",
            ),
            Self::OverlayAttribute(name) => write!(
                f,
                "has the attribute {:?}, which means something below overlayfs alone",
                Escaped(name)
            ),
            Self::NoDigest => {
                f.write_str("has no digest that can be checked; reading it is an I/O error")
            }
            Self::Owner { which, id, max } => write!(
                f,
                "{} {id} is above {max}; it is nobody inside",
                which.word()
            ),
        }
    }
}
