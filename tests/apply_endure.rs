//! `continuity apply` against what can happen to it: being killed, a full disk,
//! and somebody who works against it. `make endure` does it for minutes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod applied;
mod snapshot;
mod tree;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use applied::{apply, assert_same, source, try_apply};
use continuity::apply::{Options, apply as apply_here};
use continuity::source::DirectorySource;
use continuity::sys::RootDir;
use rustix::fs::{CWD, RenameFlags};
use tempfile::TempDir;
use tree::{build, scratch, sh, text};

/// How many times as long as in `make test`.
fn endurance() -> u32 {
    let times = std::env::var("CONTINUITY_ENDURE").ok();
    times.and_then(|times| times.parse().ok()).unwrap_or(1)
}

fn tree_of(script: &str) -> (TempDir, PathBuf, PathBuf, PathBuf) {
    let scratch = scratch();
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).unwrap();
    sh(&tree, script);
    let manifest = build(&scratch, &tree, &[]);
    let root = scratch.path().join("root");
    (scratch, tree, manifest, root)
}

const MANY: &str = "
    for d in a b c; do mkdir -p $d/inner
    for f in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    echo $d $f > $d/$f; ln $d/$f $d/inner/link$f; ln -s $f $d/inner/symlink$f; done
    mkfifo $d/pipe; setfattr -n user.k -v $d $d/1; chown 5:6 $d/2; chmod 4755 $d/2; done
    head -c 6000000 /dev/urandom > large; mknod null c 1 3; chmod 1777 a; chmod 500 b/inner
    find . -depth -exec touch -h -d 2003-03-03 {} +";

#[test]
fn killed_at_any_moment_it_goes_on_from_there() {
    let (_scratch, tree, manifest, root) = tree_of(MANY);
    let from = source(&tree);
    let began = Instant::now();
    apply(&[&from], &root, &manifest);
    let mut whole = began.elapsed();
    let wanted = applied::tree(&tree);
    let rounds = 12 * endurance();
    let mut killed = 0;
    for round in 0..rounds {
        match round % 3 {
            // From nothing,
            0 => fs::remove_dir_all(&root).unwrap(),
            // over something else,
            1 => sh(
                &root,
                "rm -r c; ln -f a/1 a/2; rm large; mkdir -p large/x; chown -R 9 b; echo > extra",
            ),
            // or over what the last one has left.
            _ => {}
        }
        let mut child = Command::new(env!("CARGO_BIN_EXE_continuity"))
            .args(["apply", "--delete", &from])
            .args([&root, &manifest])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Evenly over all of it, and never twice at the same moment.
        std::thread::sleep(whole.mul_f64(f64::from(round * 7 % rounds) / f64::from(rounds)));
        child.kill().unwrap();
        if child.wait().unwrap().success() {
            // The machine is faster now than it was.
            whole = whole.mul_f64(0.7);
        } else {
            killed += 1;
        }
        if round % 3 == 0 && root.exists() {
            assert_whole(&root, &wanted);
        }
        if round % 3 != 1 {
            apply(&[&from, "--delete"], &root, &manifest);
            assert_same(&tree, &root);
        }
    }
    assert!(killed > rounds / 3, "only {killed} of {rounds} were killed");
}

/// Every file that has its name is complete, but for names it is yet to get.
fn assert_whole(root: &Path, wanted: &applied::Tree) {
    for (path, mut seen) in snapshot::snapshot(root) {
        let name = path
            .file_name()
            .unwrap_or(OsStr::new(""))
            .as_encoded_bytes();
        if name.starts_with(b".continuity-") || root.join(&path).is_dir() {
            continue;
        }
        let (_, wanted, content) = &wanted[&path];
        seen.ino = 0;
        seen.blocks = 0;
        seen.nlink = wanted.nlink;
        assert_eq!(seen, *wanted, "{path:?}");
        if let Some(content) = content {
            assert!(fs::read(root.join(&path)).unwrap() == *content, "{path:?}");
        }
    }
}

#[test]
fn whoever_swaps_links_in_moves_nothing_out() {
    let (scratch, tree, manifest, root) = tree_of(
        "for d in a b c; do mkdir -p $d/inner; for f in 1 2 3; do
        echo $d $f > $d/$f; ln $d/$f $d/inner/link$f; echo $d > $d/inner/$f; done; done
        echo x > x; echo y > y; ln y z; chown -R 3:4 .; chmod 4711 x a/1
        setfattr -n user.k -v v a b c a/1 b/inner/1 x y; setfacl -m u:1:r b/2 y",
    );
    let bytes = fs::read(&manifest).unwrap();
    apply(&[&source(&tree)], &root, &manifest);
    // The same names outside, with another content.
    let outside = scratch.path().join("outside");
    sh(
        scratch.path(),
        "cp -r tree outside; find outside -type f -exec sh -c 'echo no > $0' {} ';'",
    );
    let watched = stamps(&outside);

    let end = AtomicBool::new(false);
    let swaps = AtomicU64::new(0);
    let mut runs = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Only names in the root itself: it is never swapped, so that this
            // thread does not go out either.
            let link = root.join(".swap");
            for target in ["a", "b", "c", "x", "y", "z"].into_iter().cycle() {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                let _ = fs::remove_file(&link).or_else(|_| fs::remove_dir_all(&link));
                let _ = symlink(outside.join(target), &link);
                for _ in 0..9 {
                    let (inside, exchange) = (root.join(target), RenameFlags::EXCHANGE);
                    let done = rustix::fs::renameat_with(CWD, &link, CWD, &inside, exchange);
                    swaps.fetch_add(u64::from(done.is_ok()), Ordering::Relaxed);
                }
            }
        });
        let until = Instant::now() + Duration::from_secs(2) * endurance();
        let source = DirectorySource::new(RootDir::open(&tree).unwrap());
        while Instant::now() < until {
            for delete in [false, true] {
                let options = Options {
                    delete,
                    ..Options::default()
                };
                let _ = apply_here(&root, &bytes, Some(&source), &options, |_| {}).unwrap();
                runs += 1;
            }
        }
        end.store(true, Ordering::Relaxed);
    });
    let swaps = swaps.into_inner();
    assert!(swaps > 500 && runs > 10, "{swaps} swaps, {runs} runs");
    assert_eq!(stamps(&outside), watched);
    eprintln!("{swaps} swaps in {runs} runs");
    // And when nobody works against it any more, all is well.
    apply(&[&source(&tree), "--delete"], &root, &manifest);
    assert_same(&tree, &root);
}

/// What changes with every change: of each path the inode, the time of its last
/// change of any kind, and the content.
fn stamps(root: &Path) -> Vec<(PathBuf, u64, i64, i64, Vec<u8>)> {
    use std::os::unix::fs::MetadataExt;
    let paths = snapshot::snapshot(root).into_keys();
    let stamps = paths.map(|path| {
        let full = root.join(&path);
        let metadata = fs::symlink_metadata(&full).unwrap();
        let content = fs::read(&full).unwrap_or_default();
        (
            path,
            metadata.ino(),
            metadata.ctime(),
            metadata.ctime_nsec(),
            content,
        )
    });
    stamps.collect()
}

/// A filesystem that is unmounted in the end.
struct Mounted(PathBuf);

impl Mounted {
    fn new(scratch: &TempDir, arguments: &str) -> Self {
        let at = scratch.path().join("mounted");
        sh(
            scratch.path(),
            &format!("mkdir mounted; mount {arguments} mounted"),
        );
        Self(at)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_ends_it_with_nothing_half_made() {
    let (scratch, tree, manifest, _) = tree_of(
        "for f in 1 2 3 4 5 6 7 8; do head -c 500000 /dev/urandom > $f; done; echo small > small",
    );
    for options in ["size=2M", "size=64M,nr_inodes=6"] {
        let mounted = Mounted::new(&scratch, &format!("-t tmpfs -o {options} none"));
        let root = mounted.0.join("root");
        let done = try_apply(&[&source(&tree)], &root, &manifest);
        assert_eq!(done.status.code(), Some(2));
        let said = text(&done.stderr);
        assert!(said.contains("No space left on device"), "{said}");
        assert!(said.contains("given up; created: "), "{said}");
        assert_eq!(said.lines().count(), 2, "{said}");
        for entry in fs::read_dir(&root).unwrap() {
            let name = entry.unwrap().file_name();
            let whole = fs::read(tree.join(&name)).unwrap();
            assert!(fs::read(root.join(&name)).unwrap() == whole, "{name:?}");
        }
        drop(mounted);
        fs::remove_dir(scratch.path().join("mounted")).unwrap();
    }
}

#[test]
fn blocks_are_shared_on_btrfs() {
    blocks_are_shared("truncate -s 160M image; mkfs.btrfs -q image");
}

#[test]
fn blocks_are_shared_on_xfs() {
    // The smallest that mkfs.xfs(8) makes has 300 MB.
    blocks_are_shared("truncate -s 320M image; mkfs.xfs -q -m reflink=1 image");
}

fn blocks_are_shared(make: &str) {
    let scratch = scratch();
    sh(scratch.path(), make);
    let mounted = Mounted::new(&scratch, "-o loop image");
    let tree = mounted.0.join("tree");
    fs::create_dir(&tree).unwrap();
    sh(
        &tree,
        "head -c 20000000 /dev/urandom > large; echo small > small; touch empty",
    );
    let manifest = build(&scratch, &tree, &[]);
    for mode in ["--mode=auto", "--mode=reflink"] {
        let root = mounted.0.join(mode);
        apply(&[&source(&tree), mode], &root, &manifest);
        assert_same(&tree, &root);
        assert!(is_shared(&root.join("large")), "{mode}");
    }
    let root = mounted.0.join("copy");
    apply(&[&source(&tree), "--mode=copy"], &root, &manifest);
    assert!(!is_shared(&root.join("large")));

    // What is shared is hashed all the same.
    sh(
        &tree,
        "printf wrong | dd of=large bs=1 seek=9999999 conv=notrunc 2>/dev/null",
    );
    let root = mounted.0.join("wrong");
    let done = try_apply(&[&source(&tree)], &root, &manifest);
    assert_eq!(done.status.code(), Some(2));
    assert!(!root.join("large").exists());
    // To another filesystem there is no way to share.
    let root = scratch.path().join("elsewhere");
    let done = try_apply(&[&source(&tree), "--mode=reflink"], &root, &manifest);
    assert_eq!(done.status.code(), Some(2));
    let said = text(&done.stderr);
    assert!(said.contains(r#""/small" cannot be reflinked: "#), "{said}");
    fs::remove_dir_all(&root).unwrap();
    let moved = try_apply(&[&source(&tree), "--mode=move"], &root, &manifest);
    assert_eq!(moved.status.code(), Some(2), "only the wrong one stays");
    let left: Vec<_> = fs::read_dir(&tree)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left, ["large"]);
    assert_eq!(fs::read(root.join("small")).unwrap(), b"small\n");
}

/// Whether the kernel says so of every extent of a file.
fn is_shared(file: &Path) -> bool {
    let synced = Command::new("sync").arg(file).status().unwrap();
    assert!(synced.success());
    let listed = Command::new("filefrag")
        .arg("-v")
        .arg(file)
        .output()
        .unwrap();
    let listed = text(&listed.stdout);
    let extents = listed.lines().filter(|line| line.contains(".."));
    extents.clone().count() > 0 && extents.clone().all(|line| line.contains("shared"))
}

#[test]
fn another_filesystem_in_the_tree_is_left_alone() {
    let (scratch, tree, manifest, root) = tree_of("mkdir -p d/e mounted; echo x > d/e/x; echo > y");
    apply(&[&source(&tree)], &root, &manifest);
    fs::remove_dir(root.join("mounted")).unwrap();
    fs::rename(root.join("d"), scratch.path().join("d")).unwrap();
    fs::create_dir(root.join("d")).unwrap();
    sh(&root, "mount --bind ../d d; rm ../d/e/x");
    let _unmount = Mounted(root.join("d"));
    let done = try_apply(&[&source(&tree)], &root, &manifest);
    assert_eq!(done.status.code(), Some(2));
    let said = text(&done.stderr);
    assert!(said.contains(r#""/d" is on another filesystem"#), "{said}");
    assert!(!root.join("d/e/x").exists());
    assert!(root.join("mounted").exists());
    apply(&[&source(&tree), "--cross-mounts"], &root, &manifest);
    assert!(root.join("d/e/x").exists());
}

#[test]
fn whoever_is_not_root_gets_all_but_what_only_root_can() {
    let (scratch, tree, manifest, root) = tree_of(
        "mkdir -p d/closed; echo x > d/closed/x; echo y > y; chmod 755 y; ln y d/z
        ln -s y l; mkfifo p; mknod gone c 0 0; mknod null c 1 3
        setfattr -n user.k -v v y; chmod 555 d/closed; chmod 711 d
        find . -depth -exec touch -h -d 2003-03-03 {} +",
    );
    fs::create_dir(&root).unwrap();
    std::os::unix::fs::chown(&root, Some(65534), Some(65534)).unwrap();
    let run = |arguments: &[&str]| {
        let paths = [root.as_os_str(), manifest.as_os_str()];
        let arguments = std::iter::once(&"apply").chain(arguments).map(OsStr::new);
        tree::continuity_as_nobody(&scratch, arguments.chain(paths))
    };
    let from = source(&tree);
    let refused = run(&[&from]);
    assert_eq!(refused.status.code(), Some(2));
    let said = text(&refused.stderr);
    for line in [
        r#""/d/z" cannot be given to its owner: Operation not permitted"#,
        r#""/null" cannot be made: Operation not permitted"#,
        "owners can only be set by root; --ignore-attr=uid,gid leaves them as they are",
    ] {
        assert!(said.contains(line), "{said}");
    }
    let mine = [&from, "--ignore-attr=uid,gid", "--devices=skip"];
    // Twice: the second time over a directory that it must not write to.
    for damage in [
        "true",
        "rm -r d; chmod 600 y",
        "chmod 700 d d/closed; rm -f d/closed/x; chmod 500 d/closed d",
    ] {
        sh(&root, damage);
        let done = run(&mine);
        let said = text(&done.stderr);
        assert!(done.status.success(), "{said}");
        sh(
            &root,
            "chown -hR 0:0 . && mknod null c 1 3 && touch -d 2003-03-03 null .",
        );
        assert_same(&tree, &root);
        sh(&root, "rm null; chown -hR 65534:65534 .");
    }
}
