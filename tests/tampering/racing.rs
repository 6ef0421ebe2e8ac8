//! Changes while many read.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::CWD;

use crate::mounted::Mount;
use crate::reads::{are_given, forget, is_given};
use crate::scene::{Kind, Scene, build, content, with_copies};
use crate::tree::{scratch, sh};
use crate::{Caches, PAGE};

/// Readers of cold pages of files of every kind, while bits are flipped.
pub fn readers_of_what_is_being_changed(caches: Caches) {
    read_what_is_being_changed(None, caches);
}

pub fn readers_of_copies_of_what_is_being_changed(caches: Caches) {
    // Room for one of the large ones, so that copies are made all the time.
    read_what_is_being_changed(Some("13M"), caches);
}

pub fn read_what_is_being_changed(cache_max: Option<&str>, caches: Caches) {
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

pub struct Random(u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

/// Directories and files changing places while they are read.
pub fn readers_of_what_is_being_exchanged(caches: Caches) {
    let scene = Scene::new(Kind::Large, caches);
    let mount = scene.mount();
    read_what_is_being_exchanged(&scene, &mount);
}

pub fn readers_of_copies_of_what_is_being_exchanged(caches: Caches) {
    let scene = Scene::new(Kind::Large, caches);
    let mount = scene.mount_with_copies();
    read_what_is_being_exchanged(&scene, &mount);
}

pub fn read_what_is_being_exchanged(scene: &Scene, mount: &Mount) {
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
