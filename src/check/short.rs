//! Differences on one line a path, for people.

use std::fmt;

use crate::escape::Escaped;
use crate::mode::{FileMode, FileType};
use crate::path::ManifestPath;

use super::finding::{Change, Difference, DifferenceKind, Sides};
use super::go_words::Time;

/// Shows a difference as a letter, the path, and what changed, without a line
/// feed at the end.
///
/// The letters are those of `git diff --name-status`: `A` for what only the
/// second side has, `D` for what only the first has, `M` for other attributes,
/// `T` for another type. Directories end in a slash. Of what changed, the value
/// of the first side comes before the arrow, that of the second behind it.
#[derive(Clone, Copy, Debug)]
pub struct Short<'a>(pub &'a Difference);

impl Short<'_> {
    /// The letter.
    #[must_use]
    pub fn letter(&self) -> char {
        match &self.0.kind {
            DifferenceKind::Added => 'A',
            DifferenceKind::Missing { .. } => 'D',
            DifferenceKind::Changed(changes) => match &**changes {
                [Change::Type(_), ..] => 'T',
                _ => 'M',
            },
        }
    }
}

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference {
            path,
            file_type,
            kind,
        } = self.0;
        write!(f, "{} {path}", self.letter())?;
        if *file_type == FileType::Directory && !path.is_root() {
            f.write_str("/")?;
        }
        if let DifferenceKind::Changed(changes) = kind {
            for (index, change) in changes.iter().enumerate() {
                f.write_str(if index == 0 { ": " } else { ", " })?;
                write_change(change, f)?;
            }
        }
        Ok(())
    }
}

fn write_change(change: &Change, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match change {
        Change::Type(modes) => {
            let name = |mode: FileMode| mode.file_type();
            write!(f, "{} -> {}", name(modes.wanted), name(modes.found))
        }
        Change::Mode(modes) => {
            let bits = |mode: FileMode| mode.permissions();
            write!(
                f,
                "mode {:04o} -> {:04o}",
                bits(modes.wanted),
                bits(modes.found)
            )
        }
        Change::Uid(ids) => arrow(f, "uid", ids, |id| id),
        Change::Gid(ids) => arrow(f, "gid", ids, |id| id),
        Change::Mtime(times) => arrow(f, "mtime", times, |time| Time(*time)),
        Change::Xattr { name, values } => {
            let what = match (&values.wanted, &values.found) {
                (Some(_), None) => "removed",
                (None, _) => "added",
                _ => "differs",
            };
            write!(f, "xattr {} {what}", Escaped(name))
        }
        Change::Size(sizes) => arrow(f, "size", sizes, |size| size),
        Change::Digest(_) => f.write_str("content differs"),
        Change::Chunks(chunks) => write!(
            f,
            "{} of {} chunks differ, the first at byte {}",
            chunks.bad, chunks.count, chunks.offset
        ),
        Change::NoDigest => f.write_str("content has no digest that can be compared"),
        Change::Target(targets) => arrow(f, "target", targets, |target| Escaped(target)),
        Change::Device(numbers) => arrow(f, "device", numbers, |number| {
            format!("{}:{}", number.major(), number.minor())
        }),
        Change::Links(first) => arrow(f, "link to", first, |path| Name(path.as_ref())),
        Change::Whiteout(sides) => arrow(f, "whiteout", sides, |is| is),
        Change::Opaque(sides) => arrow(f, "opaque", sides, |is| is),
    }
}

fn arrow<'a, T, D: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    sides: &'a Sides<T>,
    show: impl Fn(&'a T) -> D,
) -> fmt::Result {
    write!(
        f,
        "{what} {} -> {}",
        show(&sides.wanted),
        show(&sides.found)
    )
}

/// The name of another file, if there is one.
struct Name<'a>(Option<&'a ManifestPath>);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(path) => path.fmt(f),
            None => f.write_str("none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(file_type: FileType, kind: DifferenceKind) -> String {
        let difference = Difference {
            path: ManifestPath::parse(b"/a\n\x1b").unwrap(),
            file_type,
            kind,
        };
        Short(&difference).to_string()
    }

    #[test]
    fn a_line_has_all_of_a_path() {
        assert_eq!(
            shown(FileType::Directory, DifferenceKind::Added),
            r"A /a\n\x1b/"
        );
        let changes = vec![
            Change::Mode(Sides {
                wanted: FileMode::from_go(0o644).unwrap(),
                found: FileMode::from_go(1 << 23 | 0o755).unwrap(),
            }),
            Change::Uid(Sides {
                wanted: 0,
                found: 5,
            }),
            Change::Links(Sides {
                wanted: None,
                found: Some(ManifestPath::parse(b"/b").unwrap()),
            }),
        ];
        assert_eq!(
            shown(FileType::Regular, DifferenceKind::Changed(changes)),
            r"M /a\n\x1b: mode 0644 -> 4755, uid 0 -> 5, link to none -> /b"
        );
    }
}
