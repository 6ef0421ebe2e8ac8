//! The mount shows the tree, and nothing but the tree.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod mounted;
mod snapshot;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use continuity::digest::Algorithm;
use continuity::manifest::{Content, Form, Kind, Manifest, Metadata, Resource};
use continuity::mode::FileMode;
use continuity::path::ManifestPath;
use mounted::Mount;
use rustix::fs::FileType;
use rustix::io::Errno;
use snapshot::{Snapshot, Xattrs, entries, entries_of, snapshot, xattr};
use tempfile::TempDir;
use tree::{build, make, scratch, sh};

/// What diff(1) has to say of two trees. Special files it never takes for
/// equal, and says so even where both are of one kind.
fn diff(one: &Path, other: &Path) -> Vec<String> {
    let output = Command::new("diff")
        .args(["-r", "--no-dereference"])
        .args([one, other])
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| !is_same_kind(line))
        .map(str::to_owned)
        .collect()
}

/// `File A is a fifo while file B is a fifo`.
fn is_same_kind(line: &str) -> bool {
    line.strip_prefix("File ")
        .and_then(|line| line.split_once(" while file "))
        .and_then(|(one, other)| Some((one.rsplit_once(" is a ")?, other.rsplit_once(" is a ")?)))
        .is_some_and(|((_, one), (_, other))| one == other)
}

/// What a mount of the tree has to show.
fn declared(tree: &Path, form: Form) -> Snapshot {
    let mut wanted = snapshot(tree);
    for (path, seen) in &mut wanted {
        seen.blocks = match seen.file_type() {
            FileType::RegularFile => seen.size.unwrap().div_ceil(512),
            _ => 0,
        };
        // Each name of a symlink is a resource of its own, as in the Go tool.
        if seen.file_type() == FileType::Symlink {
            seen.nlink = 1;
        }
        if form == Form::Full {
            continue;
        }
        seen.mtime = (0, 0);
        // The Go tool writes attributes of files and directories only.
        if !matches!(
            seen.file_type(),
            FileType::RegularFile | FileType::Directory
        ) {
            seen.xattrs.clear();
        }
        if path.as_os_str().is_empty() {
            seen.xattrs.clear();
        }
    }
    wanted
}

/// Compares everything but inode numbers, and those by what they mean: the
/// same number is the same file.
fn compare(wanted: &Snapshot, found: &Snapshot) {
    let names = |snapshot: &Snapshot| snapshot.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(wanted), names(found));
    for (path, wanted) in wanted {
        let mut found = found[path].clone();
        found.ino = wanted.ino;
        assert_eq!(*wanted, found, "{path:?}");
    }
}

/// Names by inode, where there is more than one.
fn groups(snapshot: &Snapshot) -> Vec<Vec<PathBuf>> {
    let mut groups: BTreeMap<u64, Vec<PathBuf>> = BTreeMap::new();
    for (path, seen) in snapshot {
        if seen.nlink > 1 && seen.file_type() != FileType::Directory {
            groups.entry(seen.ino).or_default().push(path.clone());
        }
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort();
    groups
}

#[test]
fn a_tree_of_everything_is_shown_as_it_is() {
    let scratch = scratch();
    let tree = make(&scratch, &[]);
    // Times before 1970, with nanoseconds, and a root that is not the default.
    sh(
        &tree,
        "touch -d @1234567890.123456789 regular/empty
         touch -d '1960-01-01 00:00:00.5 UTC' regular/one-byte
         touch -h -d @7.000000001 symlinks/dangling
         touch -d @8.9 devices/fifo many
         chown 3:4 . && chmod 1751 . && touch -d @9.1 .",
    );
    let manifest = build(&scratch, &tree, &[]);
    let mount = Mount::new(&manifest, &tree);
    assert_eq!(diff(&tree, mount.path()), [""; 0]);
    let wanted = declared(&tree, Form::Full);
    let found = snapshot(mount.path());
    compare(&wanted, &found);
    assert_eq!(groups(&wanted), groups(&found));
    assert_eq!(groups(&found).len(), 8);
    let numbers: BTreeSet<_> = found.values().map(|seen| seen.ino).collect();
    let again: usize = groups(&found).iter().map(|names| names.len() - 1).sum();
    assert_eq!(numbers.len() + again, found.len());
    assert_eq!(found[Path::new("")].ino, 1);

    // What was compared is there to be compared.
    let has = |path: &str, name: &str| {
        found[Path::new(path)]
            .xattrs
            .contains_key(name.as_ref() as &std::ffi::OsStr)
    };
    for (path, name) in [
        ("xattrs/trusted", "trusted.secret"),
        ("xattrs/link", "trusted.on-link"),
        ("xattrs/capability", "security.capability"),
        ("devices/fifo", "trusted.k"),
        ("devices/null", "trusted.k"),
        ("acl/file", "system.posix_acl_access"),
        ("acl/dir", "system.posix_acl_default"),
    ] {
        assert!(has(path, name), "{path}: {name}");
    }

    // Numbers do not change from mount to mount, and there is one device.
    let again = Mount::new(&manifest, &tree);
    assert_eq!(snapshot(again.path()), found);
    let device = fs::metadata(mount.path()).unwrap().dev();
    for path in found.keys() {
        let metadata = fs::symlink_metadata(mount.join(path)).unwrap();
        assert_eq!(metadata.dev(), device);
    }
    assert!(again.unmount().success());
    assert!(mount.unmount().success());

    a_manifest_of_the_go_tool(&scratch, &tree);
}

/// Part of the test above, to make the tree once.
fn a_manifest_of_the_go_tool(scratch: &TempDir, tree: &Path) {
    let manifest = build(scratch, tree, &["--compat"]);
    let mount = Mount::new(&manifest, tree);
    assert_eq!(diff(tree, mount.path()), [""; 0]);
    let mut wanted = declared(tree, Form::Compat);
    let root = wanted.get_mut(Path::new("")).unwrap();
    // Not in it: as the one who mounts has it.
    (root.mode, root.uid, root.gid) = (0o040_755, 0, 0);
    compare(&wanted, &snapshot(mount.path()));
    assert!(mount.unmount().success());
}

#[test]
fn statfs_and_names_that_are_not_there() {
    let scratch = scratch();
    let tree = make(&scratch, &["regular", "xattrs"]);
    let manifest = build(&scratch, &tree, &[]);
    let mount = Mount::new(&manifest, &tree);
    let files = snapshot(mount.path());

    let statfs = rustix::fs::statfs(mount.path()).unwrap();
    const FUSE_SUPER_MAGIC: u64 = 0x6573_5546;
    assert_eq!(statfs.f_type as u64, FUSE_SUPER_MAGIC);
    assert_eq!(statfs.f_namelen, 255);
    assert_eq!((statfs.f_bsize, statfs.f_frsize), (4096, 4096));
    let bytes: u64 = files
        .values()
        .filter(|seen| seen.file_type() == FileType::RegularFile)
        .map(|seen| seen.size.unwrap())
        .sum();
    assert_eq!(statfs.f_blocks, bytes.div_ceil(4096));
    assert_eq!(statfs.f_files, files.len() as u64);
    assert_eq!((statfs.f_bfree, statfs.f_bavail, statfs.f_ffree), (0, 0, 0));

    let errno = |path: &str| {
        let error = fs::symlink_metadata(mount.join(path)).unwrap_err();
        Errno::from_io_error(&error).unwrap()
    };
    // The second time the kernel knows.
    for _ in 0..2 {
        assert_eq!(errno("nothing"), Errno::NOENT);
        assert_eq!(errno("regular/nothing/below"), Errno::NOENT);
        assert_eq!(errno("regular/empty/below"), Errno::NOTDIR);
        assert_eq!(errno(&"n".repeat(255)), Errno::NOENT);
        assert_eq!(errno(&"n".repeat(256)), Errno::NAMETOOLONG);
    }

    let file = mount.join("xattrs/user");
    assert_eq!(xattr(&file, "user.comment").unwrap(), b"hello");
    let mut short = [0; 4];
    for _ in 0..2 {
        assert_eq!(
            rustix::fs::lgetxattr(&file, "user.comment", &mut short[..]),
            Err(Errno::RANGE)
        );
        assert_eq!(
            rustix::fs::llistxattr(&file, &mut short[..]),
            Err(Errno::RANGE)
        );
        assert_eq!(xattr(&file, "user.nothing"), Err(Errno::NODATA));
        assert_eq!(xattr(&file, "trusted.nothing"), Err(Errno::NODATA));
        assert_eq!(xattr(&file, "system.posix_acl_access"), Err(Errno::NODATA));
        // Nobody's namespace.
        assert_eq!(xattr(&file, "x"), Err(Errno::NODATA));
    }
    // The kernel itself keeps user attributes from what is no file.
    assert_eq!(
        xattr(&mount.join("xattrs/link"), "user.comment"),
        Err(Errno::NODATA)
    );
    assert!(mount.unmount().success());
}

#[test]
fn where_there_are_no_attributes_the_kernel_stops_asking() {
    let scratch = scratch();
    let tree = make(&scratch, &["sort"]);
    let manifest = build(&scratch, &tree, &[]);
    let mount = Mount::new(&manifest, &tree);
    let file = mount.join("sort/b");
    for name in ["user.comment", "trusted.x", "security.capability"] {
        assert_eq!(xattr(&file, name), Err(Errno::OPNOTSUPP), "{name}");
    }
    assert_eq!(snapshot::xattrs(&file), Xattrs::new());
    assert!(mount.unmount().success());
}

/// A manifest of these files and directories, which are written nowhere.
fn write_manifest(scratch: &TempDir, resources: Vec<Resource>) -> PathBuf {
    let manifest = Manifest {
        resources,
        ..Manifest::default()
    };
    let path = scratch.path().join("manifest");
    fs::write(&path, manifest.encode(Form::Full).unwrap()).unwrap();
    path
}

fn file(path: &str, content: &[u8]) -> Resource {
    let content = Content {
        size: content.len() as u64,
        digests: vec![Algorithm::Sha256.hash(content)],
        ..Content::default()
    };
    resource(path, 0o100_644, Kind::Regular(content))
}

fn resource(path: &str, st_mode: u32, kind: Kind) -> Resource {
    Resource {
        paths: vec![ManifestPath::parse(path.as_bytes()).unwrap()],
        metadata: Metadata::new(FileMode::from_stat(st_mode).unwrap()),
        kind,
        carried: None,
    }
}

#[test]
fn a_directory_of_100_000_entries() {
    const COUNT: usize = 100_000;
    let scratch = scratch();
    let name = |number: usize| format!("entry-{number:06}");
    let resources = (0..COUNT)
        .map(|number| file(&format!("/big/{}", name(number)), b""))
        .collect();
    let manifest = write_manifest(&scratch, resources);
    let backing = scratch.path().join("backing");
    fs::create_dir(&backing).unwrap();
    let mount = Mount::new(&manifest, &backing);
    let big = mount.join("big");

    // The smaller buffer comes last, when the kernel has the entries already.
    let all = entries(&big, 1 << 16);
    assert_eq!(entries(&big, 300), all);
    assert_eq!(all.len(), COUNT + 2);
    assert!(all[0].name == "." && all[1].name == "..");
    for (number, entry) in all[2..].iter().enumerate() {
        assert_eq!(entry.name.to_str(), Some(&*name(number)));
        assert_eq!(entry.file_type, FileType::RegularFile);
    }
    // seekdir(3) to any entry that telldir(3) has told.
    let mut directory = File::open(&big).unwrap();
    for at in [99_000, 98_765, COUNT + 1] {
        directory.seek(SeekFrom::Start(all[at].next)).unwrap();
        assert_eq!(entries_of(&directory, 4096), all[at + 1..]);
    }
    directory.rewind().unwrap();
    assert_eq!(entries_of(&directory, 4096).len(), COUNT + 2);
    drop(directory);
    assert_eq!(fs::metadata(&big).unwrap().nlink(), 2);

    // Another mount, and the small buffer comes first.
    assert!(mount.unmount().success());
    let mount = Mount::new(&manifest, &backing);
    assert_eq!(entries(&mount.join("big"), 300), all);
    assert!(mount.unmount().success());
}

#[test]
fn a_tree_of_1000_levels() {
    let scratch = scratch();
    let deep = "/d".repeat(1000);
    let manifest = write_manifest(&scratch, vec![file(&format!("{deep}/bottom"), b"bottom")]);
    let backing = scratch.path().join("backing");
    let below = format!("{}{deep}", backing.display());
    fs::create_dir_all(&below).unwrap();
    fs::write(format!("{below}/bottom"), "bottom").unwrap();
    let mount = Mount::new(&manifest, &backing);
    let bottom = mount.join(format!("{}/bottom", &deep[1..]));
    assert_eq!(fs::read(&bottom).unwrap(), b"bottom");
    assert_eq!(snapshot(mount.path()).len(), 1002);
    mount.wait_for("event=implied 1000 directories");
    assert!(mount.unmount().success());
}
