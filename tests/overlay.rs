//! overlayfs on top of a mount, as container engines stack layers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod mounted;
mod stacked;
mod tree;

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

use continuity::digest::Algorithm;
use continuity::manifest::{Content, DeviceNumber, Form, Kind, Manifest, Metadata, Resource};
use continuity::mode::FileMode;
use continuity::path::ManifestPath;
use mounted::{Mount, run};
use stacked::Overlay;
use tempfile::TempDir;
use tree::{build, scratch, sh};

/// The layer below ours.
fn base(scratch: &TempDir) -> PathBuf {
    let base = scratch.path().join("base");
    fs::create_dir(&base).unwrap();
    sh(
        &base,
        "for d in opaque merged; do mkdir $d; echo old > $d/old; echo both > $d/both; done
         echo gone > gone; mkdir gone-dir; echo x > gone-dir/x; echo kept > kept",
    );
    base
}

fn hides(overlay: &Overlay) {
    assert_eq!(overlay.names(""), ["kept", "merged", "opaque"]);
    for name in ["gone", "gone-dir", "gone-dir/x", "opaque/old"] {
        assert!(!overlay.join(name).exists(), "{name}");
    }
    assert_eq!(overlay.names("opaque"), ["both", "new"]);
    assert_eq!(overlay.names("merged"), ["both", "new", "old"]);
    for directory in ["opaque", "merged"] {
        let both = fs::read(overlay.join(format!("{directory}/both"))).unwrap();
        assert_eq!(both, b"ours\n");
    }
    assert_eq!(fs::read(overlay.join("kept")).unwrap(), b"kept\n");
}

/// A tree with whiteouts and an opaque directory in overlayfs's own form.
fn native(scratch: &TempDir) -> PathBuf {
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).unwrap();
    sh(
        &tree,
        "for d in opaque merged; do mkdir $d; echo new > $d/new; echo ours > $d/both; done
         mknod gone c 0 0; mknod gone-dir c 0 0
         setfattr -n trusted.overlay.opaque -v y opaque || {
             echo 'setfattr (package attr) is needed' >&2; exit 1; }",
    );
    tree
}

#[test]
fn whiteouts_and_opaque_directories_of_a_tree_hide() {
    let scratch = scratch();
    let (base, tree) = (base(&scratch), native(&scratch));
    for form in [&[][..], &["--compat"]] {
        let manifest = build(&scratch, &tree, form);
        let mount = Mount::new(&manifest, &tree);
        let overlay = Overlay::new(scratch.path(), &[mount.path(), &base], "");
        hides(&overlay);
        drop(overlay);
        assert!(mount.unmount().success());
    }
}

#[test]
fn what_is_declared_portably_hides_too() {
    let scratch = scratch();
    let base = base(&scratch);
    let backing = scratch.path().join("backing");
    fs::create_dir(&backing).unwrap();
    let resource = |path: &str, st_mode: u32, kind| Resource {
        paths: vec![ManifestPath::parse(path.as_bytes()).unwrap()],
        metadata: Metadata::new(FileMode::from_stat(st_mode).unwrap()),
        kind,
        carried: None,
    };
    let mut resources = Vec::new();
    for directory in ["merged", "opaque"] {
        let mut declared = resource(&format!("/{directory}"), 0o040_755, Kind::Directory);
        declared.metadata.opaque = directory == "opaque";
        resources.push(declared);
        fs::create_dir(backing.join(directory)).unwrap();
        for (name, content) in [("both", "ours\n"), ("new", "new\n")] {
            let path = format!("/{directory}/{name}");
            fs::write(backing.join(&path[1..]), content).unwrap();
            let content = Content {
                size: content.len() as u64,
                digests: vec![Algorithm::Sha256.hash(content.as_bytes())],
                ..Content::default()
            };
            resources.push(resource(&path, 0o100_644, Kind::Regular(content)));
        }
    }
    for name in ["/gone", "/gone-dir"] {
        let number = DeviceNumber::new(0, 0).unwrap();
        let mut whiteout = resource(name, 0o020_000, Kind::CharDevice(number));
        whiteout.metadata.whiteout = true;
        resources.push(whiteout);
    }
    let manifest = Manifest {
        resources,
        ..Manifest::default()
    };
    let path = scratch.path().join("manifest");
    fs::write(&path, manifest.encode(Form::Full).unwrap()).unwrap();
    let mount = Mount::new(&path, &backing);
    // Overlays of those who are not root look for other attributes.
    for options in ["", ",userxattr"] {
        hides(&Overlay::new(
            scratch.path(),
            &[mount.path(), &base],
            options,
        ));
    }
    assert!(mount.unmount().success());
}

#[test]
fn hidden_attributes_show_again_what_was_hidden() {
    let scratch = scratch();
    let (base, tree) = (base(&scratch), native(&scratch));
    let manifest = build(&scratch, &tree, &[]);
    let mount = Mount::with(&manifest, &tree, &["-o", "no_overlay_xattrs"]);
    let overlay = Overlay::new(scratch.path(), &[mount.path(), &base], "");
    assert_eq!(overlay.names("opaque"), ["both", "new", "old"]);
    drop(overlay);
    assert!(mount.unmount().success());
}

#[test]
fn changes_are_made_on_top() {
    let scratch = scratch();
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).unwrap();
    sh(
        &tree,
        "echo text > file; echo mode > mode; ln file linked; mkdir -p dir/sub; echo in > dir/sub/in
         head -c 5000000 /dev/urandom > large; echo evil > bad
         setfattr -n user.k -v v file; chown 5:6 file; touch -d @77 file mode; chmod 640 file",
    );
    let manifest = build(&scratch, &tree, &[]);
    let large = fs::read(tree.join("large")).unwrap();
    fs::write(tree.join("bad"), "EVIL\n").unwrap();
    let mount = Mount::new(&manifest, &tree);
    let overlay = Overlay::new(scratch.path(), &[mount.path()], "");
    sh(
        overlay.path(),
        "echo more >> file; chmod 600 mode; printf x | dd of=large conv=notrunc status=none
         mv dir/sub/in dir/moved; rm -r dir/sub; echo new > dir/new; rm linked",
    );
    assert_eq!(fs::read(overlay.join("file")).unwrap(), b"text\nmore\n");
    let file = fs::metadata(overlay.join("file")).unwrap();
    assert_eq!((file.uid(), file.gid(), file.mode()), (5, 6, 0o100_640));
    let mode = fs::metadata(overlay.join("mode")).unwrap();
    assert_eq!((mode.mode(), mode.mtime()), (0o100_600, 77));
    let mut wanted = large;
    wanted[0] = b'x';
    assert!(fs::read(overlay.join("large")).unwrap() == wanted);
    assert_eq!(overlay.names("dir"), ["moved", "new"]);
    assert_eq!(fs::read(overlay.join("dir/moved")).unwrap(), b"in\n");
    assert!(!overlay.names("").contains(&"linked".to_owned()));
    let upper = fs::symlink_metadata(overlay.upper().join("linked")).unwrap();
    assert!(upper.file_type().is_char_device() && upper.rdev() == 0);
    let kept = run(
        "getfattr",
        [
            "-n",
            "user.k",
            "--only-values",
            overlay.join("file").to_str().unwrap(),
        ],
    );
    assert_eq!(kept, "v");

    // What cannot be verified cannot be copied up either.
    let bad = overlay.join("bad");
    fs::read(&bad).unwrap_err();
    fs::OpenOptions::new().append(true).open(&bad).unwrap_err();
    assert!(!overlay.upper().join("bad").exists());

    // Nothing reached the mount.
    assert_eq!(fs::read(mount.join("file")).unwrap(), b"text\n");
    drop(overlay);
    assert!(mount.unmount().success());
}
