//! What holds for every comparison.

// The functions that tests share are tests too; clippy does not see that.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod generated;
mod tree;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use continuity::attributes::{Attribute, AttributeSet};
use continuity::build::build;
use continuity::check::{
    CheckError, Difference, DifferenceKind, Finding, Options, Side, diff, verify,
};
use continuity::manifest::{DeviceNumber, Form, Kind, Manifest, Resource, Timestamp, Xattr};
use continuity::mode::FileMode;
use continuity::path::ManifestPath;
use proptest::prelude::*;

/// Everything, times too.
fn all() -> Options {
    Options {
        attributes: AttributeSet::all(),
        jobs: 1,
        ..Options::default()
    }
}

/// Keeps what is told; there must be no trouble.
fn told(
    compare: impl FnOnce(&mut (dyn FnMut(&Finding) + Send)) -> Result<u64, CheckError>,
) -> Result<Vec<Difference>, CheckError> {
    let mut differences = Vec::new();
    let count = compare(&mut |finding| match finding {
        Finding::Different(difference) => differences.push(difference.clone()),
        Finding::Trouble(trouble) => panic!("{trouble}"),
    })?;
    assert_eq!(
        count,
        differences.iter().map(Difference::count).sum::<u64>()
    );
    Ok(differences)
}

fn differences(
    first: Side<'_>,
    second: Side<'_>,
    options: &Options,
) -> Result<Vec<Difference>, CheckError> {
    told(|tell| {
        let tell = |finding: &Finding| {
            tell(finding);
            Ok(())
        };
        Ok(diff(first, second, options, tell)?.differences)
    })
}

/// `None` for manifests that make no tree.
fn of_manifests(first: &Manifest, second: &Manifest) -> Option<Vec<Difference>> {
    let [first, second] = [first, second].map(|one| one.encode(Form::Full).unwrap());
    match differences(Side::Manifest(&first), Side::Manifest(&second), &all()) {
        Ok(differences) => Some(differences),
        Err(CheckError::Manifest { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Changes one attribute of a resource, and tells which; `None` where the
/// resource does not have it.
fn mutate(resource: &mut Resource, choice: usize) -> Option<Attribute> {
    let metadata = &mut resource.metadata;
    let attribute = Attribute::ALL[choice % Attribute::ALL.len()];
    match (attribute, &mut resource.kind) {
        (Attribute::Mode, _) => {
            let bit = 1 << (choice / 12 % 9);
            metadata.mode = FileMode::from_go(metadata.mode.to_go() ^ bit).unwrap();
        }
        (Attribute::Uid, _) => metadata.uid ^= 1,
        (Attribute::Gid, _) => metadata.gid ^= 1,
        (Attribute::Mtime, _) => {
            let time = metadata.mtime?;
            let nanoseconds = (time.nanoseconds() + 1) % 1_000_000_000;
            metadata.mtime = Timestamp::new(time.seconds(), nanoseconds);
        }
        (Attribute::Xattr, _) => match (choice % 2, metadata.xattrs.first_mut()) {
            (0, Some(xattr)) => xattr.value = [&*xattr.value, b"x"].concat().into(),
            (_, Some(_)) => drop(metadata.xattrs.remove(0)),
            (_, None) => metadata.xattrs.push(Xattr {
                name: Box::from(*b"user.new"),
                value: Box::default(),
            }),
        },
        (Attribute::Size, Kind::Regular(content)) if content.chunks.is_none() => content.size ^= 1,
        (Attribute::Content, Kind::Regular(content)) => match &mut content.chunks {
            Some(table) if !table.digests.is_empty() => table.digests[0] ^= 1,
            _ => {
                let digest = content.digests.first_mut()?;
                *digest = digest.algorithm().hash(b"something else");
            }
        },
        (Attribute::Target, Kind::Symlink(target)) => *target = [target, &b"x"[..]].concat().into(),
        (Attribute::Device, Kind::BlockDevice(number)) => {
            let major = u64::from(number.major() ^ 1);
            *number = DeviceNumber::new(major, number.minor().into()).unwrap();
        }
        (Attribute::Whiteout, Kind::Regular(_)) => metadata.whiteout ^= true,
        _ => return None,
    }
    Some(attribute)
}

/// The one attribute that changed, and the path.
fn only_change(differences: &[Difference]) -> (ManifestPath, Attribute) {
    match differences {
        [
            Difference {
                path,
                kind: DifferenceKind::Changed(changes),
                ..
            },
        ] if changes.len() == 1 => (path.clone(), changes[0].attribute()),
        _ => panic!("{differences:#?}"),
    }
}

proptest! {
    #[test]
    fn what_is_equal_does_not_differ(manifest in generated::manifest()) {
        let found = of_manifests(&manifest, &manifest);
        prop_assume!(found.is_some());
        prop_assert_eq!(found.unwrap(), []);
    }

    #[test]
    fn the_sides_can_be_changed(first in generated::manifest(), second in generated::manifest()) {
        let found = of_manifests(&first, &second);
        prop_assume!(found.is_some());
        let reversed = of_manifests(&second, &first).unwrap();
        let reversed: Vec<_> = reversed.into_iter().map(Difference::reversed).collect();
        prop_assert_eq!(found.unwrap(), reversed);
    }

    #[test]
    fn one_change_is_told_as_what_it_is(
        manifest in generated::manifest(),
        which: prop::sample::Index,
        choice in 0..1000_usize,
    ) {
        prop_assume!(!manifest.resources.is_empty());
        let mut changed = manifest.clone();
        let index = which.index(changed.resources.len());
        let resource = &mut changed.resources[index];
        let attribute = mutate(resource, choice);
        prop_assume!(attribute.is_some());
        let path = resource.path().clone();
        let is_symlink = matches!(resource.kind, Kind::Symlink(_));
        let names = if is_symlink { resource.paths.len() } else { 1 };
        let found = of_manifests(&manifest, &changed);
        prop_assume!(found.is_some());
        // Two names of a symlink are two symlinks.
        let mut found = found.unwrap();
        prop_assert_eq!(found.len(), names);
        found.truncate(1);
        prop_assert_eq!(only_change(&found), (path, attribute.unwrap()));
    }

    #[test]
    fn a_name_that_goes_is_missing_and_one_that_comes_is_added(
        manifest in generated::manifest(),
        which: prop::sample::Index,
    ) {
        prop_assume!(!manifest.resources.is_empty());
        let mut less = manifest.clone();
        let index = which.index(less.resources.len());
        let paths = &mut less.resources[index].paths;
        let path = paths.pop().unwrap();
        if paths.is_empty() {
            less.resources.remove(index);
        }
        // A directory that other names lead through is still there, though
        // nothing is declared of it.
        let below = [path.as_bytes(), b"/"].concat();
        let mut names = less.resources.iter().flat_map(|resource| &resource.paths);
        prop_assume!(!names.any(|name| name.as_bytes().starts_with(&below)));
        let found = of_manifests(&manifest, &less);
        prop_assume!(found.is_some());
        let found = found.unwrap();
        let is_missing = |one: &Difference| matches!(one.kind, DifferenceKind::Missing { .. });
        prop_assert_eq!(found.len(), 1);
        prop_assert!(found[0].path == path && is_missing(&found[0]), "{:?}", found);
        let added = of_manifests(&less, &manifest).unwrap();
        prop_assert_eq!(&added[0].path, &path);
        prop_assert_eq!(&added[0].kind, &DifferenceKind::Added);
    }

    #[test]
    fn a_link_that_is_cut_is_told_once(
        manifest in generated::manifest(),
        which: prop::sample::Index,
    ) {
        let can_be_cut = |one: &Resource| {
            one.paths.len() > 1 && !matches!(one.kind, Kind::Symlink(_))
        };
        let linked: Vec<_> = (0..manifest.resources.len())
            .filter(|index| can_be_cut(&manifest.resources[*index]))
            .collect();
        prop_assume!(!linked.is_empty());
        let mut cut = manifest.clone();
        let index = linked[which.index(linked.len())];
        let path = cut.resources[index].paths.pop().unwrap();
        let paths = vec![path.clone()];
        let alone = Resource { paths, ..cut.resources[index].clone() };
        cut.resources.insert(index + 1, alone);
        let found = of_manifests(&manifest, &cut);
        prop_assume!(found.is_some());
        prop_assert_eq!(only_change(&found.unwrap()), (path, Attribute::Links));
    }
}

/// A tree with something of most kinds.
fn plant(root: &Path) {
    fs::create_dir_all(root.join("d/e")).unwrap();
    for (name, content) in [("a", "1"), ("a-b", "22"), ("d/f", "333"), ("d/e/g", "")] {
        fs::write(root.join(name), content).unwrap();
    }
    symlink("a", root.join("l")).unwrap();
    fs::hard_link(root.join("d/f"), root.join("d/h")).unwrap();
    fs::hard_link(root.join("d/f"), root.join("z")).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, root.join("p"), fifo, 0o644.into(), 0).unwrap();
}

/// Does something to a tree. What is not possible any more is not done.
fn disturb(root: &Path, what: usize, name: &str) {
    let path = root.join(name);
    let is_file = path.is_file() && !path.is_symlink();
    match what {
        0 if !path.is_symlink() && path.exists() => {
            fs::set_permissions(&path, PermissionsExt::from_mode(0o711)).unwrap();
        }
        1 if path.exists() => chown(&path, Some(7), None).unwrap(),
        2 if is_file => fs::write(&path, "999").unwrap(),
        3 if is_file => {
            let none = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(&path, "user.k", b"v", none).unwrap();
        }
        4 if path.is_dir() => fs::remove_dir_all(&path).unwrap(),
        4 => drop(fs::remove_file(&path)),
        5 if path.is_dir() => {
            fs::remove_dir_all(&path).unwrap();
            fs::write(&path, "").unwrap();
        }
        5 => {
            let _ = fs::remove_file(&path);
            let _ = fs::create_dir_all(path.join("below"));
        }
        6 if is_file => {
            // The same content, but another file.
            let content = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            fs::write(&path, content).unwrap();
        }
        7 if is_file => drop(fs::hard_link(&path, root.join("new"))),
        8 => {
            let _ = fs::remove_file(root.join("l"));
            symlink(name, root.join("l")).unwrap();
        }
        _ => {}
    }
}

const NAMES: [&str; 9] = ["a", "a-b", "d", "d/f", "d/e", "d/e/g", "d/h", "z", "new"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A directory is compared by other code than its manifest.
    #[test]
    fn every_way_to_compare_says_the_same(
        deeds in prop::collection::vec((0..9_usize, 0..NAMES.len()), 0..5),
    ) {
        let scratch = tree::scratch();
        let [one, other] = ["one", "other"].map(|name| scratch.path().join(name));
        for root in [&one, &other] {
            fs::create_dir(root).unwrap();
            plant(root);
        }
        for (what, name) in deeds {
            disturb(&other, what, NAMES[name]);
        }
        let manifest = |root: &Path| {
            let built = build(root, &continuity::build::Options::default()).unwrap();
            built.encode()
        };
        let (first, second) = (manifest(&one), manifest(&other));
        let options = Options { jobs: 1, ..Options::default() };
        let sides = |first, second| kinds(&differences(first, second, &options).unwrap());
        let wanted = sides(Side::Manifest(&first), Side::Manifest(&second));
        prop_assert_eq!(&sides(Side::Manifest(&first), Side::Directory(&other)), &wanted);
        prop_assert_eq!(&sides(Side::Directory(&one), Side::Manifest(&second)), &wanted);
        prop_assert_eq!(&sides(Side::Directory(&one), Side::Directory(&other)), &wanted);
        let strict = Options { strict: true, ..options.clone() };
        let verified = told(|tell| {
            let tell = |finding: &Finding| {
                tell(finding);
                Ok(())
            };
            Ok(verify(&other, &first, &strict, tell)?.differences)
        });
        prop_assert_eq!(&kinds(&verified.unwrap()), &wanted);
    }
}

/// What differs, without values: digests are by other algorithms, and why a
/// file is missing is known of directories only.
fn kinds(differences: &[Difference]) -> Vec<String> {
    let mut lines = Vec::new();
    for difference in differences {
        let what = match &difference.kind {
            DifferenceKind::Missing { .. } => "missing".to_owned(),
            DifferenceKind::Added => "added".to_owned(),
            DifferenceKind::Changed(changes) => {
                let attributes: Vec<_> = changes.iter().map(|one| one.attribute().name()).collect();
                attributes.join(",")
            }
        };
        lines.push(format!(
            "{} {:?} {what}",
            difference.path, difference.file_type
        ));
    }
    lines
}
