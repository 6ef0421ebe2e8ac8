//! Differences in the words of the Go tool, where it has any.

use std::fmt;
use std::path::Path;

use crate::digest::Digest;
use crate::escape::Escaped;
use crate::manifest::Timestamp;
use crate::sys::Absence;

use super::finding::{Change, Difference, DifferenceKind};

/// Shows a difference on as many lines as there are changes, without a line
/// feed at the end.
#[derive(Clone, Copy, Debug)]
pub struct GoWords<'a> {
    /// The directory that was compared, as it was given.
    pub root: &'a Path,
    /// What to show.
    pub difference: &'a Difference,
}

impl fmt::Display for GoWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.difference.path;
        match &self.difference.kind {
            DifferenceKind::Missing {
                absence,
                link_to: Some(to),
            } => write!(f, "{path:?} is not a hardlink to {to:?}: {absence}"),
            DifferenceKind::Missing { absence, .. } => self.write_absent(*absence, f),
            DifferenceKind::Added => write!(f, "resource {path:?} is not in the manifest"),
            DifferenceKind::Changed(changes) => {
                for (index, change) in changes.iter().enumerate() {
                    if index != 0 {
                        f.write_str("\n")?;
                    }
                    self.write_change(change, f)?;
                }
                Ok(())
            }
        }
    }
}

impl GoWords<'_> {
    fn write_absent(&self, absence: Absence, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.difference.path;
        let place = if path.is_root() {
            self.root.to_owned()
        } else {
            self.root.join(path.relative())
        };
        let place = place.as_os_str().as_encoded_bytes();
        write!(f, "lstat {}: {absence}", Escaped(place))
    }

    fn write_change(&self, change: &Change, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.difference.path;
        match change {
            Change::Type(modes) | Change::Mode(modes) => write!(
                f,
                "resource {path:?} has incorrect mode: {} != {}",
                modes.found, modes.wanted
            ),
            Change::Uid(ids) => {
                write!(
                    f,
                    "unexpected uid for {path:?}: {} != {}",
                    ids.found, ids.wanted
                )
            }
            Change::Gid(ids) => {
                write!(
                    f,
                    "unexpected gid for {path:?}: {} != {}",
                    ids.found, ids.wanted
                )
            }
            Change::Mtime(times) => write!(
                f,
                "resource {path:?} has incorrect mtime: {} != {}",
                Time(times.found),
                Time(times.wanted)
            ),
            Change::Xattr { name, values } => {
                let name = Escaped(name);
                match (&values.wanted, &values.found) {
                    (_, None) => write!(f, "resource {path:?} target missing xattr {name:?}"),
                    (None, _) => {
                        write!(
                            f,
                            "xattr {name:?} of resource {path:?} is not in the manifest"
                        )
                    }
                    _ => write!(f, "xattr {name:?} value differs for resource {path:?}"),
                }
            }
            Change::Size(sizes) => write!(
                f,
                "resource {path:?} target has incorrect size: {} != {}",
                sizes.found, sizes.wanted
            ),
            Change::Digest(digests) => write!(
                f,
                "digests for resource {path:?} do not match: {} != {}",
                List(&digests.found),
                List(&digests.wanted)
            ),
            Change::Chunks(chunks) => write!(
                f,
                "chunks of resource {path:?} do not match: {} of {}, the first at byte {}",
                chunks.bad, chunks.count, chunks.offset
            ),
            Change::NoDigest => write!(f, "resource {path:?} has no digest that can be checked"),
            Change::Target(targets) => write!(
                f,
                "resource {path:?} target has mismatched target: {:?} != {:?}",
                Escaped(&targets.found),
                Escaped(&targets.wanted)
            ),
            Change::Device(numbers) => write!(
                f,
                "resource {path:?} has mismatched major/minor numbers: {},{} != {},{}",
                numbers.found.major(),
                numbers.found.minor(),
                numbers.wanted.major(),
                numbers.wanted.minor()
            ),
            Change::Links(first) => match (&first.wanted, &first.found) {
                (Some(to), _) => write!(f, "{path:?} is not a hardlink to {to:?}"),
                (None, Some(to)) => {
                    write!(f, "{path:?} is a hardlink to {to:?}, and should not be")
                }
                (None, None) => Ok(()),
            },
            Change::Whiteout(sides) => {
                write!(f, "resource {path:?} is {}a whiteout", not(sides.found))
            }
            Change::Opaque(sides) => write!(f, "resource {path:?} is {}opaque", not(sides.found)),
        }
    }
}

const fn not(is: bool) -> &'static str {
    if is { "" } else { "not " }
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
pub(super) struct Time(pub Timestamp);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0.seconds(), self.0.nanoseconds())
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Sides;
    use super::*;
    use crate::digest::Algorithm;
    use crate::mode::FileType;
    use crate::path::ManifestPath;

    fn shown(path: &[u8], kind: DifferenceKind) -> String {
        let difference = Difference {
            path: ManifestPath::parse(path).unwrap(),
            file_type: FileType::Regular,
            kind,
        };
        let root = Path::new("/root");
        let difference = &difference;
        GoWords { root, difference }.to_string()
    }

    fn changed(path: &[u8], change: Change) -> String {
        shown(path, DifferenceKind::Changed(vec![change]))
    }

    #[test]
    fn words_what_go_words() {
        let digests = [Algorithm::Sha256.hash(b""), Algorithm::Blake3.hash(b"")];
        let (one, two) = (digests[0], digests[1]);
        let change = Change::Digest(Sides {
            wanted: vec![one],
            found: digests.to_vec(),
        });
        assert_eq!(
            changed(b"/f", change),
            format!("digests for resource \"/f\" do not match: [{one} {two}] != [{one}]")
        );
    }

    #[test]
    fn names_cannot_act_on_a_terminal() {
        let change = Change::Xattr {
            name: Box::from(*b"user.\x07"),
            values: Sides {
                wanted: Some(Box::default()),
                found: None,
            },
        };
        assert_eq!(
            changed(b"/\x1b[31m\n", change),
            r#"resource "/\x1b[31m\n" target missing xattr "user.\x07""#
        );
        let missing = DifferenceKind::Missing {
            absence: Absence::Symlink,
            link_to: None,
        };
        assert_eq!(
            shown(b"/a\nb", missing),
            r"lstat /root/a\nb: too many levels of symbolic links"
        );
    }

    #[test]
    fn times_have_all_their_digits() {
        let times = Sides {
            wanted: Timestamp::new(1_600_000_000, 0).unwrap(),
            found: Timestamp::new(-1, 5).unwrap(),
        };
        assert_eq!(
            changed(b"/", Change::Mtime(times)),
            r#"resource "/" has incorrect mtime: -1.000000005 != 1600000000.000000000"#
        );
    }
}
