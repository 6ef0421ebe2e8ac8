//! Numbers of inodes while one manifest follows another, held against what the
//! kernel may remember.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet, HashMap};

use continuity::digest::Algorithm;
use continuity::inode::{Change, Ino, Inode, InodeKind, InodeTable, RootOwner};
use continuity::manifest::{Content, Form, Kind, Limits, Manifest, Metadata, Resource, Timestamp};
use continuity::mode::FileMode;
use continuity::path::ManifestPath;
use proptest::prelude::*;

/// What lies at a path. Files with the same group are one, with several names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Node {
    Directory,
    File { content: u8, group: Option<u8> },
    Link(u8),
    Fifo,
}

/// By path; with what is nothing but an attribute.
type Tree = BTreeMap<String, (Node, u8)>;

fn nodes() -> impl Strategy<Value = Node> {
    prop_oneof![
        3 => Just(Node::Directory),
        4 => (0..3_u8, prop::option::of(0..2_u8))
            .prop_map(|(content, group)| Node::File { content, group }),
        1 => (0..2_u8).prop_map(Node::Link),
        1 => Just(Node::Fifo),
    ]
}

fn trees() -> impl Strategy<Value = Tree> {
    let paths = prop::collection::vec(0..4_u8, 1..4);
    let entries = prop::collection::vec((paths, nodes(), 0..2_u8), 0..24);
    entries.prop_map(|mut entries| {
        // What lies above comes first, and decides what can lie below.
        entries.sort_by_key(|(path, ..)| path.len());
        let mut tree = Tree::new();
        // All names of one file have one content.
        let mut groups = HashMap::new();
        for (path, mut node, attribute) in entries {
            let names: Vec<_> = path.iter().map(|name| format!("/{name}")).collect();
            let fits = (1..names.len()).all(|end| {
                tree.get(&names[..end].concat())
                    .is_none_or(|(node, _)| *node == Node::Directory)
            });
            if !fits {
                continue;
            }
            let mut attribute = attribute;
            if let Node::File {
                content,
                group: Some(group),
            } = &mut node
            {
                (*content, attribute) = *groups.entry(*group).or_insert((*content, attribute));
            }
            tree.entry(names.concat()).or_insert((node, attribute));
        }
        tree
    })
}

fn table(tree: &Tree) -> InodeTable {
    let mut resources: Vec<Resource> = Vec::new();
    let mut groups: HashMap<u8, usize> = HashMap::new();
    for (path, (node, attribute)) in tree {
        let path = ManifestPath::parse(path.as_bytes()).unwrap();
        let (kind, mode) = match node {
            Node::Directory => (Kind::Directory, 0o040_755),
            Node::File { content, group } => {
                if let Some(place) = group.and_then(|group| groups.get(&group)) {
                    resources[*place].paths.push(path);
                    continue;
                }
                if let Some(group) = group {
                    groups.insert(*group, resources.len());
                }
                let content = Content {
                    size: 1,
                    digests: vec![Algorithm::Sha256.hash(&[*content])],
                    ..Content::default()
                };
                (Kind::Regular(content), 0o100_644)
            }
            Node::Link(target) => (Kind::Symlink(vec![b'a' + target].into()), 0o120_777),
            Node::Fifo => (Kind::Fifo, 0o010_644),
        };
        let mut metadata = Metadata::new(FileMode::from_stat(mode).unwrap());
        metadata.mtime = Timestamp::new(i64::from(*attribute), 0);
        resources.push(Resource {
            paths: vec![path],
            metadata,
            kind,
            carried: None,
        });
    }
    let manifest = Manifest {
        resources,
        ..Manifest::default()
    };
    let bytes = manifest.encode(Form::Full).unwrap();
    InodeTable::build(&bytes, &Limits::default(), RootOwner::default()).unwrap()
}

/// What a number must always mean.
fn content(inode: Inode<'_>) -> String {
    let kind = match inode.kind() {
        InodeKind::Directory(_) => "directory".to_owned(),
        kind => format!("{kind:?}"),
    };
    format!(
        "{:?} {kind} {:?}",
        inode.mode().file_type(),
        inode.digests()
    )
}

fn attributes(inode: Inode<'_>) -> String {
    format!("{:?} {} {:?}", inode.mode(), inode.links(), inode.mtime())
}

/// What the kernel remembers, if it was told everything of a table.
#[derive(Debug, PartialEq, Eq)]
struct Memory {
    entries: BTreeMap<(Ino, Vec<u8>), Ino>,
    names: BTreeMap<Ino, Vec<Vec<u8>>>,
    attributes: BTreeMap<Ino, String>,
}

impl Memory {
    fn of(table: &InodeTable) -> Self {
        let mut memory = Self {
            entries: BTreeMap::new(),
            names: BTreeMap::new(),
            attributes: BTreeMap::new(),
        };
        for inode in table.inodes() {
            memory.attributes.insert(inode.ino(), attributes(inode));
            if !matches!(inode.kind(), InodeKind::Directory(_)) {
                continue;
            }
            let mut names = Vec::new();
            for dirent in table.entries(inode, 0) {
                names.push(dirent.name.to_owned());
                let key = (inode.ino(), dirent.name.to_owned());
                memory.entries.insert(key, dirent.inode.ino());
            }
            memory.names.insert(inode.ino(), names);
        }
        memory
    }
}

/// That the kernel, when it has forgotten all that it was told to, remembers nothing
/// that is wrong about an inode that it can still reach.
fn check_changes(before: &InodeTable, after: &InodeTable, changes: &[Change]) {
    let (old, new) = (Memory::of(before), Memory::of(after));
    let changes: BTreeSet<_> = changes.iter().cloned().collect();
    for (key, ino) in old.entries.iter().chain(&new.entries) {
        let (parent, name) = key;
        // What does not lie in both cannot be reached, or is not remembered.
        let is_in_both = [&old, &new].iter().all(|m| m.names.contains_key(parent));
        if is_in_both && (old.entries.get(key) != Some(ino) || new.entries.get(key) != Some(ino)) {
            let entry = Change::Entry(*parent, name.clone().into());
            assert!(changes.contains(&entry), "{entry:?}");
        }
    }
    for (ino, names) in &new.names {
        if old.names.get(ino).is_some_and(|old| old != names) {
            assert!(changes.contains(&Change::Names(*ino)), "{ino:?}");
        }
    }
    for (ino, attributes) in &new.attributes {
        if old.attributes.get(ino).is_some_and(|old| old != attributes) {
            let told = [Change::Names(*ino), Change::Attributes(*ino)];
            assert!(
                told.iter().any(|change| changes.contains(change)),
                "{ino:?}"
            );
        }
    }
}

fn resolve<'t>(table: &'t InodeTable, path: &str) -> Inode<'t> {
    let mut names = path.split('/').skip(1);
    names
        .try_fold(table.get(Ino::ROOT).unwrap(), |inode, name| {
            table.lookup(inode, name.as_bytes())
        })
        .unwrap()
}

proptest! {
    #[test]
    fn a_number_means_one_thing(trees in prop::collection::vec(trees(), 2..6)) {
        let mut before = table(&trees[0]);
        let mut meant: HashMap<Ino, String> =
            before.inodes().map(|inode| (inode.ino(), content(inode))).collect();
        for (old_tree, tree) in trees.iter().zip(&trees[1..]) {
            let (after, changes) = table(tree).follow(&before).unwrap();
            // What was kept says the same, and again the same comes out.
            let kept = table(tree).with_numbers(&after.numbers().unwrap()).unwrap();
            let (again, same) = table(tree).follow(&before).unwrap();
            prop_assert_eq!(&changes, &same);
            prop_assert_eq!(Memory::of(&after), Memory::of(&kept));
            prop_assert_eq!(Memory::of(&after), Memory::of(&again));
            prop_assert_eq!(after.next_number(), kept.next_number());

            let olds: BTreeSet<_> = before.inodes().map(|inode| inode.ino()).collect();
            for inode in after.inodes() {
                prop_assert_eq!(after.get(inode.ino()).unwrap().path(), inode.path());
                // Either it goes on, or nothing ever had this number.
                let is_new = !olds.contains(&inode.ino());
                prop_assert_eq!(is_new, inode.ino().0 >= before.next_number());
                let content = content(inode);
                prop_assert_eq!(meant.entry(inode.ino()).or_insert(content.clone()), &content);
            }
            // What is the same under the same path goes on, but for files of which
            // names were joined or parted.
            for (path, (node, _)) in tree {
                let same = old_tree.get(path).is_some_and(|(old, _)| old == node);
                let is_alone = !matches!(node, Node::File { group: Some(_), .. });
                if same && is_alone {
                    prop_assert_eq!(resolve(&before, path).ino(), resolve(&after, path).ino());
                }
            }
            check_changes(&before, &after, &changes);
            before = after;
        }
    }

    #[test]
    fn nothing_changed_is_nothing_to_tell(tree in trees()) {
        let before = table(&tree);
        let (after, changes) = table(&tree).follow(&before).unwrap();
        prop_assert_eq!(changes, []);
        prop_assert_eq!(Memory::of(&before), Memory::of(&after));
    }
}
