//! Whatever is done to the backing, and whenever: the mount gives the declared
//! bytes or an I/O error, says which file it was, and is well again as soon as
//! the backing is.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod damage;
#[path = "../mounted/mod.rs"]
mod mounted;
mod racing;
mod reads;
mod scene;
#[path = "../tree/mod.rs"]
mod tree;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::{Duration, Instant};

use damage::DAMAGES;
use mounted::{Mount, in_time, run};
use racing::{
    readers_of_copies_of_what_is_being_changed, readers_of_copies_of_what_is_being_exchanged,
    readers_of_what_is_being_changed, readers_of_what_is_being_exchanged,
};
use reads::{are_given, assert_logged, assert_reads_again, forget, is_given};
use rustix::fs::Advice;
use scene::{Kind, Scene, build, content};
use tree::{scratch, set_mode, text};

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
