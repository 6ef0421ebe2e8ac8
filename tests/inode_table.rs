//! The inode table, held against a plain model of the same tree.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};

use continuity::digest::Algorithm;
use continuity::inode::{Ino, Inode, InodeKind, InodeTable, RootOwner};
use continuity::manifest::{
    Content, DeviceNumber, Form, Kind, Limits, Manifest, ManifestError, Metadata, Resource, Rule,
    Timestamp, Xattr,
};
use continuity::mode::{FileMode, FileType};
use continuity::path::ManifestPath;
use proptest::prelude::*;

fn path(text: &str) -> ManifestPath {
    ManifestPath::parse(text.as_bytes()).unwrap()
}

fn resource(paths: &[&str], st_mode: u32, kind: Kind) -> Resource {
    let mut paths: Vec<_> = paths.iter().map(|text| path(text)).collect();
    paths.sort();
    Resource {
        paths,
        metadata: Metadata::new(FileMode::from_stat(st_mode).unwrap()),
        kind,
        carried: None,
    }
}

fn file(paths: &[&str]) -> Resource {
    let content = Content {
        size: 3,
        digests: vec![Algorithm::Sha256.hash(b"abc")],
        ..Content::default()
    };
    resource(paths, 0o100_644, Kind::Regular(content))
}

fn directory(name: &str) -> Resource {
    resource(&[name], 0o040_750, Kind::Directory)
}

fn table(resources: Vec<Resource>) -> Result<InodeTable, ManifestError> {
    let manifest = Manifest {
        resources,
        ..Manifest::default()
    };
    let bytes = manifest.encode(Form::Full).unwrap();
    InodeTable::build(&bytes, &Limits::default(), RootOwner { uid: 5, gid: 6 })
}

fn resolve<'t>(table: &'t InodeTable, text: &str) -> Option<Inode<'t>> {
    text.split('/')
        .filter(|name| !name.is_empty())
        .try_fold(table.get(Ino::ROOT)?, |inode, name| {
            table.lookup(inode, name.as_bytes())
        })
}

/// What a name is in the model.
#[derive(Clone, Debug)]
enum Node {
    Directory,
    File(u64),
    Link(Vec<u8>),
    Device(u32, u32),
    Fifo,
    /// Another name of the file with this number.
    Again(usize),
}

fn nodes() -> impl Strategy<Value = Node> {
    prop_oneof![
        3 => Just(Node::Directory),
        3 => any::<u32>().prop_map(|size| Node::File(u64::from(size))),
        1 => prop::collection::vec(1..=255_u8, 1..20).prop_map(Node::Link),
        1 => (0..4096_u32, 0..(1_u32 << 20)).prop_map(|(major, minor)| Node::Device(major, minor)),
        1 => Just(Node::Fifo),
        2 => any::<usize>().prop_map(Node::Again),
    ]
}

/// A tree: each node lies in one of the directories before it.
fn trees() -> impl Strategy<Value = Vec<(usize, Vec<u8>, Node, u32)>> {
    let names = prop::collection::vec(prop::sample::select(b"ab-.0\xff".to_vec()), 1..4)
        .prop_filter("no dots", |name| name != b"." && name != b"..");
    prop::collection::vec((any::<usize>(), names, nodes(), any::<u32>()), 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_table_is_the_tree(tree in trees()) {
        let mut directories = vec![ManifestPath::root()];
        let mut taken = BTreeSet::new();
        let mut files: Vec<Resource> = Vec::new();
        let mut others: Vec<Resource> = Vec::new();
        let mut children: BTreeMap<ManifestPath, BTreeSet<Vec<u8>>> = BTreeMap::new();
        for (number, (parent, name, node, bits)) in tree.into_iter().enumerate() {
            let parent = directories[parent % directories.len()].clone();
            let path = parent.join(&name).unwrap();
            if !taken.insert(path.clone()) {
                continue;
            }
            children.entry(parent).or_default().insert(name);
            let permissions = bits & 0o7777;
            let (st_mode, kind) = match node {
                Node::Directory => {
                    directories.push(path.clone());
                    (0o040_000, Kind::Directory)
                }
                Node::Again(of) if !files.is_empty() => {
                    let count = files.len();
                    files[of % count].paths.push(path);
                    continue;
                }
                Node::File(size) => (0o100_000, Kind::Regular(Content {
                    size,
                    digests: vec![Algorithm::Sha256.hash(&size.to_le_bytes())],
                    ..Content::default()
                })),
                Node::Link(target) => (0o120_000, Kind::Symlink(target.into())),
                Node::Device(major, minor) => (
                    0o020_000,
                    Kind::CharDevice(DeviceNumber::new(major.into(), minor.into()).unwrap()),
                ),
                Node::Fifo | Node::Again(_) => (0o010_000, Kind::Fifo),
            };
            let resource = Resource {
                paths: vec![path],
                metadata: Metadata {
                    uid: bits >> 12,
                    gid: number as u32,
                    mtime: (bits & 1 == 0).then(|| Timestamp::new(i64::from(bits) - 7, 9).unwrap()),
                    xattrs: (bits & 2 == 0)
                        .then(|| Xattr { name: (*b"user.x").into(), value: vec![bits as u8].into() })
                        .into_iter()
                        .collect(),
                    ..Metadata::new(FileMode::from_stat(st_mode | permissions).unwrap())
                },
                kind,
                carried: None,
            };
            if matches!(resource.kind, Kind::Regular(_)) {
                files.push(resource);
            } else {
                others.push(resource);
            }
        }
        for file in &mut files {
            file.paths.sort();
        }
        let resources: Vec<Resource> = files.into_iter().chain(others).collect();
        let table = table(resources.clone()).unwrap();

        let mut inos = BTreeSet::from([Ino::ROOT]);
        for resource in &resources {
            let found: BTreeSet<Ino> = resource
                .paths
                .iter()
                .map(|path| {
                    path.as_bytes()[1..]
                        .split(|byte| *byte == b'/')
                        .try_fold(table.get(Ino::ROOT).unwrap(), |inode, name| {
                            table.lookup(inode, name)
                        })
                        .unwrap()
                        .ino()
                })
                .collect();
            prop_assert_eq!(found.len(), 1, "all names are one inode");
            let inode = table.get(*found.first().unwrap()).unwrap();
            prop_assert!(inos.insert(inode.ino()), "no two resources are one inode");
            prop_assert!(resource.paths.contains(&inode.path()));
            let metadata = &resource.metadata;
            prop_assert_eq!(inode.mode(), metadata.mode);
            prop_assert_eq!((inode.uid(), inode.gid()), (metadata.uid, metadata.gid));
            prop_assert_eq!(inode.mtime(), metadata.mtime);
            prop_assert_eq!(inode.xattrs(), &metadata.xattrs[..]);
            match (&resource.kind, inode.kind()) {
                (Kind::Regular(content), InodeKind::Regular(size)) => {
                    prop_assert_eq!(content.size, size);
                    prop_assert_eq!(&content.digests, &inode.digests());
                }
                (Kind::Symlink(target), InodeKind::Symlink(found)) => {
                    prop_assert_eq!(&**target, found);
                }
                (Kind::CharDevice(number), InodeKind::Device(found)) => {
                    prop_assert_eq!(*number, found);
                }
                (Kind::Directory, InodeKind::Directory(_)) | (Kind::Fifo, InodeKind::Other) => {}
                (wanted, found) => prop_assert!(false, "{wanted:?} {found:?}"),
            }
            if resource.kind == Kind::Directory {
                let names = children.get(resource.path()).cloned().unwrap_or_default();
                let found: Vec<Vec<u8>> =
                    table.entries(inode, 0).map(|dirent| dirent.name.to_vec()).collect();
                prop_assert_eq!(&found, &names.into_iter().collect::<Vec<_>>());
                let directories = table
                    .entries(inode, 0)
                    .filter(|dirent| dirent.inode.mode().file_type() == FileType::Directory)
                    .count();
                prop_assert_eq!(inode.links() as usize, 2 + directories);
                for skip in 0..=found.len() {
                    prop_assert_eq!(table.entries(inode, skip).count(), found.len() - skip);
                }
            } else {
                prop_assert_eq!(inode.links() as usize, resource.paths.len());
            }
        }
        prop_assert_eq!(table.statistics().inodes as usize, inos.len());
    }
}

#[test]
fn unlisted_directories_are_there_and_counted() {
    let table = table(vec![file(&["/a/b/c"]), directory("/a-"), file(&["/a/d"])]).unwrap();
    assert_eq!(table.statistics().implied_directories, 2);
    let implied = resolve(&table, "/a/b").unwrap();
    assert_eq!(implied.mode(), FileMode::DEFAULT_DIRECTORY);
    assert_eq!((implied.uid(), implied.gid()), (0, 0));
    assert_eq!(implied.path(), path("/a/b"));
    assert!(resolve(&table, "/a/b/c").is_some() && resolve(&table, "/a/d").is_some());
    let root = table.get(Ino::ROOT).unwrap();
    assert_eq!((root.uid(), root.gid(), root.links()), (5, 6, 4));
    assert_eq!(root.path(), ManifestPath::root());
}

#[test]
fn the_root_can_be_a_resource() {
    let table = table(vec![directory("/"), file(&["/f"])]).unwrap();
    let root = table.get(Ino::ROOT).unwrap();
    assert_eq!(root.mode().to_stat(), 0o040_750);
    assert_eq!((root.uid(), root.gid()), (0, 0));
    assert_eq!(table.statistics().inodes, 2);
    assert!(resolve(&table, "/f").is_some());
}

#[test]
fn what_makes_no_tree_is_refused_by_name() {
    for (resources, name, rule) in [
        (
            vec![file(&["/f"]), directory("/f")],
            "/f",
            "it stands in two resources",
        ),
        (
            vec![file(&["/f", "/g"]), file(&["/g"])],
            "/g",
            "it stands in two resources",
        ),
        (
            vec![file(&["/f"]), file(&["/f/x"])],
            "/f/x",
            r#"its parent "/f" is a regular file, not a directory"#,
        ),
        (
            vec![file(&["/f"]), file(&["/f-"]), file(&["/f/x/y"])],
            "/f/x/y",
            r#"its parent "/f" is a regular file, not a directory"#,
        ),
        (
            vec![
                resource(&["/l"], 0o120_777, Kind::Symlink((*b"/etc").into())),
                file(&["/l/passwd"]),
            ],
            "/l/passwd",
            r#"its parent "/l" is a symlink, not a directory"#,
        ),
        (
            vec![directory("/"), directory("/")],
            "/",
            "the root is declared twice",
        ),
    ] {
        let error = table(resources).unwrap_err();
        assert!(matches!(&error, ManifestError::Tree(..)), "{error}");
        assert_eq!(error.to_string(), format!("path {:?}: {rule}", path(name)));
    }
    let not_a_directory = table(vec![file(&["/"])]).unwrap_err();
    assert!(matches!(
        not_a_directory,
        ManifestError::Resource(_, Rule::RootType(FileType::Regular))
    ));
}

#[test]
fn an_opaque_directory_is_one_for_overlayfs() {
    let mut opaque = directory("/d");
    opaque.metadata.opaque = true;
    let table = table(vec![opaque]).unwrap();
    let inode = resolve(&table, "/d").unwrap();
    assert_eq!(inode.xattr(b"trusted.overlay.opaque"), Some(&b"y"[..]));
    assert_eq!(inode.xattr(b"user.overlay.opaque"), Some(&b"y"[..]));
    assert_eq!(inode.xattr(b"user.other"), None);
}

/// The bound of the documentation: 100 bytes an inode and its name.
#[test]
fn a_hundred_thousand_files_are_small() {
    let mut resources: Vec<Resource> = (0..100).map(|d| directory(&format!("/d{d:02}"))).collect();
    let mut names = 3 * 100;
    for number in 0..100_000_u32 {
        let name = format!("/d{:02}/file-{number}", number % 100);
        names += name.len() - 5;
        let mut file = file(&[&name]);
        file.metadata.mtime = Timestamp::new(i64::from(number), number);
        resources.push(file);
    }
    let table = table(resources).unwrap();
    let inodes = table.statistics().inodes;
    assert_eq!(inodes, 100_101);
    let allowed = inodes * 100 + names as u64;
    assert!(
        table.statistics().memory <= allowed,
        "{:?}",
        table.statistics()
    );
}

/// A thousand levels, each listed by nobody, in a time that grows with the
/// length of the manifest and not with its square.
#[test]
fn depth_costs_nothing() {
    let deep = "/d".repeat(1000);
    let resources = (0..200)
        .map(|number| file(&[&format!("{deep}/{number}")]))
        .collect();
    let table = table(resources).unwrap();
    assert_eq!(table.statistics().implied_directories, 1000);
    let leaf = resolve(&table, &format!("{deep}/7")).unwrap();
    assert_eq!(leaf.path(), path(&format!("{deep}/7")));
}

/// Each level of an unlisted path costs memory, and two bytes of a manifest.
#[test]
fn unlisted_directories_cannot_fill_the_memory() {
    let deep = "/a".repeat(1000);
    let resources = (0..1000)
        .map(|number| file(&[&format!("/{number}{deep}/f")]))
        .collect();
    match table(resources) {
        Err(error) => assert!(error.to_string().contains("bytes of memory"), "{error}"),
        Ok(_) => panic!("it has a million directories"),
    }
}

#[test]
fn two_names_of_a_symlink_are_two_symlinks() {
    let link = Kind::Symlink((*b"/x").into());
    let table = table(vec![resource(&["/a/l", "/b/c/l"], 0o120_777, link)]).unwrap();
    let (one, two) = (
        resolve(&table, "/a/l").unwrap(),
        resolve(&table, "/b/c/l").unwrap(),
    );
    assert_ne!(one.ino(), two.ino());
    assert_eq!((one.path(), two.path()), (path("/a/l"), path("/b/c/l")));
    assert_eq!((one.links(), two.links()), (1, 1));
    assert_eq!(one.kind(), InodeKind::Symlink(b"/x"));
}

#[test]
fn a_whiteout_is_one_for_overlayfs() {
    let mut whiteout = file(&["/w"]);
    whiteout.metadata.whiteout = true;
    let table = table(vec![whiteout]).unwrap();
    let inode = resolve(&table, "/w").unwrap();
    assert_eq!(inode.mode().to_stat(), 0o020_000);
    assert_eq!(
        inode.kind(),
        InodeKind::Device(DeviceNumber::new(0, 0).unwrap())
    );
}
