//! What a check has to say, in the words of the Go tool where it has any.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::digest::Digest;
use crate::escape::Escaped;
use crate::manifest::{DeviceNumber, Timestamp};
use crate::mode::FileMode;
use crate::path::ManifestPath;
use crate::sys::Absence;
use crate::tree::{NodeError, ReadError};

/// Something that is not as the manifest declares, or cannot be told.
#[derive(Debug, Error)]
pub enum Finding {
    /// The tree differs from the manifest.
    #[error(transparent)]
    Different(#[from] Difference),
    /// It cannot be told whether it does.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// A difference of the tree (`found`) from the manifest (`wanted`).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Difference {
    /// There is no such file.
    #[error("lstat {}: {absence}", Escaped(.place.as_os_str().as_encoded_bytes()))]
    Absent {
        /// Where it should be, below the root as it was given.
        place: PathBuf,
        /// Why there is none.
        absence: Absence,
    },
    /// Type or permissions.
    #[error("resource {path:?} has incorrect mode: {found} != {wanted}")]
    Mode {
        /// Which resource.
        path: ManifestPath,
        /// Its mode in the tree.
        found: FileMode,
        /// Its mode in the manifest.
        wanted: FileMode,
    },
    /// Owner or group.
    #[error("unexpected {which} for {path:?}: {found} != {wanted}")]
    Owner {
        /// `uid` or `gid`.
        which: &'static str,
        /// Which resource.
        path: ManifestPath,
        /// The number in the tree.
        found: u32,
        /// The number in the manifest.
        wanted: u32,
    },
    /// Time of the last change.
    #[error("resource {path:?} has incorrect mtime: {} != {}", Time(*.found), Time(*.wanted))]
    Mtime {
        /// Which resource.
        path: ManifestPath,
        /// The time in the tree.
        found: Timestamp,
        /// The time in the manifest.
        wanted: Timestamp,
    },
    /// An extended attribute that is not there, or that we may not see.
    #[error("resource {path:?} target missing xattr {:?}", Escaped(.name))]
    XattrMissing {
        /// Which resource.
        path: ManifestPath,
        /// Name of the attribute.
        name: Box<[u8]>,
    },
    /// An extended attribute with another value.
    #[error("xattr {:?} value differs for resource {path:?}", Escaped(.name))]
    XattrValue {
        /// Which resource.
        path: ManifestPath,
        /// Name of the attribute.
        name: Box<[u8]>,
    },
    /// Size of a regular file.
    #[error("resource {path:?} target has incorrect size: {found} != {wanted}")]
    Size {
        /// Which resource.
        path: ManifestPath,
        /// Bytes in the tree.
        found: u64,
        /// Bytes in the manifest.
        wanted: u64,
    },
    /// Content of a regular file, as a whole.
    #[error("digests for resource {path:?} do not match: {} != {}", List(.found), List(.wanted))]
    Digest {
        /// Which resource.
        path: ManifestPath,
        /// Its digests in the tree, by the algorithms of the manifest.
        found: Vec<Digest>,
        /// The digests of the manifest whose algorithms we know.
        wanted: Vec<Digest>,
    },
    /// Content of a regular file, by its chunk table.
    #[error(
        "chunks of resource {path:?} do not match: {bad} of {count}, the first at byte {offset}"
    )]
    Chunks {
        /// Which resource.
        path: ManifestPath,
        /// How many chunks differ.
        bad: u64,
        /// How many there are.
        count: u64,
        /// Where the first one that differs begins.
        offset: u64,
    },
    /// The manifest has nothing to check the content with.
    #[error("resource {0:?} has no digest that can be checked")]
    NoDigest(ManifestPath),
    /// Where a symlink leads.
    #[error("resource {path:?} target has mismatched target: {:?} != {:?}", Escaped(.found), Escaped(.wanted))]
    Target {
        /// Which resource.
        path: ManifestPath,
        /// The target in the tree.
        found: Box<[u8]>,
        /// The target in the manifest.
        wanted: Box<[u8]>,
    },
    /// Which device it is.
    #[error(
        "resource {path:?} has mismatched major/minor numbers: {},{} != {},{}",
        .found.major(), .found.minor(), .wanted.major(), .wanted.minor()
    )]
    Device {
        /// Which resource.
        path: ManifestPath,
        /// The numbers in the tree.
        found: DeviceNumber,
        /// The numbers in the manifest.
        wanted: DeviceNumber,
    },
    /// Two names of what should be one file.
    #[error("{path:?} is not a hardlink to {to:?}{}", Because(*.absence))]
    Link {
        /// The name that leads elsewhere.
        path: ManifestPath,
        /// The first name that there is.
        to: ManifestPath,
        /// Why the name leads nowhere.
        absence: Option<Absence>,
    },
}

/// A file of which it cannot be told whether it differs.
#[derive(Debug, Error)]
#[error("{path:?} {cause}")]
pub struct Trouble {
    /// Which one.
    pub path: ManifestPath,
    /// Why.
    #[source]
    pub cause: TroubleCause,
}

/// Why it cannot be told.
#[derive(Debug, Error)]
pub enum TroubleCause {
    /// The file cannot be looked at.
    #[error("cannot be looked at: {0}")]
    Io(#[from] io::Error),
    /// What was found is nothing that a manifest has words for.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// Its content cannot be read, or does not hold still.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// As Go prints a slice.
struct List<'a>(&'a [Digest]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, digest) in self.0.iter().enumerate() {
            if index != 0 {
                f.write_str(" ")?;
            }
            write!(f, "{digest}")?;
        }
        f.write_str("]")
    }
}

/// Seconds since 1970 with all digits of the nanoseconds, as `stat -c %.9Y`.
struct Time(Timestamp);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0.seconds(), self.0.nanoseconds())
    }
}

struct Because(Option<Absence>);

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(absence) => write!(f, ": {absence}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Algorithm;

    fn path(bytes: &[u8]) -> ManifestPath {
        ManifestPath::parse(bytes).unwrap()
    }

    #[test]
    fn words_what_go_words() {
        let digests = [Algorithm::Sha256.hash(b""), Algorithm::Blake3.hash(b"")];
        let shown = Difference::Digest {
            path: path(b"/f"),
            found: digests.to_vec(),
            wanted: digests[..1].to_vec(),
        };
        let (one, two) = (digests[0], digests[1]);
        assert_eq!(
            shown.to_string(),
            format!("digests for resource \"/f\" do not match: [{one} {two}] != [{one}]")
        );
    }

    #[test]
    fn names_cannot_act_on_a_terminal() {
        let shown = Difference::XattrMissing {
            path: path(b"/\x1b[31m\n"),
            name: Box::from(*b"user.\x07"),
        };
        assert_eq!(
            shown.to_string(),
            r#"resource "/\x1b[31m\n" target missing xattr "user.\x07""#
        );
        let shown = Difference::Absent {
            place: PathBuf::from("/root/a\nb"),
            absence: Absence::Symlink,
        };
        assert_eq!(
            shown.to_string(),
            r"lstat /root/a\nb: too many levels of symbolic links"
        );
    }

    #[test]
    fn times_have_all_their_digits() {
        let shown = Difference::Mtime {
            path: path(b"/"),
            found: Timestamp::new(-1, 5).unwrap(),
            wanted: Timestamp::new(1_600_000_000, 0).unwrap(),
        };
        assert_eq!(
            shown.to_string(),
            r#"resource "/" has incorrect mtime: -1.000000005 != 1600000000.000000000"#
        );
    }
}
