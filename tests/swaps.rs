//! Files of the backing are exchanged for everything else that can have a name, as
//! fast as that goes, while others read: nobody gets what was not declared, nobody is
//! led out of the backing, and nobody waits.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod figures;
mod mounted;
mod tree;

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use figures::{Dice, Run, amount, grouped};
use mounted::{Mount, read_directly, run, wait_until};
use rustix::fs::{CWD, FileType, Mode, RenameFlags};
use rustix::mount::UnmountFlags;
use tempfile::TempDir;
use tree::{build, scratch};

const SIZE: usize = 20_000;
const FILES: u64 = 8;

/// A backing, and beside its files what takes their places.
struct Scene {
    scratch: TempDir,
    content: Vec<u8>,
    mount: Mount,
}

/// What takes the place of a file, by its name in the directory `others`.
const OTHERS: [&str; 8] = [
    "fifo",
    "device",
    "directory",
    "inside",
    "outside",
    "file",
    "short",
    "hole",
];

impl Scene {
    fn new() -> Self {
        let scratch = scratch();
        let tree = scratch.path().join("tree");
        fs::create_dir_all(tree.join("dir")).unwrap();
        let content = Dice(1).bytes(SIZE);
        for number in 0..FILES {
            fs::write(tree.join(format!("dir/{number}")), &content).unwrap();
        }
        let manifest = build(&scratch, &tree, &[]);
        let mount = Mount::with(&manifest, &tree, &["-o", "block_cache=0"]);
        let secret = scratch.path().join("secret");
        fs::write(&secret, Dice(2).bytes(SIZE)).unwrap();
        let others = tree.join("others");
        fs::create_dir_all(others.join("directory")).unwrap();
        let node = |name: &str, kind, number| {
            let path = others.join(name);
            rustix::fs::mknodat(CWD, path, kind, Mode::RUSR | Mode::WUSR, number).unwrap();
        };
        node("fifo", FileType::Fifo, 0);
        // /dev/zero gives as many bytes as anybody wants.
        node(
            "device",
            FileType::CharacterDevice,
            rustix::fs::makedev(1, 5),
        );
        symlink("../others/file", others.join("inside")).unwrap();
        symlink(&secret, others.join("outside")).unwrap();
        fs::write(others.join("file"), Dice(3).bytes(SIZE)).unwrap();
        fs::write(others.join("short"), &content[..SIZE - 1]).unwrap();
        File::create(others.join("hole"))
            .unwrap()
            .set_len(SIZE as u64)
            .unwrap();
        Self {
            scratch,
            content,
            mount,
        }
    }

    fn backing(&self, path: &str) -> PathBuf {
        self.scratch.path().join("tree").join(path)
    }

    /// Puts something in the place of a file, or takes it away again: `held` has the
    /// file in whose place each of the others is. Tells how often names changed.
    fn swap(&self, dice: &mut Dice, held: &mut [Option<u64>; OTHERS.len()]) -> u64 {
        match dice.below(20) {
            0 => {
                let place = dice.below(FILES);
                if held.contains(&Some(place)) {
                    return 0;
                }
                let file = self.backing(&format!("dir/{place}"));
                // Another file is mounted over it.
                let other = self.scratch.path().join("secret");
                rustix::mount::mount_bind(&other, &file).unwrap();
                rustix::mount::unmount(&file, UnmountFlags::DETACH).unwrap();
            }
            1 => {
                // The whole directory.
                let (dir, link) = (self.backing("dir"), self.backing("others"));
                exchange(&dir, &link);
                exchange(&dir, &link);
            }
            _ => {
                let number = dice.below(OTHERS.len() as u64) as usize;
                let place = dice.below(FILES);
                let taken = held.contains(&Some(place));
                let file = match held[number] {
                    Some(file) => file,
                    None if taken => return 0,
                    None => place,
                };
                held[number] = held[number].is_none().then_some(file);
                exchange(
                    &self.backing(&format!("dir/{file}")),
                    &self.backing(&format!("others/{}", OTHERS[number])),
                );
                return 1;
            }
        }
        2
    }

    /// How long it takes at most to be refused each of the others, when nobody else is
    /// at work. What is opened here is what a race opens, too.
    fn longest_alone(&self) -> Duration {
        let mut longest = Duration::ZERO;
        for other in OTHERS {
            let held = OTHERS.map(|name| (name == other).then_some(0));
            // Exchanging them twice puts them back.
            self.put_back(held);
            for _ in 0..amount(1000, 20) {
                let begin = Instant::now();
                let error = read_directly(&self.mount.join("dir/0"), SIZE).unwrap_err();
                longest = longest.max(begin.elapsed());
                assert_eq!(error.raw_os_error(), Some(5), "{other}");
            }
            self.put_back(held);
        }
        longest
    }

    /// Puts everything back.
    fn put_back(&self, held: [Option<u64>; OTHERS.len()]) {
        for (other, file) in OTHERS.into_iter().zip(held) {
            if let Some(file) = file {
                exchange(
                    &self.backing(&format!("dir/{file}")),
                    &self.backing(&format!("others/{other}")),
                );
            }
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // A test that failed may leave something mounted.
        for number in 0..FILES {
            let _ = rustix::mount::unmount(
                self.backing(&format!("dir/{number}")),
                UnmountFlags::DETACH,
            );
        }
    }
}

/// Says so when it is dropped.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn exchange(one: &Path, other: &Path) {
    rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
}

#[test]
fn whatever_takes_the_place_of_a_file() {
    const READERS: u64 = 4;
    let told = Run::begin("backing swaps under four readers");
    let wanted = amount(1_000_000, 10_000);
    let scene = Scene::new();
    let done = AtomicBool::new(false);
    let (given, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut longest = Duration::ZERO;
    let mut swaps = 0;
    thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|reader| {
                let (scene, done) = (&scene, &done);
                let (given, refused) = (&given, &refused);
                scope.spawn(move || {
                    let mut dice = Dice(reader + 10);
                    let mut longest = Duration::ZERO;
                    while !done.load(Ordering::Relaxed) {
                        let path = scene.mount.join(format!("dir/{}", dice.below(FILES)));
                        let begin = Instant::now();
                        let read = read_directly(&path, SIZE);
                        longest = longest.max(begin.elapsed());
                        match read {
                            Ok(read) => {
                                assert!(read == scene.content, "an escape");
                                given.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(error) => {
                                assert_eq!(error.raw_os_error(), Some(5));
                                refused.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                    longest
                })
            })
            .collect();
        // Also where this fails.
        let _done = Done(&done);
        let (mut dice, mut held) = (Dice(4), [None; OTHERS.len()]);
        // Until both has happened often, for readers may be slower than all swaps.
        let is_enough = |swaps: u64| {
            let seen = given
                .load(Ordering::Relaxed)
                .min(refused.load(Ordering::Relaxed));
            swaps >= wanted && seen > 100
        };
        while !is_enough(swaps) && !readers.iter().any(thread::ScopedJoinHandle::is_finished) {
            swaps += scene.swap(&mut dice, &mut held);
        }
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            longest = longest.max(reader.join().unwrap());
        }
        scene.put_back(held);
    });
    let (given, refused) = (given.into_inner(), refused.into_inner());
    assert!(given > 0 && refused > 0, "{given} given, {refused} refused");
    // Everything is in its place again, and so it serves again.
    for number in 0..FILES {
        let read = read_directly(&scene.mount.join(format!("dir/{number}")), SIZE);
        assert!(read.unwrap() == scene.content);
    }
    // Nobody waits for whoever opens the other end of the pipe.
    let held = || {
        let worker = scene.mount.worker();
        let tasks = fs::read_dir(format!("/proc/{worker}/task")).unwrap();
        tasks
            .filter_map(|task| fs::read_to_string(task.unwrap().path().join("wchan")).ok())
            .any(|place| place.contains("fifo") || place.contains("pipe"))
    };
    wait_until(|| !held(), || "a thread waits for a pipe".to_owned());
    let alone = scene.longest_alone();
    run("umount", [scene.mount.path()]);
    told.tell(format!(
        "{} swaps, {} reads: {} right, {} EIO, no escape; longest open and read {:.1} ms, alone {:.1} ms",
        grouped(swaps),
        grouped(given + refused),
        grouped(given),
        grouped(refused),
        longest.as_secs_f64() * 1000.0,
        alone.as_secs_f64() * 1000.0
    ));
}
