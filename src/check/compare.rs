//! Whether two resources are the same: a function of the two and of what is
//! asked for, and of nothing else.

use std::cmp::Ordering;
use std::time::Duration;

use crate::attributes::{Attribute, AttributeSet};
use crate::manifest::{DeviceNumber, Kind, Metadata, Resource, Timestamp, Xattr};
use crate::path::ManifestPath;
use crate::tree::Node;

use super::content;
use super::finding::{Change, Sides};

/// What makes a difference.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Which attributes count.
    pub attributes: &'a AttributeSet,
    /// Times that are less than this apart are the same; none, unless they are
    /// equal.
    pub time_granularity: Duration,
    /// Whether what is found and not wanted counts too; else only what is
    /// wanted and not found, as for the Go tool.
    pub strict: bool,
}

impl Rules<'_> {
    /// What there is to say of two files that do not have the same names.
    pub(super) fn link_change(
        &self,
        different: Option<Sides<Option<ManifestPath>>>,
    ) -> Option<Change> {
        different
            .filter(|first| {
                self.attributes.has(Attribute::Links) && (self.strict || first.wanted.is_some())
            })
            .map(Change::Links)
    }
}

/// Everything in which two resources differ but their names. What one of them
/// does not declare, such as a time, is not compared.
#[must_use]
pub fn compare(wanted: &Resource, found: &Resource, rules: &Rules<'_>) -> Vec<Change> {
    let mut changes = compare_all_but_content(wanted.into(), found.into(), rules);
    if let (Kind::Regular(wanted), Kind::Regular(found)) = (&wanted.kind, &found.kind) {
        content::compare(wanted, found, rules.attributes, &mut changes);
    }
    changes
}

/// A resource without its names, or a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Described<'a> {
    pub metadata: &'a Metadata,
    pub kind: &'a Kind,
}

impl<'a> From<&'a Resource> for Described<'a> {
    fn from(resource: &'a Resource) -> Self {
        let Resource { metadata, kind, .. } = resource;
        Self { metadata, kind }
    }
}

impl<'a> From<&'a Node> for Described<'a> {
    fn from(node: &'a Node) -> Self {
        let Node { metadata, kind, .. } = node;
        Self { metadata, kind }
    }
}

/// The same without size and content of regular files.
pub(super) fn compare_all_but_content(
    wanted: Described<'_>,
    found: Described<'_>,
    rules: &Rules<'_>,
) -> Vec<Change> {
    let mut told = Told {
        attributes: rules.attributes,
        changes: Vec::new(),
    };
    let (one, other) = (wanted.metadata, found.metadata);
    if one.mode.file_type() != other.mode.file_type() && told.attributes.has(Attribute::Type) {
        // It is another file altogether.
        return vec![Change::Type(Sides::of(&one.mode, &other.mode))];
    }
    let bits = one.mode.permissions() ^ other.mode.permissions();
    if bits & told.attributes.mode_bits() != 0 {
        let change = Change::Mode(Sides::of(&one.mode, &other.mode));
        told.changes.push(change);
    }
    told.compare(Attribute::Uid, &one.uid, &other.uid, Change::Uid);
    told.compare(Attribute::Gid, &one.gid, &other.gid, Change::Gid);
    if let (Some(wanted), Some(found)) = (&one.mtime, &other.mtime)
        && !is_same_time(*wanted, *found, rules.time_granularity)
    {
        told.compare(Attribute::Mtime, wanted, found, Change::Mtime);
    }
    compare_xattrs(&one.xattrs, &other.xattrs, rules, &mut told.changes);
    match (wanted.kind, found.kind) {
        (Kind::Symlink(one), Kind::Symlink(other)) => {
            told.compare(Attribute::Target, one, other, Change::Target);
        }
        (Kind::CharDevice(one), Kind::CharDevice(other))
        | (Kind::BlockDevice(one), Kind::BlockDevice(other)) => {
            told.compare(Attribute::Device, one, other, Change::Device);
        }
        _ => {}
    }
    for (is, change) in [
        (
            is_whiteout as fn(Described<'_>) -> bool,
            Change::Whiteout as fn(_) -> _,
        ),
        (is_opaque, Change::Opaque),
    ] {
        told.compare(Attribute::Whiteout, &is(wanted), &is(found), change);
    }
    told.changes
}

/// What has been found so far.
struct Told<'a> {
    attributes: &'a AttributeSet,
    changes: Vec<Change>,
}

impl Told<'_> {
    fn compare<T: Clone + PartialEq>(
        &mut self,
        attribute: Attribute,
        wanted: &T,
        found: &T,
        change: fn(Sides<T>) -> Change,
    ) {
        if wanted != found && self.attributes.has(attribute) {
            self.changes.push(change(Sides::of(wanted, found)));
        }
    }
}

/// Whether two times are less than `granularity` apart, or equal.
fn is_same_time(one: Timestamp, other: Timestamp, granularity: Duration) -> bool {
    let nanoseconds = |time: Timestamp| {
        i128::from(time.seconds()) * 1_000_000_000 + i128::from(time.nanoseconds())
    };
    let apart = nanoseconds(one).abs_diff(nanoseconds(other));
    apart == 0 || apart < granularity.as_nanos()
}

/// Goes through two sorted lists at once.
fn compare_xattrs(wanted: &[Xattr], found: &[Xattr], rules: &Rules<'_>, changes: &mut Vec<Change>) {
    let counts = |xattr: &&Xattr| rules.attributes.has_xattr(&xattr.name);
    let mut wanted = wanted.iter().filter(counts).peekable();
    let mut found = found.iter().filter(counts).peekable();
    loop {
        let order = match (wanted.peek(), found.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(other)) => one.name.cmp(&other.name),
        };
        let one = wanted.next_if(|_| order.is_le());
        let other = found.next_if(|_| order.is_ge());
        let is_same = match (one, other) {
            (Some(one), Some(other)) => one.value == other.value,
            (None, Some(_)) => !rules.strict,
            _ => false,
        };
        if let (Some(xattr), false) = (one.or(other), is_same) {
            changes.push(Change::Xattr {
                name: xattr.name.clone(),
                values: Sides {
                    wanted: one.map(|one| one.value.clone()),
                    found: other.map(|other| other.value.clone()),
                },
            });
        }
    }
}

/// Said by the extension, or in the way of overlayfs
/// (Documentation/filesystems/overlayfs.rst).
fn is_whiteout(file: Described<'_>) -> bool {
    file.metadata.whiteout
        || *file.kind == DeviceNumber::new(0, 0).map_or(Kind::Fifo, Kind::CharDevice)
}

/// The same of directories that cover those below.
fn is_opaque(file: Described<'_>) -> bool {
    file.metadata.opaque
        || file.metadata.xattrs.iter().any(|xattr| {
            matches!(
                &*xattr.name,
                b"trusted.overlay.opaque" | b"user.overlay.opaque"
            ) && *xattr.value == *b"y"
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Content, Metadata};
    use crate::mode::FileMode;

    fn resource(go_mode: u32, kind: Kind) -> Resource {
        Resource {
            paths: vec![ManifestPath::parse(b"/f").unwrap()],
            metadata: Metadata::new(FileMode::from_go(go_mode).unwrap()),
            kind,
            carried: None,
        }
    }

    fn file() -> Resource {
        resource(0o644, Kind::Regular(Content::default()))
    }

    fn strict(attributes: &AttributeSet) -> Rules<'_> {
        Rules {
            attributes,
            time_granularity: Duration::ZERO,
            strict: true,
        }
    }

    /// The attributes that differ.
    fn differing(one: &Resource, other: &Resource, rules: &Rules<'_>) -> Vec<Attribute> {
        let changes = compare(one, other, rules);
        changes.iter().map(Change::attribute).collect()
    }

    #[test]
    fn only_what_counts_is_compared() {
        let mut other = file();
        other.metadata.mode = FileMode::from_go(0o664).unwrap();
        other.metadata.uid = 1;
        other.metadata.gid = 2;
        let words = |attributes: AttributeSet| differing(&file(), &other, &strict(&attributes));
        assert_eq!(
            words(AttributeSet::all()),
            [Attribute::Mode, Attribute::Uid, Attribute::Gid]
        );
        assert_eq!(words(AttributeSet::portable()), [Attribute::Mode]);
        assert_eq!(words(AttributeSet::portable().without_mode_bits(0o022)), []);
        assert_eq!(words(AttributeSet::content()), []);
    }

    #[test]
    fn another_type_is_another_file() {
        let mut fifo = resource(1 << 25 | 0o600, Kind::Fifo);
        fifo.metadata.uid = 5;
        let all = AttributeSet::all();
        assert_eq!(differing(&file(), &fifo, &strict(&all)), [Attribute::Type]);
        let ignoring = all.without(Attribute::Type);
        let rest = [Attribute::Mode, Attribute::Uid];
        assert_eq!(differing(&file(), &fifo, &strict(&ignoring)), rest);
    }

    #[test]
    fn times_have_a_granularity_and_may_be_unknown() {
        let at = |seconds, nanoseconds| {
            let mut file = file();
            file.metadata.mtime = Timestamp::new(seconds, nanoseconds);
            file
        };
        let all = AttributeSet::all();
        let is_same = |one: &Resource, other: &Resource, granularity| {
            let rules = Rules {
                time_granularity: granularity,
                ..strict(&all)
            };
            compare(one, other, &rules).is_empty()
        };
        let (one, two) = (at(5, 999_999_999), at(5, 0));
        assert!(is_same(&one, &one, Duration::ZERO));
        assert!(!is_same(&one, &two, Duration::ZERO));
        assert!(is_same(&one, &two, Duration::from_secs(1)));
        assert!(!is_same(&at(6, 0), &two, Duration::from_secs(1)));
        assert!(is_same(&at(6, 0), &two, Duration::from_secs(2)));
        assert!(is_same(&file(), &two, Duration::ZERO));
        let (first, last) = (at(i64::MIN, 0), at(i64::MAX, 999_999_999));
        assert!(!is_same(&first, &last, Duration::MAX));
    }

    #[test]
    fn extended_attributes_are_compared_by_name() {
        let with = |names: &[(&str, &str)]| {
            let mut file = file();
            let xattr = |(name, value): &(&str, &str)| Xattr {
                name: name.as_bytes().into(),
                value: value.as_bytes().into(),
            };
            file.metadata.xattrs = names.iter().map(xattr).collect();
            file
        };
        let one = with(&[("user.a", "1"), ("user.b", "2"), ("user.c", "3")]);
        let other = with(&[("user.b", "x"), ("user.c", "3"), ("user.d", "4")]);
        let all = AttributeSet::all();
        let names = |rules: &Rules<'_>| {
            let changes = compare(&one, &other, rules);
            let names = changes.iter().map(|change| match change {
                Change::Xattr { name, .. } => String::from_utf8(name.to_vec()).unwrap(),
                other => panic!("{other:?}"),
            });
            names.collect::<Vec<_>>()
        };
        assert_eq!(names(&strict(&all)), ["user.a", "user.b", "user.d"]);
        let lenient = Rules {
            strict: false,
            ..strict(&all)
        };
        assert_eq!(names(&lenient), ["user.a", "user.b"]);
        let list = "xattr:user.a,xattr:user.d".parse().unwrap();
        assert_eq!(names(&strict(&all.clone().ignoring(&list))), ["user.b"]);
    }

    #[test]
    fn a_whiteout_is_one_however_it_is_said() {
        let all = AttributeSet::all();
        let device = || DeviceNumber::new(0, 0).map(Kind::CharDevice).unwrap();
        let native = || resource(1 << 26 | 1 << 21, device());
        let mut said = native();
        said.metadata.whiteout = true;
        assert_eq!(differing(&native(), &said, &strict(&all)), []);
        let mut other = file();
        other.metadata.whiteout = true;
        assert_eq!(
            differing(&file(), &other, &strict(&all)),
            [Attribute::Whiteout]
        );

        let directory = || resource(1 << 31 | 0o755, Kind::Directory);
        let (mut said, mut shown) = (directory(), directory());
        said.metadata.opaque = true;
        shown.metadata.xattrs = vec![Xattr {
            name: Box::from(*b"trusted.overlay.opaque"),
            value: Box::from(*b"y"),
        }];
        let without_xattrs = all.without(Attribute::Xattr);
        assert_eq!(differing(&said, &shown, &strict(&without_xattrs)), []);
        let opaque = differing(&said, &directory(), &strict(&without_xattrs));
        assert_eq!(opaque, [Attribute::Whiteout]);
    }
}
