//! Readers by the thousand, and a server with few descriptors.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod mounted;
mod tree;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Barrier;
use std::thread;

use continuity::digest::Algorithm;
use continuity::manifest::{Content, Form, Kind, Limits, Manifest, Metadata, Resource};
use continuity::mode::FileMode;
use continuity::path::ManifestPath;

use mounted::{Mount, run};
use tree::{build, scratch};

const THREADS: usize = 10_000;
const FILES: usize = 2_000;
/// Of the caches, beside the 64 MiB that a server may take for itself.
const CACHES_KIB: u64 = (32 + 16) << 10;

/// 64 readers here and there in files with large chunks, of which the cache holds
/// a few.
#[test]
fn readers_at_random() {
    const SIZE: u64 = 8 << 20;
    let scratch = scratch();
    let root = scratch.path().join("tree");
    fs::create_dir(&root).unwrap();
    for number in 0..32_u8 {
        fs::write(root.join(number.to_string()), vec![number; SIZE as usize]).unwrap();
    }
    let mount = Mount::new(&build(&scratch, &root, &[]), &root);
    thread::scope(|scope| {
        for reader in 0..64_u64 {
            let mount = &mount;
            scope.spawn(move || {
                for step in 0..50 {
                    let place = (reader * 50 + step).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
                    let number = (place % 32) as u8;
                    let file = File::open(mount.join(number.to_string())).unwrap();
                    let mut page = [0xff; 4096];
                    file.read_exact_at(&mut page, place % (SIZE / 4096) * 4096)
                        .unwrap();
                    assert_eq!(page, [number; 4096]);
                }
            });
        }
    });
    let peak = figure(&format!("/proc/{}", mount.worker()), "VmHWM:");
    assert!(peak <= (64 << 10) + CACHES_KIB, "{peak} KiB");
    assert!(mount.unmount().success());
}

/// Adds a file to a manifest, with a digest that it does not have.
fn declare(manifest: &Path, path: &[u8], size: u64) {
    let bytes = fs::read(manifest).unwrap();
    let mut declared = Manifest::read(&bytes, &Limits::default()).unwrap();
    declared.resources.push(Resource {
        paths: vec![ManifestPath::parse(path).unwrap()],
        metadata: Metadata::new(FileMode::from_stat(0o100_644).unwrap()),
        kind: Kind::Regular(Content {
            size,
            digests: vec![Algorithm::Sha256.hash(b"something else")],
            ..Content::default()
        }),
        carried: None,
    });
    declared
        .resources
        .sort_by(|one, other| one.paths.cmp(&other.paths));
    fs::write(manifest, declared.encode(Form::Full).unwrap()).unwrap();
}

/// Who reads a file that takes long to check waits; nobody else does.
#[test]
fn a_huge_file_holds_up_nobody_else() {
    const HUGE: u64 = 6 << 30;
    let scratch = scratch();
    let root = scratch.path().join("tree");
    fs::create_dir(&root).unwrap();
    for number in 0..100 {
        fs::write(root.join(format!("small{number}")), "content\n").unwrap();
    }
    fs::write(root.join("large"), vec![7; 20 << 20]).unwrap();
    let manifest = build(&scratch, &root, &[]);
    declare(&manifest, b"/huge", HUGE);
    File::create(root.join("huge"))
        .unwrap()
        .set_len(HUGE)
        .unwrap();
    let mount = Mount::new(&manifest, &root);
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..2)
            .map(|reader| {
                let mount = &mount;
                scope.spawn(move || {
                    let file = File::open(mount.join("huge")).unwrap();
                    file.read_exact_at(&mut [0; 4096], reader << 30)
                        .unwrap_err()
                })
            })
            .collect();
        assert_eq!(fs::read_dir(mount.path()).unwrap().count(), 102);
        for number in 0..100 {
            let path = mount.join(format!("small{number}"));
            assert_eq!(fs::metadata(&path).unwrap().len(), 8);
            assert_eq!(fs::read(&path).unwrap(), b"content\n");
        }
        assert!(fs::read(mount.join("large")).unwrap() == vec![7; 20 << 20]);
        assert!(!waiting.iter().any(thread::ScopedJoinHandle::is_finished));
        for reader in waiting {
            // EIO has no kind of its own.
            assert_eq!(reader.join().unwrap().raw_os_error(), Some(5));
        }
    });
    assert!(mount.unmount().success());
}

/// All begin at the same moment, on files of which none has been read.
#[test]
fn ten_thousand_readers() {
    let scratch = scratch();
    let root = scratch.path().join("tree");
    fs::create_dir(&root).unwrap();
    let content = |number: usize| format!("file {number}\n").repeat(400).into_bytes();
    for number in 0..FILES {
        fs::write(root.join(number.to_string()), content(number)).unwrap();
    }
    let mount = Mount::new(&build(&scratch, &root, &[]), &root);
    run(
        "prlimit",
        ["--pid", &mount.worker().to_string(), "--nofile=1024:1024"],
    );
    let together = Barrier::new(THREADS);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (mount, together) = (&mount, &together);
            thread::Builder::new()
                .stack_size(64 << 10)
                .spawn_scoped(scope, move || {
                    together.wait();
                    // A stride that has no factor in common with their number.
                    let number = number * 7919 % FILES;
                    let found = fs::read(mount.join(number.to_string())).unwrap();
                    assert!(found == content(number), "file {number}");
                })
                .unwrap();
        }
    });
    let process = format!("/proc/{}", mount.worker());
    let open = fs::read_dir(format!("{process}/fd")).unwrap().count();
    assert!(open <= 256, "{open} descriptors");
    assert!(figure(&process, "Threads:") <= 32);
    let peak = figure(&process, "VmHWM:");
    assert!(peak <= (64 << 10) + CACHES_KIB, "{peak} KiB");
    assert!(mount.unmount().success());
}

/// A number of `/proc/PID/status`.
fn figure(process: &str, name: &str) -> u64 {
    let status = fs::read_to_string(format!("{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.unwrap().parse().unwrap()
}
