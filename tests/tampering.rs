//! Whatever is done to the backing, and whenever: the mount gives the declared
//! bytes or an I/O error, says which file it was, and is well again as soon as
//! the backing is.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod mounted;
mod tree;

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mounted::{Mount, in_time, run};
use rustix::fs::{Advice, CWD, FileType, Mode};
use tempfile::TempDir;
use tree::{continuity, scratch, set_mode, sh, text};

const PAGE: u64 = 4096;
const EIO: i32 = 5;

/// Mount options that say what the server keeps.
type Caches = &'static str;

/// Every test runs with the caches as they are, and with caches that hold next
/// to nothing, so that whatever is used again has been put out before. The
/// module in its name tells which it was.
macro_rules! with_all_caches {
    ($($name:ident)*) => {
        with_all_caches!(usual: ""; $($name)*);
        with_all_caches!(smallest: "block_cache=0,table_cache=0,open_files=1"; $($name)*);
    };
    ($module:ident: $caches:literal; $($name:ident)*) => {
        mod $module {
            $(
                #[test]
                fn $name() {
                    super::$name($caches);
                }
            )*
        }
    };
}

with_all_caches! {
    small_files_damaged_before_reading
    small_files_damaged_between_reads
    chunked_files_damaged_before_reading
    chunked_files_damaged_between_reads
    large_files_damaged_before_reading
    large_files_damaged_between_reads
    copies_of_files_damaged_before_opening
    copies_of_files_damaged_after_opening
    damaged_before_mounting
    what_was_given_stays
    one_bad_chunk_is_exactly_its_pages
    a_tampered_program_does_not_run
    a_tampered_page_is_not_mapped
    names_cannot_forge_the_log
    a_reader_cannot_flood_the_log
    readers_of_what_is_being_changed
    readers_of_copies_of_what_is_being_changed
    readers_of_what_is_being_exchanged
    readers_of_copies_of_what_is_being_exchanged
}

/// How a file is declared.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Small, with a digest of the whole.
    Small,
    /// With a table of chunks of 64 KiB.
    Chunked,
    /// Large, with a digest of the whole and nothing else.
    Large,
}

impl Kind {
    fn size(self) -> usize {
        match self {
            Self::Small => 20_007,
            Self::Chunked | Self::Large => (2 << 20) + 4097,
        }
    }

    fn build(self, tree: &Path, manifest: &Path) {
        let options: &[&str] = match self {
            Self::Small => &[],
            Self::Chunked => &["--chunk-threshold=1", "--chunk-size=65536"],
            Self::Large => &["--compat"],
        };
        build(tree, manifest, options);
    }
}

fn build(tree: &Path, manifest: &Path, options: &[&str]) {
    let built = continuity(
        ["build", "-o", manifest.to_str().unwrap()]
            .into_iter()
            .chain(options.iter().copied())
            .chain([tree.to_str().unwrap()]),
    );
    assert!(built.status.success(), "{}", text(&built.stderr));
}

/// Bytes that do not repeat from page to page.
fn content(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// A backing with one file, `dir/file`, its manifest, and what is declared.
struct Scene {
    scratch: TempDir,
    declared: Vec<u8>,
    caches: Caches,
}

impl Scene {
    fn new(kind: Kind, caches: Caches) -> Self {
        let scratch = scratch();
        let declared = content(kind.size(), 1);
        fs::create_dir_all(scratch.path().join("tree/dir")).unwrap();
        fs::write(scratch.path().join("tree/dir/file"), &declared).unwrap();
        kind.build(
            &scratch.path().join("tree"),
            &scratch.path().join("manifest"),
        );
        Self {
            scratch,
            declared,
            caches,
        }
    }

    fn tree(&self) -> PathBuf {
        self.scratch.path().join("tree")
    }

    fn file(&self) -> PathBuf {
        self.tree().join("dir/file")
    }

    fn mount(&self) -> Mount {
        let manifest = self.scratch.path().join("manifest");
        Mount::with(&manifest, &self.tree(), &["-o", self.caches])
    }

    /// With private copies of large files.
    fn mount_with_copies(&self) -> Mount {
        let options = with_copies(&self.scratch);
        let manifest = self.scratch.path().join("manifest");
        Mount::with(
            &manifest,
            &self.tree(),
            &["-o", &options, "-o", self.caches],
        )
    }

    /// The backing as it was, with files made anew.
    fn repair(&self) {
        let directory = self.tree().join("dir");
        while !mounted::mounts_at(&directory).is_empty() {
            run("umount", [&directory]);
        }
        let made_anew = self.scratch.path().join("anew");
        fs::create_dir(&made_anew).unwrap();
        fs::write(made_anew.join("file"), &self.declared).unwrap();
        match directory.symlink_metadata() {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&directory).unwrap(),
            Ok(_) => fs::remove_file(&directory).unwrap(),
            Err(_) => {}
        }
        fs::rename(made_anew, directory).unwrap();
    }
}

/// A mount made by a test must not outlive it.
impl Drop for Scene {
    fn drop(&mut self) {
        let directory = self.tree().join("dir");
        if !mounted::mounts_at(&directory).is_empty() {
            let _ = Command::new("umount").arg("-l").arg(&directory).output();
        }
    }
}

/// Mount options.
fn with_copies(scratch: &TempDir) -> String {
    let cache = scratch.path().join("cache");
    fs::create_dir_all(&cache).unwrap();
    set_mode(&cache, 0o700);
    format!("cache_dir={},cache_max=64M", cache.display())
}

/// Something that may be done to the backing.
struct Damage {
    name: &'static str,
    /// What the log says when it was done before the file was first read.
    reason: &'static str,
    work: fn(&Scene),
}

const DAMAGES: &[Damage] = &[
    Damage {
        name: "the last byte is flipped",
        reason: "digest_mismatch",
        work: |scene| {
            let file = File::options().write(true).open(scene.file()).unwrap();
            let last = scene.declared.len() - 1;
            file.write_all_at(&[!scene.declared[last]], last as u64)
                .unwrap();
        },
    },
    Damage {
        name: "all bytes are others",
        reason: "digest_mismatch",
        work: |scene| fs::write(scene.file(), content(scene.declared.len(), 2)).unwrap(),
    },
    Damage {
        name: "shorter by a byte",
        reason: "size_mismatch",
        work: |scene| {
            let file = File::options().write(true).open(scene.file()).unwrap();
            file.set_len(scene.declared.len() as u64 - 1).unwrap();
        },
    },
    Damage {
        name: "empty",
        reason: "size_mismatch",
        work: |scene| fs::write(scene.file(), "").unwrap(),
    },
    Damage {
        name: "longer by a byte",
        reason: "size_mismatch",
        work: |scene| {
            let file = File::options().write(true).open(scene.file()).unwrap();
            file.set_len(scene.declared.len() as u64 + 1).unwrap();
        },
    },
    Damage {
        name: "another file renamed over it",
        reason: "digest_mismatch",
        work: |scene| {
            let other = scene.tree().join("other");
            fs::write(&other, content(scene.declared.len(), 3)).unwrap();
            fs::rename(other, scene.file()).unwrap();
        },
    },
    Damage {
        name: "a symlink to the same bytes",
        reason: "escape",
        work: |scene| {
            fs::rename(scene.file(), scene.tree().join("dir/same")).unwrap();
            symlink("same", scene.file()).unwrap();
        },
    },
    Damage {
        name: "a FIFO",
        reason: "not_regular",
        work: |scene| node(&scene.file(), FileType::Fifo, 0),
    },
    Damage {
        name: "/dev/zero",
        reason: "not_regular",
        work: |scene| {
            node(
                &scene.file(),
                FileType::CharacterDevice,
                rustix::fs::makedev(1, 5),
            );
        },
    },
    Damage {
        name: "a device without a driver",
        reason: "not_regular",
        work: |scene| {
            node(
                &scene.file(),
                FileType::BlockDevice,
                rustix::fs::makedev(239, 77),
            );
        },
    },
    Damage {
        name: "a socket",
        reason: "not_regular",
        work: |scene| {
            fs::remove_file(scene.file()).unwrap();
            // Its path is longer than the address of a socket may be.
            let short = tempfile::tempdir_in(scene.tree()).unwrap();
            let held = File::open(short.path()).unwrap();
            let address = format!("/proc/self/fd/{}/s", held.as_raw_fd());
            drop(UnixListener::bind(address).unwrap());
            fs::rename(short.path().join("s"), scene.file()).unwrap();
        },
    },
    Damage {
        name: "a directory",
        reason: "not_regular",
        work: |scene| {
            fs::remove_file(scene.file()).unwrap();
            fs::create_dir(scene.file()).unwrap();
        },
    },
    Damage {
        name: "gone",
        reason: "backing_missing",
        work: |scene| fs::remove_file(scene.file()).unwrap(),
    },
    Damage {
        name: "the directory is gone",
        reason: "backing_missing",
        work: |scene| fs::remove_dir_all(scene.tree().join("dir")).unwrap(),
    },
    Damage {
        name: "the directory is a file",
        reason: "backing_missing",
        work: |scene| {
            fs::remove_dir_all(scene.tree().join("dir")).unwrap();
            fs::write(scene.tree().join("dir"), "").unwrap();
        },
    },
    Damage {
        name: "the directory is a symlink to an identical one",
        reason: "escape",
        work: |scene| {
            fs::rename(scene.tree().join("dir"), scene.tree().join("same")).unwrap();
            symlink("same", scene.tree().join("dir")).unwrap();
        },
    },
    Damage {
        name: "another tree is mounted over the directory",
        reason: "digest_mismatch",
        work: |scene| {
            let other = scene.scratch.path().join("other");
            fs::create_dir_all(&other).unwrap();
            fs::write(other.join("file"), content(scene.declared.len(), 4)).unwrap();
            run(
                "mount",
                [
                    "--bind".as_ref(),
                    other.as_os_str(),
                    scene.tree().join("dir").as_os_str(),
                ],
            );
        },
    },
    Damage {
        name: "an empty tmpfs is mounted over the directory",
        reason: "backing_missing",
        work: |scene| {
            run(
                "mount",
                [
                    "-t".as_ref(),
                    "tmpfs".as_ref(),
                    "tampering".as_ref(),
                    scene.tree().join("dir").as_os_str(),
                ],
            );
        },
    },
];

fn node(path: &Path, kind: FileType, device: u64) {
    fs::remove_file(path).unwrap();
    rustix::fs::mknodat(CWD, path, kind, Mode::RUSR, device).unwrap();
}

/// Makes the kernel forget the pages of a file.
fn forget(file: &File) {
    rustix::fs::fadvise(file, 0, None, Advice::DontNeed).unwrap();
}

/// Reads a range, and holds it against what is declared: whether it was given,
/// or refused. Anything else fails.
fn is_given(name: &str, file: &File, declared: &[u8], offset: u64, length: u64) -> bool {
    let wanted = &declared[offset as usize..declared.len().min((offset + length) as usize)];
    let mut found = vec![0; length as usize];
    match in_time(name, || file.read_at(&mut found, offset)) {
        // The first of these pages may be given without the others.
        Ok(count) => {
            assert!(count > 0, "{name}: nothing at {offset}");
            assert!(
                found[..count] == wanted[..count],
                "{name}: wrong bytes at {offset}"
            );
            count == wanted.len()
        }
        Err(error) => {
            assert_eq!(
                error.raw_os_error(),
                Some(EIO),
                "{name}: at {offset}: {error}"
            );
            false
        }
    }
}

/// Reads some pages and longer pieces; whether all of them were given.
fn are_given(name: &str, file: &File, declared: &[u8]) -> bool {
    let size = declared.len() as u64;
    let last = (size - 1) / PAGE * PAGE;
    let ranges = [
        (last, PAGE),
        (0, PAGE),
        (size / 2 / PAGE * PAGE, PAGE),
        (0, 1 << 17),
        (0, size + 1),
    ];
    let mut all = true;
    for (offset, length) in ranges {
        all &= is_given(name, file, declared, offset, length);
    }
    all
}

fn assert_reads_again(name: &str, scene: &Scene, mount: &Mount) {
    scene.repair();
    let content = in_time(name, || fs::read(mount.join("dir/file"))).unwrap();
    assert!(content == scene.declared, "{name}: not repaired");
}

/// The line in the log that names the file and the reason.
fn assert_logged(name: &str, mount: &Mount, reason: &str) {
    let wanted = format!("event=refused reason={reason} path=\"/dir/file\" ino=");
    mount.wait_for(&wanted);
    let log = mount.log();
    let line = log.lines().find(|line| line.contains(&wanted)).unwrap();
    let tells = match reason {
        "digest_mismatch" if line.contains("want=blake3:") => [" want=blake3:", " got=blake3:"],
        "digest_mismatch" => [" want=sha256:", " got=sha256:"],
        "size_mismatch" => ["want=", "got="],
        _ => ["len=", "error=\""],
    };
    for part in tells {
        assert!(line.contains(part), "{name}: no {part} in {line}");
    }
}

/// Damage before anybody has read the file, with the file closed or open.
fn damaged_before_reading(kind: Kind, caches: Caches) {
    for damage in DAMAGES {
        let name = &format!("{kind:?}: {}", damage.name);
        let scene = Scene::new(kind, caches);
        let mount = scene.mount();
        let open = File::open(mount.join("dir/file")).unwrap();
        (damage.work)(&scene);
        let opened = in_time(name, || File::open(mount.join("dir/file"))).unwrap();
        for file in [&open, &opened] {
            assert!(!are_given(name, file, &scene.declared), "{name}: all given");
            assert_eq!(file.metadata().unwrap().len(), scene.declared.len() as u64);
        }
        assert_logged(name, &mount, damage.reason);
        assert_reads_again(name, &scene, &mount);
        assert!(are_given(name, &open, &scene.declared), "{name}");
        drop((open, opened));
        assert!(mount.unmount().success(), "{name}");
    }
}

/// Damage after a part of the file was read.
fn damaged_between_reads(kind: Kind, caches: Caches) {
    for damage in DAMAGES {
        let name = &format!("{kind:?}: {}", damage.name);
        let scene = Scene::new(kind, caches);
        let mount = scene.mount();
        let file = File::open(mount.join("dir/file")).unwrap();
        rustix::fs::fadvise(&file, 0, None, Advice::Random).unwrap();
        assert!(is_given(name, &file, &scene.declared, 0, PAGE), "{name}");
        (damage.work)(&scene);
        forget(&file);
        let given = are_given(name, &file, &scene.declared);
        // A small file was checked, and kept, as a whole. Of the others the
        // same inode is still open, unless it was the one to be changed.
        let changed = ["flipped", "others", "shorter", "empty"]
            .iter()
            .any(|word| damage.name.contains(word) && !damage.name.contains("tmpfs"));
        if kind != Kind::Small && changed {
            assert!(!given, "{name}: all given");
        }
        assert_reads_again(name, &scene, &mount);
        forget(&file);
        assert!(are_given(name, &file, &scene.declared), "{name}");
        drop(file);
        assert!(mount.unmount().success(), "{name}");
    }
}

fn small_files_damaged_before_reading(caches: Caches) {
    damaged_before_reading(Kind::Small, caches);
}

fn small_files_damaged_between_reads(caches: Caches) {
    damaged_between_reads(Kind::Small, caches);
}

fn chunked_files_damaged_before_reading(caches: Caches) {
    damaged_before_reading(Kind::Chunked, caches);
}

fn chunked_files_damaged_between_reads(caches: Caches) {
    damaged_between_reads(Kind::Chunked, caches);
}

fn large_files_damaged_before_reading(caches: Caches) {
    damaged_before_reading(Kind::Large, caches);
}

fn large_files_damaged_between_reads(caches: Caches) {
    damaged_between_reads(Kind::Large, caches);
}

/// With private copies, damage before a file is opened: there is none then, and
/// all is as without.
fn copies_of_files_damaged_before_opening(caches: Caches) {
    for kind in [Kind::Chunked, Kind::Large] {
        for damage in DAMAGES {
            let name = &format!("{kind:?}: {}", damage.name);
            let scene = Scene::new(kind, caches);
            let mount = scene.mount_with_copies();
            (damage.work)(&scene);
            let file = in_time(name, || File::open(mount.join("dir/file"))).unwrap();
            assert!(!are_given(name, &file, &scene.declared), "{name}: given");
            assert_logged(name, &mount, damage.reason);
            assert_reads_again(name, &scene, &mount);
            assert!(are_given(name, &file, &scene.declared), "{name}");
            drop(file);
            assert!(mount.unmount().success(), "{name}");
        }
    }
}

/// With private copies, damage after a file was opened: nobody ever sees it.
fn copies_of_files_damaged_after_opening(caches: Caches) {
    for kind in [Kind::Chunked, Kind::Large] {
        for damage in DAMAGES {
            let name = &format!("{kind:?}: {}", damage.name);
            let scene = Scene::new(kind, caches);
            let mount = scene.mount_with_copies();
            let file = File::open(mount.join("dir/file")).unwrap();
            (damage.work)(&scene);
            let opened = in_time(name, || File::open(mount.join("dir/file"))).unwrap();
            for file in [&file, &opened] {
                forget(file);
                assert!(are_given(name, file, &scene.declared), "{name}");
            }
            drop((file, opened));
            assert!(!mount.log().contains("refused"), "{name}: {}", mount.log());
            assert!(mount.unmount().success(), "{name}");
        }
    }
}

/// A backing that was damaged before it was mounted.
fn damaged_before_mounting(caches: Caches) {
    for kind in [Kind::Small, Kind::Chunked, Kind::Large] {
        let scene = Scene::new(kind, caches);
        (DAMAGES[0].work)(&scene);
        let mount = scene.mount();
        let file = File::open(mount.join("dir/file")).unwrap();
        let name = &format!("{kind:?}");
        assert!(!are_given(name, &file, &scene.declared));
        assert_logged(name, &mount, "digest_mismatch");
        assert_reads_again(name, &scene, &mount);
    }
}

/// What was read once is kept by the kernel, checked as it is.
fn what_was_given_stays(caches: Caches) {
    let scene = Scene::new(Kind::Chunked, caches);
    let mount = scene.mount();
    assert_eq!(fs::read(mount.join("dir/file")).unwrap(), scene.declared);
    fs::remove_dir_all(scene.tree().join("dir")).unwrap();
    assert_eq!(fs::read(mount.join("dir/file")).unwrap(), scene.declared);
    assert!(!mount.log().contains("refused"), "{}", mount.log());
}

fn one_bad_chunk_is_exactly_its_pages(caches: Caches) {
    const CHUNK: u64 = 65536;
    const BAD: u64 = 7;
    let scene = Scene::new(Kind::Chunked, caches);
    let path = scene.file();
    let file = File::options().write(true).open(&path).unwrap();
    let at = BAD * CHUNK + 12_345;
    file.write_all_at(&[!scene.declared[at as usize]], at)
        .unwrap();
    let mount = scene.mount();
    let file = File::open(mount.join("dir/file")).unwrap();
    let size = scene.declared.len() as u64;
    for round in 0..2 {
        for offset in (0..size).step_by(PAGE as usize) {
            let given = is_given("page", &file, &scene.declared, offset, PAGE);
            let bad = offset / CHUNK == BAD;
            assert_eq!(given, !bad, "round {round}, offset {offset}");
        }
        assert_eq!(file.metadata().unwrap().len(), size);
        forget(&file);
    }
    // From the beginning in one go: as far as it is good, and then an error.
    let mut reader = File::open(mount.join("dir/file")).unwrap();
    let mut read = Vec::new();
    let error = io::Read::read_to_end(&mut reader, &mut read).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(EIO));
    assert!(read == scene.declared[..(BAD * CHUNK) as usize]);
    let wanted = format!(
        "reason=digest_mismatch path=\"/dir/file\" ino=3 chunk={BAD} off={} len={CHUNK} want=blake3:",
        BAD * CHUNK
    );
    mount.wait_for(&wanted);
}

fn a_tampered_program_does_not_run(caches: Caches) {
    let scratch = scratch();
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::copy("/bin/true", tree.join("program")).unwrap();
    set_mode(&tree.join("program"), 0o755);
    let manifest = scratch.path().join("manifest");
    build(&tree, &manifest, &[]);
    let good = fs::read(tree.join("program")).unwrap();
    let mut bad = good.clone();
    // Not in the header: the loader of the kernel would see that by itself.
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    fs::write(tree.join("program"), &bad).unwrap();

    let mount = Mount::with(&manifest, &tree, &["-o", caches]);
    let error = Command::new(mount.join("program")).spawn().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(EIO));
    fs::write(tree.join("program"), &good).unwrap();
    run(mount.join("program").to_str().unwrap(), [""; 0]);
}

/// A page that is not as declared is no page: SIGBUS.
fn a_tampered_page_is_not_mapped(caches: Caches) {
    const SIGBUS: i32 = 7;
    let read_mapped = "\
import mmap, resource, sys
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
with open(sys.argv[1], 'rb') as f:
    m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
    print(m[0], flush=True)
    print(m[len(m) - 1], flush=True)";
    let scene = Scene::new(Kind::Chunked, caches);
    (DAMAGES[0].work)(&scene);
    let mount = scene.mount();
    let read = || {
        in_time("mmap", || {
            Command::new("python3")
                .args(["-c", read_mapped])
                .arg(mount.join("dir/file"))
                .output()
                .unwrap()
        })
    };
    let first = scene.declared[0];
    let last = scene.declared.last().unwrap();
    let output = read();
    assert_eq!(output.status.signal(), Some(SIGBUS), "{output:?}");
    assert_eq!(text(&output.stdout), format!("{first}\n"));
    scene.repair();
    let output = read();
    assert_eq!(text(&output.stdout), format!("{first}\n{last}\n"));
}

fn names_cannot_forge_the_log(caches: Caches) {
    let scratch = scratch();
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let name = "a\n2026-01-01T00:00:00Z ERROR forged\x1b[31m\u{202e}\"";
    fs::write(tree.join(name), "content").unwrap();
    let manifest = scratch.path().join("manifest");
    build(&tree, &manifest, &[]);
    fs::write(tree.join(name), "CONTENT").unwrap();
    let mount = Mount::with(&manifest, &tree, &["-o", caches]);
    fs::read(mount.join(name)).unwrap_err();
    mount.wait_for(
        r#"path="/a\n2026-01-01T00:00:00Z ERROR forged\x1b[31m\xe2\x80\xae\"" ino=2 off=0"#,
    );
    let log = mount.log();
    assert!(!log.contains(['\x1b', '\u{202e}']), "{log:?}");
    for line in log.lines() {
        assert!(!line.starts_with("2026-01-01T00:00:00Z ERROR"), "{log}");
    }
}

fn a_reader_cannot_flood_the_log(caches: Caches) {
    let scene = Scene::new(Kind::Small, caches);
    fs::write(scene.file(), content(scene.declared.len(), 5)).unwrap();
    let mount = scene.mount();
    let start = Instant::now();
    let file = File::open(mount.join("dir/file")).unwrap();
    for _ in 0..5000 {
        assert!(!is_given("flood", &file, &scene.declared, 0, PAGE));
    }
    let seconds = start.elapsed().as_secs() as usize;
    // After a second there may be one more, which tells of the others.
    std::thread::sleep(Duration::from_millis(1100));
    assert!(!is_given("flood", &file, &scene.declared, 0, PAGE));
    mount.wait_for("suppressed=");
    let lines = mount.log().matches("event=refused").count();
    assert!((20..=25 + seconds).contains(&lines), "{lines} lines");
}

/// Readers of cold pages of files of every kind, while bits are flipped.
fn readers_of_what_is_being_changed(caches: Caches) {
    read_what_is_being_changed(None, caches);
}

fn readers_of_copies_of_what_is_being_changed(caches: Caches) {
    // Room for one of the large ones, so that copies are made all the time.
    read_what_is_being_changed(Some("13M"), caches);
}

fn read_what_is_being_changed(cache_max: Option<&str>, caches: Caches) {
    const FOR: Duration = Duration::from_secs(4);
    const LARGE: usize = 12 << 20;
    const SMALL: usize = 512 << 10;
    let scratch = scratch();
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).unwrap();
    // More than the server keeps of what it has checked.
    let mut files: Vec<(String, Vec<u8>)> = (0..24)
        .map(|number| (format!("small{number}"), content(SMALL, 100 + number)))
        .collect();
    files.push(("chunked".to_owned(), content(LARGE, 200)));
    files.push(("large".to_owned(), content(LARGE, 201)));
    for (name, content) in &files {
        fs::write(tree.join(name), content).unwrap();
    }
    // A chunk table wins where there is one; "large" is larger than the limit.
    let manifest = scratch.path().join("manifest");
    let compat = scratch.path().join("compat");
    build(
        &tree,
        &manifest,
        &["--chunk-threshold=1", "--chunk-size=65536"],
    );
    build(&tree, &compat, &["--compat"]);
    let options = with_copies(&scratch);
    let options = cache_max.map(|max| format!("{options},cache_max={max}"));
    let arguments: Vec<&str> = (options.iter())
        .map(String::as_str)
        .chain([caches])
        .flat_map(|options| ["-o", options])
        .collect();
    let mounts = [&manifest, &compat].map(|manifest| Mount::with(manifest, &tree, &arguments));

    let ended = AtomicBool::new(false);
    let (given, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for reader in 0..4_u64 {
            let (files, mounts) = (&files, &mounts);
            let (ended, given, refused) = (&ended, &given, &refused);
            scope.spawn(move || {
                let mut random = Random(reader + 1);
                while !ended.load(Ordering::Relaxed) {
                    let (name, declared) = &files[random.below(files.len() as u64) as usize];
                    let mount = &mounts[reader as usize % 2];
                    let file = File::open(mount.join(name)).unwrap();
                    forget(&file);
                    for _ in 0..8 {
                        let offset = random.below(declared.len() as u64);
                        let length = 1 + random.below(3 * PAGE);
                        let count = if is_given(name, &file, declared, offset, length) {
                            given
                        } else {
                            refused
                        };
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let start = Instant::now();
        let mut random = Random(77);
        while start.elapsed() < FOR {
            // Many at once, for a while: there has to be something to meet.
            let flipped: Vec<_> = (0..40)
                .map(|_| {
                    let (name, declared) = &files[random.below(files.len() as u64) as usize];
                    let at = random.below(declared.len() as u64);
                    let file = File::options().write(true).open(tree.join(name)).unwrap();
                    let bit = 1 << random.below(8);
                    file.write_all_at(&[declared[at as usize] ^ bit], at)
                        .unwrap();
                    (file, at, declared[at as usize])
                })
                .collect();
            std::thread::sleep(Duration::from_millis(random.below(20)));
            for (file, at, byte) in flipped {
                file.write_all_at(&[byte], at).unwrap();
            }
        }
        ended.store(true, Ordering::Relaxed);
    });
    let (given, refused) = (given.into_inner(), refused.into_inner());
    println!("{given} reads given, {refused} refused, none wrong");
    assert!(
        given > 100 && refused > 0,
        "{given} given, {refused} refused"
    );
    for mount in mounts {
        for (name, declared) in &files {
            let file = File::open(mount.join(name)).unwrap();
            forget(&file);
            assert!(fs::read(mount.join(name)).unwrap() == *declared, "{name}");
        }
        assert!(mount.unmount().success());
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

/// Directories and files changing places while they are read.
fn readers_of_what_is_being_exchanged(caches: Caches) {
    let scene = Scene::new(Kind::Large, caches);
    let mount = scene.mount();
    read_what_is_being_exchanged(&scene, &mount);
}

fn readers_of_copies_of_what_is_being_exchanged(caches: Caches) {
    let scene = Scene::new(Kind::Large, caches);
    let mount = scene.mount_with_copies();
    read_what_is_being_exchanged(&scene, &mount);
}

fn read_what_is_being_exchanged(scene: &Scene, mount: &Mount) {
    sh(
        &scene.tree(),
        "mkdir other; head -c 2101249 /dev/zero >other/file; ln -s /etc link",
    );
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    let file = File::open(mount.join("dir/file")).unwrap();
                    are_given("exchange", &file, &scene.declared);
                    forget(&file);
                }
            });
        }
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(2) {
            for other in ["other", "link"] {
                let exchange = || {
                    rustix::fs::renameat_with(
                        CWD,
                        scene.tree().join("dir"),
                        CWD,
                        scene.tree().join(other),
                        rustix::fs::RenameFlags::EXCHANGE,
                    )
                    .unwrap();
                };
                exchange();
                exchange();
            }
        }
        ended.store(true, Ordering::Relaxed);
    });
    assert!(fs::read(mount.join("dir/file")).unwrap() == scene.declared);
    assert_eq!(
        mount.join("dir/file").metadata().unwrap().size(),
        scene.declared.len() as u64
    );
}
