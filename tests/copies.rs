//! Private copies of large files, which the kernel reads by itself.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod mounted;
mod tree;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use continuity::digest::Algorithm;
use continuity::fs::{CopyCache, Filesystem, Presentation};
use continuity::fuse::{MountOptions, Session, Unserved};
use continuity::inode::{InodeTable, RootOwner};
use continuity::manifest::{Content, Form, Kind, Limits, Manifest, Metadata, Resource};
use continuity::mode::FileMode;
use continuity::path::ManifestPath;
use continuity::source::{ContentRef, Source, SourceError, SourceFile};
use continuity::sys::PrivateDirectory;
use continuity::verify::{self, Verifier};
use mounted::{Mount, copies_counted, run, wait_until};
use tempfile::TempDir;
use tree::{build, continuity, scratch, set_mode, text};

const MIB: usize = 1 << 20;

/// A tree, its manifest, and a directory for copies.
struct Scene {
    scratch: TempDir,
    manifest: PathBuf,
}

impl Scene {
    /// Files with these names and sizes, in bytes.
    fn new(files: &[(&str, usize)], build_options: &[&str]) -> Self {
        let scratch = scratch();
        Self::within(scratch, files, build_options)
    }

    fn within(scratch: TempDir, files: &[(&str, usize)], build_options: &[&str]) -> Self {
        for name in ["tree", "cache"] {
            let path = scratch.path().join(name);
            if !path.exists() {
                fs::create_dir(&path).unwrap();
            }
            set_mode(&path, 0o755);
        }
        let tree = scratch.path().join("tree");
        for (name, size) in files {
            fs::write(tree.join(name), content(name, *size)).unwrap();
            set_mode(&tree.join(name), 0o755);
        }
        let manifest = build(&scratch, &tree, build_options);
        Self { scratch, manifest }
    }

    fn tree(&self) -> PathBuf {
        self.scratch.path().join("tree")
    }

    fn cache(&self) -> PathBuf {
        self.scratch.path().join("cache")
    }

    fn mount(&self, cache_max: &str) -> Mount {
        let list = format!(
            "introspect,cache_dir={},cache_max={cache_max}",
            self.cache().display()
        );
        Mount::with(&self.manifest, &self.tree(), &["-v", "-o", &list])
    }
}

/// Bytes that tell which file they are of, and where in it.
fn content(name: &str, size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + 64);
    let mut number = 0_u64;
    while bytes.len() < size {
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(name.as_bytes());
        number += 1;
    }
    bytes.truncate(size);
    bytes
}

fn count(mount: &Mount, what: &str) -> u64 {
    copies_counted(mount.path(), what)
}

fn tmpfs(path: &Path, options: &str) -> Place {
    let place = path.to_str().unwrap();
    run("mount", ["-t", "tmpfs", "-o", options, "copies", place]);
    Place(path.to_owned())
}

/// A place where something is mounted, until this is dropped.
struct Place(PathBuf);

impl Place {
    /// How many bytes are in use.
    fn used(&self) -> u64 {
        let found = rustix::fs::statvfs(&self.0).unwrap();
        (found.f_blocks - found.f_bfree) * found.f_frsize
    }

    fn wait_until_empty(&self) {
        wait_until(|| self.used() == 0, || format!("{} used", self.used()));
        assert_eq!(fs::read_dir(&self.0).unwrap().count(), 0);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn the_same_bytes_however_they_are_read() {
    let read_mapped = "\
import mmap, os, sys
mounted, wanted = open(sys.argv[1], 'rb'), open(sys.argv[2], 'rb').read()
assert bytes(mmap.mmap(mounted.fileno(), 0, prot=mmap.PROT_READ)) == wanted
out = os.memfd_create('out')
offset = 0
while offset < len(wanted):
    offset += os.sendfile(out, mounted.fileno(), offset, len(wanted) - offset)
assert os.pread(out, len(wanted), 0) == wanted";
    for options in [&["--compat"][..], &["--chunk-threshold=1"]] {
        let size = 3 * MIB + 4097;
        let scene = Scene::new(&[("file", size), ("small", 5000)], options);
        fs::copy("/bin/bash", scene.tree().join("program")).unwrap();
        build(&scene.scratch, &scene.tree(), options);
        let mount = scene.mount("100M");
        let wanted = content("file", size);
        assert!(fs::read(mount.join("file")).unwrap() == wanted);
        // O_DIRECT, with buffers as the disk wants them.
        let copied = scene.scratch.path().join("copied");
        run(
            "dd",
            [
                "iflag=direct".to_owned(),
                "bs=64K".to_owned(),
                "status=none".to_owned(),
                format!("if={}", mount.join("file").display()),
                format!("of={}", copied.display()),
            ],
        );
        assert!(fs::read(copied).unwrap() == wanted);
        let found = File::open(mount.join("file")).unwrap();
        let mut page = [0; 4096];
        found.read_exact_at(&mut page, 12_345).unwrap();
        assert!(page == wanted[12_345..12_345 + 4096]);
        run(
            "python3",
            [
                "-c".as_ref(),
                read_mapped.as_ref(),
                mount.join("file").as_os_str(),
                scene.tree().join("file").as_os_str(),
            ],
        );
        let said = run(
            mount.join("program").to_str().unwrap(),
            ["-c", "echo it runs"],
        );
        assert_eq!(said, "it runs\n");
        assert_eq!(
            fs::read(mount.join("small")).unwrap(),
            content("small", 5000)
        );
        let metadata = found.metadata().unwrap();
        assert_eq!(
            (metadata.len(), metadata.atime()),
            (size as u64, metadata.mtime())
        );
        let program = fs::metadata("/bin/bash").unwrap().len();
        assert_eq!(count(&mount, "made"), 2);
        assert_eq!(count(&mount, "bytes"), size as u64 + program);
        assert!(count(&mount, "opens") >= 5);
        assert_eq!(count(&mount, "failed"), 0);
        drop(found);
        assert!(mount.unmount().success());
        assert_eq!(fs::read_dir(scene.cache()).unwrap().count(), 0);
    }
}

#[test]
fn ten_who_open_at_once_share_one_copy() {
    let scene = Scene::new(&[("file", 24 * MIB)], &["--compat"]);
    let mount = scene.mount("100M");
    let wanted = content("file", 24 * MIB);
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| assert!(fs::read(mount.join("file")).unwrap() == wanted));
        }
    });
    assert_eq!((count(&mount, "made"), count(&mount, "opens")), (1, 10));
}

#[test]
fn copies_make_room_for_others_but_not_while_they_are_open() {
    let files: Vec<String> = (0..6).map(|number| format!("file{number}")).collect();
    let list: Vec<_> = files.iter().map(|name| (name.as_str(), 2 * MIB)).collect();
    let scene = Scene::new(&list, &["--compat"]);
    let room = tmpfs(&scene.cache(), "size=16m,mode=755");
    let mount = scene.mount("5M");
    let held = File::open(mount.join("file0")).unwrap();
    for _ in 0..2 {
        for name in &files {
            assert!(fs::read(mount.join(name)).unwrap() == content(name, 2 * MIB));
            assert!(room.used() <= 5 * MIB as u64);
        }
    }
    assert!(count(&mount, "evicted") > 0);
    let mut bytes = vec![0; 2 * MIB];
    held.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes == content("file0", 2 * MIB));
    // No room while two are open: served all the same.
    let mut other = None;
    wait_until(
        || {
            // What was closed just now may still take room.
            let before = count(&mount, "opens");
            other = Some(File::open(mount.join("file1")).unwrap());
            count(&mount, "opens") > before
        },
        || "never opened with its copy".to_owned(),
    );
    let made = count(&mount, "made");
    assert!(fs::read(mount.join("file2")).unwrap() == content("file2", 2 * MIB));
    assert_eq!(count(&mount, "made"), made);
    drop((held, other));
    assert!(mount.unmount().success());
    room.wait_until_empty();
}

#[test]
fn a_full_disk_is_no_error_of_a_reader() {
    let scene = Scene::new(&[("file", 6 * MIB), ("other", 2 * MIB)], &["--compat"]);
    let room = tmpfs(&scene.cache(), "size=4m,mode=755");
    let mount = scene.mount("100M");
    for name in ["file", "other", "file"] {
        let size = fs::metadata(scene.tree().join(name)).unwrap().len();
        assert!(fs::read(mount.join(name)).unwrap() == content(name, size as usize));
    }
    mount.wait_for("event=copy_failed size=6291456 no private copies for 60 s: ");
    assert_eq!((count(&mount, "made"), count(&mount, "failed")), (0, 1));
    assert!(mount.unmount().success());
    room.wait_until_empty();
}

#[test]
fn nothing_is_left_when_the_server_is_killed() {
    let scene = Scene::new(&[("file", 3 * MIB)], &["--compat"]);
    let room = tmpfs(&scene.cache(), "size=16m,mode=755");
    let mut mount = scene.mount("100M");
    let wanted = content("file", 3 * MIB);
    let mut open = File::open(mount.join("file")).unwrap();
    assert!(room.used() >= 3 * MIB as u64);
    assert_eq!(fs::read_dir(scene.cache()).unwrap().count(), 0);
    mount.kill();
    // Who has it open needs no server.
    let mut bytes = Vec::new();
    open.read_to_end(&mut bytes).unwrap();
    assert!(bytes == wanted);
    drop(open);
    drop(mount);
    room.wait_until_empty();
}

#[test]
fn unmounting_frees_the_copies_when_nobody_uses_them() {
    let scene = Scene::new(&[("file", 3 * MIB), ("other", 2 * MIB)], &["--compat"]);
    let room = tmpfs(&scene.cache(), "size=16m,mode=755");
    let mut mount = scene.mount("100M");
    let open = File::open(mount.join("file")).unwrap();
    fs::read(mount.join("other")).unwrap();
    mount.signal("TERM");
    wait_until(|| !mount.is_mounted(), || "still mounted".to_owned());
    let mut page = [0; 4096];
    open.read_exact_at(&mut page, 0).unwrap();
    assert!(page == content("file", 4096)[..]);
    drop(open);
    assert!(mount.wait().success());
    room.wait_until_empty();
    mount.wait_for("event=copies made=2 bytes=5242880 failed=0 opens=2 evicted=0");
}

/// Opened without a copy, since it can be read in parts; copied when it is
/// closed, since it was read.
#[test]
fn a_file_that_can_be_read_in_parts_is_copied_after_it_was_read() {
    let size = 65 * MIB;
    let scene = Scene::new(&[("file", size)], &[]);
    let mount = scene.mount("100M");
    let wanted = content("file", size);
    let mut page = [0; 4096];
    let open = File::open(mount.join("file")).unwrap();
    open.read_exact_at(&mut page, 40 << 20).unwrap();
    assert!(page == wanted[40 << 20..(40 << 20) + 4096]);
    assert!(fs::read(mount.join("file")).unwrap() == wanted);
    assert_eq!(count(&mount, "made"), 0);
    drop(open);
    wait_until(|| count(&mount, "made") == 1, || mount.log());
    assert_eq!(count(&mount, "opens"), 0);
    assert!(fs::read(mount.join("file")).unwrap() == wanted);
    assert_eq!(count(&mount, "opens"), 1);
}

#[test]
fn an_overlay_can_be_on_top() {
    let scene = Scene::new(&[("file", 3 * MIB)], &["--compat"]);
    let mount = scene.mount("100M");
    let at = |name: &str| {
        let path = scene.scratch.path().join(name);
        fs::create_dir(&path).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (upper, work, merged) = (at("upper"), at("work"), at("merged"));
    let options = format!(
        "lowerdir={},upperdir={upper},workdir={work}",
        mount.path().display()
    );
    run(
        "mount",
        ["-t", "overlay", "overlay", "-o", &options, &merged],
    );
    let overlay = Place(merged.into());
    let file = overlay.0.join("file");
    let mut wanted = content("file", 3 * MIB);
    assert!(fs::read(&file).unwrap() == wanted);
    let mut changed = File::options().append(true).open(&file).unwrap();
    changed.write_all(b"more").unwrap();
    assert!(fs::read(mount.join("file")).unwrap() == wanted);
    wanted.extend_from_slice(b"more");
    assert!(fs::read(&file).unwrap() == wanted);
    assert!(count(&mount, "opens") >= 3);
    drop(overlay);
}

/// On a filesystem that can share blocks, a copy takes none.
#[test]
fn copies_share_the_blocks_of_the_backing_where_they_can() {
    let scratch = scratch();
    let image = scratch.path().join("image");
    File::create(&image).unwrap().set_len(256 << 20).unwrap();
    let (disk, place) = (image.to_str().unwrap(), scratch.path().join("disk"));
    fs::create_dir(&place).unwrap();
    run("mkfs.btrfs", ["-q", disk]);
    run("mount", ["-o", "loop", disk, place.to_str().unwrap()]);
    let disk = Place(place.clone());
    let size = 40 * MIB;
    let inner = tempfile::tempdir_in(&place).unwrap();
    let scene = Scene::within(inner, &[("file", size)], &["--compat"]);
    let used = || {
        run("sync", ["-f", place.to_str().unwrap()]);
        disk.used()
    };
    let before = used();
    let mount = scene.mount("100M");
    let open = File::open(mount.join("file")).unwrap();
    assert_eq!((count(&mount, "made"), count(&mount, "opens")), (1, 1));
    let after = used();
    assert!(after < before + 8 * MIB as u64, "{before} {after}");
    // What becomes of the backing is nothing to the copy.
    fs::write(scene.tree().join("file"), vec![0; size]).unwrap();
    let mut bytes = vec![0; size];
    open.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes == content("file", size));
    drop(open);
    assert!(mount.unmount().success());
}

#[test]
fn says_what_is_wrong_with_the_directory() {
    let scene = Scene::new(&[("file", 10)], &[]);
    let cache = scene.cache();
    let place = scene.scratch.path().join("mount");
    fs::create_dir(&place).unwrap();
    let say = |list: &str| {
        let output = continuity([
            "mount".as_ref(),
            "-o".as_ref(),
            list.as_ref(),
            place.as_os_str(),
            scene.manifest.as_os_str(),
            scene.tree().as_os_str(),
        ]);
        assert_eq!(output.status.code(), Some(2), "{list}");
        text(&output.stderr)
    };
    let both = format!("cache_dir={},cache_max=1G", cache.display());
    for list in ["cache_max=1G", both.split(',').next().unwrap()] {
        assert!(say(list).contains("cache_dir=DIR and cache_max=SIZE go together"));
    }
    set_mode(&cache, 0o777);
    assert!(say(&both).contains("its mode is 777; only its owner may be able to write to it"));
    set_mode(&cache, 0o700);
    std::os::unix::fs::chown(&cache, Some(1234), None).unwrap();
    assert!(say(&both).contains("it belongs to user 1234; it must belong to root"));
    fs::remove_dir(&cache).unwrap();
    assert!(say(&both).contains("No such file or directory"));
    // Served by a program that may change what is kept there.
    fs::create_dir(&cache).unwrap();
    let other = Scene::new(&[("file", 10)], &[]);
    let served = Mount::new(&other.manifest, &other.tree());
    let list = format!("cache_dir={},cache_max=1G", served.path().display());
    assert!(say(&list).contains("it lies on a FUSE filesystem"));
}

/// A source whose files `/slow…` say nothing until its gate is opened.
#[derive(Clone, Debug, Default)]
struct Gated(Arc<(Mutex<bool>, Condvar)>);

#[derive(Debug)]
struct GatedFile {
    source: Gated,
    is_slow: bool,
    content: Vec<u8>,
}

impl Gated {
    fn open_gate(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

impl Source for Gated {
    fn open(&self, wanted: &ContentRef<'_>) -> Result<Box<dyn SourceFile>, SourceError> {
        let name = wanted.path.relative().to_str().unwrap();
        Ok(Box::new(GatedFile {
            source: self.clone(),
            is_slow: name.starts_with("slow"),
            content: content(name, wanted.size as usize),
        }))
    }
}

impl SourceFile for GatedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        let (gate, opened) = &*self.source.0;
        let open = gate.lock().unwrap();
        drop(
            opened
                .wait_while(open, |open| self.is_slow && !*open)
                .unwrap(),
        );
        (&self.content[(offset as usize).min(self.content.len())..]).read(buffer)
    }
}

#[test]
fn an_open_does_not_wait_for_ever() {
    const SIZE: usize = 2 * MIB;
    const PATIENCE: Duration = Duration::from_millis(500);
    // More than threads that make copies, and those that replace them.
    let names = [
        "fast", "slow0", "slow1", "slow2", "slow3", "slow4", "slow5", "slow6", "slow7", "slow8",
    ];
    let resources = names.map(|name| Resource {
        paths: vec![ManifestPath::parse(format!("/{name}").as_bytes()).unwrap()],
        metadata: Metadata::new(FileMode::from_stat(0o100_644).unwrap()),
        kind: Kind::Regular(Content {
            size: SIZE as u64,
            digests: vec![Algorithm::Sha256.hash(&content(name, SIZE))],
            ..Content::default()
        }),
        carried: None,
    });
    let manifest = Manifest {
        resources: resources.into(),
        ..Manifest::default()
    };
    let bytes = manifest.encode(Form::Full).unwrap();
    let table = InodeTable::build(&bytes, &Limits::default(), RootOwner::default()).unwrap();
    let source = Gated::default();
    let verifier = Verifier::new(Box::new(source.clone()), verify::Options::default()).unwrap();
    let scratch = scratch();
    let directory = PrivateDirectory::open(scratch.path()).unwrap();
    let ledger = tempfile::tempfile().unwrap();
    let mut cache = CopyCache::new(directory, ledger, 100 << 20);
    cache.patience = PATIENCE;
    let options = Presentation {
        introspect: true,
        ..Presentation::default()
    };
    let filesystem = Filesystem::new(table, verifier, options, None).with_cache(cache);
    let place = scratch.path().join("mount");
    fs::create_dir(&place).unwrap();
    let options = MountOptions {
        source: "gated".into(),
        ..MountOptions::default()
    };
    let _gone = Place(place.clone());
    let unserved = Unserved::mount(&place, options).unwrap();
    filesystem.mounted(unserved.device_number());
    let device = unserved.connection().as_fd().try_clone_to_owned().unwrap();
    let session = Session::start(device, Arc::new(filesystem)).unwrap();
    let server = thread::spawn(|| session.serve());
    let mount = unserved.attach(None).unwrap();
    let open = |name: &str| {
        let start = Instant::now();
        (File::open(place.join(name)).unwrap(), start.elapsed())
    };
    let (fast, _) = open("fast");
    let (slow, waited) = open("slow0");
    assert!(waited >= PATIENCE, "{waited:?}");
    // While a copy is overdue, nobody waits for it.
    assert!(open("slow0").1 < PATIENCE);
    // As soon as all who make copies are stuck, nobody waits for any.
    let waits: Vec<Duration> = names[1..].iter().map(|name| open(name).1).collect();
    assert!(waits[8] < PATIENCE, "{waits:?}");
    source.open_gate();
    let mut bytes = vec![0; SIZE];
    for (file, name) in [(fast, "fast"), (slow, "slow0")] {
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert!(bytes == content(name, SIZE), "{name}");
    }
    let is_native = || {
        let opens = copies_counted(&place, "opens");
        assert!(fs::read(place.join("slow0")).unwrap() == content("slow0", SIZE));
        copies_counted(&place, "opens") > opens
    };
    wait_until(is_native, || "never read from the copy".to_owned());
    mount.detach().unwrap();
    server.join().unwrap().unwrap();
}
