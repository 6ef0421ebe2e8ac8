//! `continuity apply`: a tree becomes what the manifest declares, whatever it
//! was before.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod applied;
mod snapshot;
mod tree;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use applied::{apply, assert_same, source, try_apply};
use tempfile::TempDir;
use tree::{build, continuity, make, scratch, sh, text};

/// The tree of all kinds of files, its manifest, and a place to apply it to.
fn all() -> (TempDir, PathBuf, PathBuf, PathBuf) {
    let scratch = scratch();
    let tree = make(&scratch, &[]);
    // Times that nobody has by chance.
    sh(
        &tree,
        "find . -depth -print0 | xargs -0 touch -h -d '2001-02-03 04:05:06.789012345Z'",
    );
    let manifest = build(&scratch, &tree, &["--sockets"]);
    let root = scratch.path().join("root");
    (scratch, tree, manifest, root)
}

/// A small tree, made by a script, and its manifest.
fn small(script: &str) -> (TempDir, PathBuf, PathBuf, PathBuf) {
    let scratch = scratch();
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).unwrap();
    sh(&tree, script);
    let manifest = build(&scratch, &tree, &[]);
    let root = scratch.path().join("root");
    (scratch, tree, manifest, root)
}

fn changes(arguments: &[&str], root: &Path, manifest: &Path) -> Vec<String> {
    let done = try_apply(&[&["--dry-run"], arguments].concat(), root, manifest);
    text(&done.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn a_copy_is_the_tree_and_a_second_run_does_nothing() {
    let (_scratch, tree, manifest, root) = all();
    let source = source(&tree);
    apply(&[&source, "--sockets"], &root, &manifest);
    assert_same(&tree, &root);
    assert_eq!(changes(&[&source, "--delete"], &root, &manifest), [""; 0]);
    let verify = [Path::new("verify"), Path::new("--times"), &root, &manifest];
    let verified = continuity(verify);
    assert!(verified.status.success(), "{}", text(&verified.stdout));
}

#[test]
fn a_tree_is_mended_in_place() {
    let (_scratch, tree, manifest, root) = all();
    sh(
        &root.parent().unwrap().join("."),
        "cp -a tree root
        cd root
        chmod -R 777 modes acl
        chown -R 1:2 owners
        find modes -type f -exec setfattr -n user.extra -v x {} +
        setfacl -m u:7:rwx modes
        find . -type l -delete
        rm -r devices hardlinks/*
        touch regular",
    );
    let before = fs::metadata(root.join("regular/one-byte")).unwrap().ino();
    // Of the hard links nothing is left to take the content from.
    let failed = try_apply(&["--sockets"], &root, &manifest);
    assert_eq!(failed.status.code(), Some(2));
    let said = text(&failed.stderr);
    assert!(
        said.contains("and there is no source to take it from"),
        "{said}"
    );
    assert!(
        said.lines()
            .all(|line| line.contains("/hardlinks/") || line.contains("created: ")),
        "{said}"
    );
    sh(&tree, "cp -a hardlinks/. ../root/hardlinks/");
    apply(&["--sockets"], &root, &manifest);
    assert_same(&tree, &root);
    // What was right is still the same file.
    let after = fs::metadata(root.join("regular/one-byte")).unwrap().ino();
    assert_eq!(before, after);
    assert_eq!(changes(&["--sockets"], &root, &manifest), [""; 0]);
}

#[test]
fn names_of_one_file_are_as_declared() {
    let (_scratch, tree, manifest, root) = small(
        "mkdir d e; echo one > a; ln a d/a; ln a e/a; echo two > b; echo two > c; echo two > d/b
        mkfifo p; ln p e/p; mknod n c 1 3; ln n d/n",
    );
    for damage in [
        // Separate where they should be one.
        "cp -a --no-preserve=links ../tree/. .",
        // One where they should be separate.
        "cp -a ../tree/. .; ln -f b c; ln -f b d/b",
        // Some missing, some of another file.
        "cp -a ../tree/. .; rm a; ln -f b d/a; rm e/p n",
        // Linked to what is not listed, and to each other across files.
        "cp -a ../tree/. .; ln a extra; rm e/a; ln -f b e/a; cp b a2; ln -f a2 b",
    ] {
        fs::create_dir(&root).unwrap();
        sh(&root, damage);
        apply(&[&source(&tree), "--delete"], &root, &manifest);
        assert_same(&tree, &root);
        fs::remove_dir_all(&root).unwrap();
    }
    // And in place, where the content is there under one of the names at least.
    fs::create_dir(&root).unwrap();
    sh(
        &root,
        "cp -a ../tree/. .; rm a; ln -f b c; ln -f c d/b; rm e/p",
    );
    apply(&["--delete"], &root, &manifest);
    assert_same(&tree, &root);
}

#[test]
fn other_kinds_of_files_make_way() {
    let (_scratch, tree, manifest, root) = small(
        "mkdir d; echo x > d/x; echo f > f; ln -s f l; mkfifo p; mknod c c 1 3; mknod b b 7 7
        echo 1 > h; ln h d/h",
    );
    for damage in [
        "mkdir f l p c b h; echo > d",
        "ln -s /etc d; ln -s /etc/hostname f; mkfifo l c; ln -s f p; ln -s c b; ln -s d h",
        "mknod c b 1 3; mknod b c 7 7; echo > l; ln -s other p; ln -s f f; mknod h c 0 0",
        "mkdir -p f/deep/er h/deep; echo > f/deep/er/file; ln -s /etc h/deep/etc",
    ] {
        fs::create_dir(&root).unwrap();
        sh(&root, damage);
        apply(&[&source(&tree), "--delete"], &root, &manifest);
        assert_same(&tree, &root);
        fs::remove_dir_all(&root).unwrap();
    }
    assert!(Path::new("/etc/hostname").exists());
}

#[test]
fn a_full_directory_makes_way_only_if_that_is_wanted() {
    let (_scratch, tree, manifest, root) = small("echo f > f; echo g > g");
    fs::create_dir_all(root.join("f/full")).unwrap();
    fs::create_dir_all(root.join("g")).unwrap();
    let done = try_apply(&[&source(&tree)], &root, &manifest);
    assert_eq!(done.status.code(), Some(2));
    let said = text(&done.stderr);
    assert!(
        said.contains(r#""/f" cannot be made: a directory that is not empty is in its way"#),
        "{said}"
    );
    assert!(root.join("f/full").exists());
    assert_eq!(fs::read(root.join("g")).unwrap(), b"g\n");
    assert_eq!(names(&root), ["f", "g"]);
}

/// The names in a directory, sorted.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_not_listed_stays_unless_it_is_to_go() {
    let (_scratch, tree, manifest, root) = small("mkdir d; echo x > d/x");
    apply(&[&source(&tree)], &root, &manifest);
    sh(
        &root,
        "mkdir -p extra/deep d/more; echo > extra/deep/file; ln -s /etc d/link; echo > d/more/f",
    );
    apply(&[&source(&tree)], &root, &manifest);
    assert_eq!(names(&root), ["d", "extra"]);
    let mut planned = changes(&["--delete"], &root, &manifest);
    planned.sort();
    assert_eq!(
        planned,
        ["remove /d/link", "remove /d/more", "remove /extra"]
    );
    assert!(root.join("extra").exists());
    apply(&["--delete"], &root, &manifest);
    assert_same(&tree, &root);
    assert!(Path::new("/etc/hostname").exists());
}

#[test]
fn a_source_in_the_target_is_not_removed() {
    let (_scratch, tree, manifest, root) = small("mkdir d; echo x > d/x");
    apply(&[&source(&tree)], &root, &manifest);
    let inside = root.join("kept here");
    fs::rename(&tree, &inside).unwrap();
    let done = try_apply(&[&source(&inside), "--delete"], &root, &manifest);
    assert_eq!(done.status.code(), Some(2));
    let said = text(&done.stderr);
    assert!(said.contains("--delete would remove it"), "{said}");
    assert_eq!(names(&root), ["d", "kept here"]);
    let copy = continuity([Path::new("copy"), Path::new("--delete"), &inside, &root]);
    assert_eq!(copy.status.code(), Some(2));
    apply(&[&source(&inside)], &root, &manifest);
    assert_eq!(names(&root), ["d", "kept here"]);
}

#[test]
fn wrong_content_is_never_there() {
    let (_scratch, tree, manifest, root) =
        small("echo right > small; head -c 9000000 /dev/zero | tr '\\0' x > large; echo > other");
    // Another content of the same size, one that is too short, one too long.
    sh(
        &tree,
        "echo wrong > small; printf y | dd of=large bs=1 seek=8000000 conv=notrunc 2>/dev/null",
    );
    for mode in ["auto", "copy", "hardlink", "move"] {
        let done = try_apply(&[&source(&tree), "--mode", mode], &root, &manifest);
        assert_eq!(done.status.code(), Some(2), "{mode}");
        let said = text(&done.stderr);
        assert!(
            said.contains(r#""/small" cannot be made: wrong content: wanted sha256:"#),
            "{said}"
        );
        assert!(
            said.contains(r#""/large" cannot be made: wrong content"#),
            "{said}"
        );
        assert_eq!(names(&root), ["other"], "{mode}");
        assert!(tree.join("small").exists() && tree.join("large").exists());
    }
    // The right one that is there stays, and one that is wrong too.
    sh(&root, "echo right > small; echo stale > large");
    sh(&tree, "rm small; echo > other");
    let done = try_apply(&[&source(&tree)], &root, &manifest);
    assert_eq!(done.status.code(), Some(2));
    assert_eq!(fs::read(root.join("small")).unwrap(), b"right\n");
    assert_eq!(fs::read(root.join("large")).unwrap(), b"stale\n");
    assert_eq!(names(&root), ["large", "other", "small"]);
}

#[test]
fn without_digests_a_warning_and_sizes_and_times() {
    let (_scratch, tree, manifest, root) = small("echo right > f; touch -d 2001-01-01 f");
    sh(&tree, "echo wrong > f; touch -d 2001-01-01 f");
    let done = try_apply(&[&source(&tree), "--disable-digest"], &root, &manifest);
    assert!(done.status.success());
    let said = text(&done.stderr);
    assert!(said.contains("warning: content is not hashed"), "{said}");
    assert_eq!(fs::read(root.join("f")).unwrap(), b"wrong\n");
    // Then it is taken to be right, until its time differs.
    sh(&tree, "echo newer > f");
    let again = try_apply(&[&source(&tree), "--disable-digest"], &root, &manifest);
    assert!(again.status.success());
    assert_eq!(fs::read(root.join("f")).unwrap(), b"wrong\n");
    sh(&root, "touch f");
    try_apply(&[&source(&tree), "--disable-digest"], &root, &manifest);
    assert_eq!(fs::read(root.join("f")).unwrap(), b"newer\n");
}

#[test]
fn privileges_and_times_survive() {
    let (_scratch, tree, manifest, root) = small(
        "mkdir -p d/e; for f in suid sgid both; do echo $f > d/$f; done
        chown 1000:2000 d/*; chmod 4755 d/suid; chmod 2755 d/sgid; chmod 6711 d/both
        echo > d/capable; chown 1000 d/capable
        setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 d/capable
        setfacl -m u:1:rw,g:2:r d/capable; setfacl -d -m u:3:rwx d; setfacl -m u:4:x d/e
        chmod 3777 d/e; chmod 0555 d; touch -d 2002-02-02 d/* d .",
    );
    apply(&[&source(&tree)], &root, &manifest);
    assert_same(&tree, &root);
    // The kernel takes most of it away when owners change.
    sh(&root, "chown -R 0:0 .; touch d d/e .; chmod 777 d");
    apply(&[], &root, &manifest);
    assert_same(&tree, &root);
    let mode = |name: &str| fs::metadata(root.join("d").join(name)).unwrap().mode() & 0o7777;
    assert_eq!(
        (mode("suid"), mode("sgid"), mode("both")),
        (0o4755, 0o2755, 0o6711)
    );
}

#[test]
fn somebody_elses_file_does_not_become_a_privileged_one() {
    let (_scratch, tree, manifest, root) = small("echo x > f; chmod 4755 f");
    fs::create_dir(&root).unwrap();
    sh(&root, "echo x > f; chown 1000 f; touch -r ../tree/f f");
    // Its owner has it open, and writes after it was hashed.
    let open = fs::File::options()
        .write(true)
        .open(root.join("f"))
        .unwrap();
    apply(&[], &root, &manifest);
    std::os::unix::fs::FileExt::write_at(&open, b"evil", 0).unwrap();
    assert_same(&tree, &root);
}

#[test]
fn attributes_that_are_ignored_stay() {
    let (_scratch, tree, manifest, root) =
        small("echo x > f; chown 5:6 f; chmod 4751 f; setfattr -n user.k -v v f");
    let ignored = "--ignore-attr=uid,gid,mtime,xattr,mode";
    let done = try_apply(&[&source(&tree), ignored], &root, &manifest);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let file = fs::metadata(root.join("f")).unwrap();
    assert_eq!(
        (file.uid(), file.gid(), file.mode() & 0o7777),
        (0, 0, 0o600)
    );
    // A setuid bit would be that of another user.
    let done = try_apply(&["--ignore-attr=uid"], &root, &manifest);
    assert_eq!(done.status.code(), Some(2));
    let said = text(&done.stderr);
    assert!(
        said.contains(r#""/f" has not got its setuid or setgid bit"#),
        "{said}"
    );
    let file = fs::metadata(root.join("f")).unwrap();
    assert_eq!(
        (file.uid(), file.gid(), file.mode() & 0o7777),
        (0, 6, 0o751)
    );
}

#[test]
fn left_overs_are_removed() {
    let (_scratch, tree, manifest, root) = small("mkdir d; echo x > d/x");
    apply(&[&source(&tree)], &root, &manifest);
    sh(
        &root,
        "echo half > d/.continuity-0123456789abcdef; mkdir -p .continuity-00000000000000ff/x
        echo kept > .continuityignore; touch -r ../tree .; touch -r ../tree/d d",
    );
    apply(&[&source(&tree)], &root, &manifest);
    assert_eq!(names(&root), [".continuityignore", "d"]);
    assert_eq!(names(&root.join("d")), ["x"]);
}

#[test]
fn whiteouts_devices_and_sockets_can_be_left_out() {
    let (_scratch, tree, manifest, root) = small(
        "mknod gone c 0 0; mknod null c 1 3; mkdir opaque; echo > f
        setfattr -n trusted.overlay.opaque -v y opaque
        python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"s\")'",
    );
    let with_socket = build_sockets(&tree, &manifest);
    let source = source(&tree);
    apply(
        &[&source, "--whiteouts=none", "--devices=skip", "-q"],
        &root,
        &with_socket,
    );
    assert_eq!(names(&root), ["f", "opaque"]);
    let opaque = snapshot::xattr(&root.join("opaque"), "trusted.overlay.opaque");
    assert!(opaque.is_err());
    let check = try_apply(&[&source, "--devices=check"], &root, &with_socket);
    assert_eq!(check.status.code(), Some(2));
    let said = text(&check.stderr);
    assert!(
        said.contains(r#""/null" is not there, and devices are only checked"#),
        "{said}"
    );
    assert!(
        said.contains("left out 1 devices, sockets or whiteouts"),
        "{said}"
    );
    assert_eq!(names(&root), ["f", "gone", "opaque"]);
    apply(&[&source, "--sockets"], &root, &with_socket);
    assert_same(&tree, &root);
    apply(&["--devices=check", "--sockets"], &root, &with_socket);
}

fn build_sockets(tree: &Path, manifest: &Path) -> PathBuf {
    let with_socket = manifest.with_extension("sockets");
    let arguments = ["build", "--sockets", "-o"].map(AsRef::as_ref);
    let paths = [with_socket.as_os_str(), tree.as_os_str()];
    assert!(
        continuity(arguments.into_iter().chain(paths))
            .status
            .success()
    );
    with_socket
}

#[test]
fn links_and_moves_take_the_sources_own_files() {
    let (_scratch, tree, manifest, root) = small("mkdir d; echo x > d/x; echo y > y; ln y d/y");
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let x = inode(&tree.join("d/x"));
    let source = source(&tree);
    let linked = try_apply(&[&source, "--mode=hardlink"], &root, &manifest);
    assert!(linked.status.success(), "{}", text(&linked.stderr));
    assert_eq!(inode(&root.join("d/x")), x);
    // What would change the source is refused.
    fs::remove_dir_all(&root).unwrap();
    sh(&tree, "chmod 600 d/x");
    let refused = try_apply(&[&source, "--mode=hardlink"], &root, &manifest);
    assert_eq!(refused.status.code(), Some(2));
    let said = text(&refused.stderr);
    assert!(said.contains(r#""/d/x" cannot be hard-linked"#), "{said}");
    assert_eq!(
        fs::metadata(tree.join("d/x")).unwrap().mode() & 0o777,
        0o600
    );
    assert_eq!(names(&root.join("d")), ["y"]);
    fs::remove_dir_all(&root).unwrap();

    apply(&[&source, "--mode=move"], &root, &manifest);
    assert_eq!(inode(&root.join("d/x")), x);
    let verified = continuity(["verify".as_ref(), root.as_os_str(), manifest.as_os_str()]);
    assert!(verified.status.success(), "{}", text(&verified.stdout));
    assert_eq!(names(&tree.join("d")), [""; 0]);
    assert_eq!(names(&tree), ["d"]);
    // From where it is, nothing moves.
    apply(&[&applied::source(&root), "--mode=move"], &root, &manifest);
    assert_eq!(names(&root.join("d")), ["x", "y"]);
}

#[test]
fn a_dry_run_tells_what_the_source_does_not_have() {
    let (_scratch, tree, manifest, root) = small("echo x > x; echo y > y; ln y z; echo w > w");
    fs::create_dir(&root).unwrap();
    sh(&tree, "rm x; echo longer > y");
    let done = try_apply(&[&source(&tree), "--dry-run"], &root, &manifest);
    let (printed, said) = (text(&done.stdout), text(&done.stderr));
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert!(said.contains(r#""/x" cannot be made"#), "{said}");
    assert!(said.contains(r#""/y" cannot be made"#), "{said}");
    assert!(printed.contains("create /w"), "{printed}");
    assert!(!printed.contains("/x"), "{printed}");
    assert_eq!(names(&root), [""; 0]);
}

#[test]
fn a_dry_run_needs_no_root() {
    let (_scratch, tree, manifest, root) = small("mkdir d; echo x > d/x; ln d/x y; ln -s y z");
    assert!(!root.exists());
    let done = try_apply(&[&source(&tree), "--dry-run"], &root, &manifest);
    let (printed, said) = (text(&done.stdout), text(&done.stderr));
    assert!(done.status.success(), "{said}");
    let mut lines: Vec<&str> = printed.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["create /d", "create /d/x", "create /z", "link /y"]);
    assert!(!root.exists());
    // What could not be made is told as it would be without.
    let below = root.join("below");
    for words in [&["--dry-run"][..], &[]] {
        let done = try_apply(&[&[&*source(&tree)], words].concat(), &below, &manifest);
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{said}");
        assert!(said.contains("cannot make directory"), "{said}");
    }
    let done = try_apply(&["--dry-run"], &root, &manifest);
    assert!(text(&done.stderr).contains("cannot open directory"));
}

#[test]
fn files_and_directories_are_brought_to_the_disk() {
    for (word, wanted) in [("--fsync", 4), ("--delete", 0)] {
        let (scratch, tree, manifest, root) = small("mkdir d; echo x > d/x; echo y > y");
        let trace = scratch.path().join("trace");
        let done = Command::new("strace")
            .args(["-f", "-e", "trace=fsync,fdatasync,syncfs", "-o"])
            .arg(&trace)
            .arg(env!("CARGO_BIN_EXE_continuity"))
            .args(["apply", word, &source(&tree)])
            .args([&root, &manifest])
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", text(&done.stderr));
        let trace = fs::read_to_string(trace).unwrap();
        assert_eq!(trace.matches("sync(").count(), wanted, "{trace}");
        assert!(!trace.contains("= -1"), "{trace}");
    }
}

#[test]
fn blobs_of_an_image_can_be_the_source() {
    let (scratch, tree, manifest, root) = small("mkdir d; echo x > d/x; cp d/x y; : > empty");
    sh(
        scratch.path(),
        "mkdir -p oci/blobs/sha256; for f in tree/d/x tree/empty; do \
         cp $f oci/blobs/sha256/$(sha256sum < $f | cut -d' ' -f1); done",
    );
    let source = format!("--source=oci:{}", scratch.path().join("oci").display());
    apply(&[&source], &root, &manifest);
    assert_same(&tree, &root);
    fs::remove_dir_all(&root).unwrap();
    sh(
        scratch.path(),
        "for f in oci/blobs/sha256/*; do printf z > $f; done",
    );
    let done = try_apply(&[&source], &root, &manifest);
    assert_eq!(done.status.code(), Some(2));
    assert!(!root.join("y").exists());
}

/// A filesystem in memory on a directory, as long as this lives.
struct Tmpfs(std::path::PathBuf);

impl Tmpfs {
    fn new(on: &Path) -> Self {
        fs::create_dir(on).unwrap();
        sh(on, "mount -t tmpfs none .");
        Self(on.to_owned())
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}

#[test]
fn a_move_that_ended_between_copying_and_removing_goes_on() {
    let (_scratch, tree, manifest, root) =
        small("mkdir d; echo x > d/x; echo y > y; ln y d/y; echo z > z");
    let _elsewhere = Tmpfs::new(&root);
    // As if it had been ended right before the names went.
    apply(&[&source(&tree), "--mode=copy"], &root, &manifest);
    sh(&tree, "echo Z > z");
    apply(&[&source(&tree), "--mode=move"], &root, &manifest);
    let verified = continuity(["verify".as_ref(), root.as_os_str(), manifest.as_os_str()]);
    assert!(verified.status.success(), "{}", text(&verified.stdout));
    // What is something else by now stays.
    assert_eq!(names(&tree), ["d", "z"]);
    assert_eq!(names(&tree.join("d")), [""; 0]);
}

#[test]
fn a_move_of_several_names_that_ended_between_them_goes_on() {
    for stays in ["d", "z"] {
        let (_scratch, tree, manifest, root) = small("mkdir d z; echo y > d/y; ln d/y z/y");
        let _elsewhere = Tmpfs::new(&root);
        // It ends at one of the names in the source, which cannot go.
        sh(&tree, &format!("mount --bind {stays} {stays}"));
        sh(&tree, &format!("mount -o remount,bind,ro {stays}"));
        let done = try_apply(&[&source(&tree), "--mode=move"], &root, &manifest);
        sh(&tree, &format!("umount {stays}"));
        assert_eq!(done.status.code(), Some(2), "{}", text(&done.stderr));
        apply(&[&source(&tree), "--mode=move"], &root, &manifest);
        let verified = continuity(["verify".as_ref(), root.as_os_str(), manifest.as_os_str()]);
        assert!(verified.status.success(), "{}", text(&verified.stdout));
        for directory in ["d", "z"] {
            assert_eq!(names(&tree.join(directory)), [""; 0], "{directory}");
        }
    }
}

/// Removing the source's name would remove the target.
#[test]
fn what_is_seen_in_two_ways_is_not_moved_away() {
    let (scratch, tree, manifest, root) = small("echo x > x; mkdir d; echo y > d/y");
    let here = scratch.path();
    let _elsewhere = Tmpfs::new(&here.join("upper"));
    fs::create_dir(&root).unwrap();
    sh(
        here,
        &format!(
            "mkdir upper/u upper/w
             mount -t overlay none -o lowerdir={},upperdir=upper/u,workdir=upper/w {}",
            tree.display(),
            root.display()
        ),
    );
    let overlay = Tmpfs(root.clone());
    let moved = try_apply(&[&source(&tree), "--mode=move"], &root, &manifest);
    let verified = continuity(["verify".as_ref(), root.as_os_str(), manifest.as_os_str()]);
    drop(overlay);
    assert!(moved.status.success(), "{}", text(&moved.stderr));
    assert!(verified.status.success(), "{}", text(&verified.stdout));
}

#[test]
fn nobody_else_is_at_work() {
    let (_scratch, tree, manifest, root) = small("echo x > f");
    fs::create_dir(&root).unwrap();
    let directory = fs::File::open(&root).unwrap();
    rustix::fs::flock(&directory, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let refused = try_apply(&[&source(&tree)], &root, &manifest);
    assert_eq!(refused.status.code(), Some(2));
    let said = text(&refused.stderr);
    assert!(said.contains("another apply is at work on"), "{said}");
    assert_eq!(names(&root), [""; 0]);
}

#[test]
fn no_link_in_the_target_is_followed() {
    let (scratch, tree, manifest, root) = small("mkdir -p d/e; echo x > d/e/x; ln -s /etc l");
    let outside = scratch.path().join("outside");
    fs::create_dir_all(outside.join("e")).unwrap();
    fs::create_dir(&root).unwrap();
    symlink(&outside, root.join("d")).unwrap();
    apply(&[&source(&tree)], &root, &manifest);
    assert_same(&tree, &root);
    assert_eq!(names(&outside.join("e")), [""; 0]);
}

#[test]
fn copy_makes_the_same_tree_elsewhere() {
    let (scratch, tree, _, root) = all();
    let manifest = scratch.path().join("written");
    let done = continuity([
        "copy".as_ref(),
        "--sockets".as_ref(),
        "-o".as_ref(),
        manifest.as_os_str(),
        tree.as_os_str(),
        root.as_os_str(),
    ]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_same(&tree, &root);
    apply(&["--sockets"], &root, &manifest);
}
