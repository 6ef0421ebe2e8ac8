//! From mounting to the end, however it comes: what was there before is there
//! again, and nothing of somebody else's is touched.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod mounted;
mod tree;

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use mounted::{Mount, in_time, mounts_at, run, wait_until};
use rustix::fs::{Advice, CWD, FileType, Mode, Timespec, XattrFlags};
use rustix::io::Errno;
use rustix::mount::MountFlags;
use tempfile::TempDir;
use tree::{continuity, scratch, text};

/// A small tree, built.
struct Scene {
    scratch: TempDir,
}

impl Scene {
    fn new() -> Self {
        let scratch = scratch();
        let tree = scratch.path().join("tree");
        fs::create_dir_all(tree.join("dir")).unwrap();
        fs::write(tree.join("file"), "content\n").unwrap();
        fs::write(tree.join("dir/large"), vec![b'x'; 3 << 20]).unwrap();
        let scene = Self { scratch };
        scene.build();
        scene
    }

    fn build(&self) {
        let built = continuity([
            "build".as_ref(),
            "-o".as_ref(),
            self.manifest().as_os_str(),
            self.tree().as_os_str(),
        ]);
        assert!(built.status.success(), "{}", text(&built.stderr));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn tree(&self) -> PathBuf {
        self.path("tree")
    }

    fn manifest(&self) -> PathBuf {
        self.path("manifest")
    }

    fn mount(&self) -> Mount {
        Mount::new(&self.manifest(), &self.tree())
    }

    /// A mount at a path of the caller's.
    fn mount_at(&self, path: &Path) -> Mount {
        let mount = Mount::start_at(scratch(), path.to_owned(), |path| {
            let mut command = program();
            command.args(["mount".as_ref(), path, &self.manifest(), &self.tree()]);
            command
        });
        mount.wait_for("INFO  mounted");
        mount
    }

    /// Mounting that has to fail.
    fn refuse(&self, arguments: &[&str]) -> Output {
        let output = in_time("mount", || continuity(arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert_eq!(mounts_at(&self.path("mount")), [""; 0], "{arguments:?}");
        output
    }
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_continuity"))
}

/// A filesystem of the test's own; it is gone with this.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn over(path: &Path) -> Self {
        run(
            "mount",
            [
                "-t".as_ref(),
                "tmpfs".as_ref(),
                "precious".as_ref(),
                path.as_os_str(),
            ],
        );
        fs::write(path.join("precious"), "").unwrap();
        Self(path.to_owned())
    }

    fn is_there(&self) -> bool {
        self.0.join("precious").exists()
    }

    fn unmount(self) {
        run("umount", [&self.0]);
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        if self.is_there() {
            let _ = Command::new("umount").arg("-l").arg(&self.0).output();
        }
    }
}

/// Reads what the kernel may not have.
fn read_cold(file: &File) -> std::io::Result<u8> {
    rustix::fs::fadvise(file, 0, None, Advice::DontNeed)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, 1 << 20)?;
    Ok(byte[0])
}

#[test]
fn unmounted_from_outside() {
    let scene = Scene::new();
    let mount = scene.mount();
    let path = mount.path().to_owned();
    assert!(mount.unmount().success());
    assert_eq!(mounts_at(&path), [""; 0]);
}

#[test]
fn told_to_end() {
    for signal in ["HUP", "INT", "TERM"] {
        let scene = Scene::new();
        let mut mount = scene.mount();
        mount.signal(signal);
        assert!(mount.wait().success(), "{signal}: {}", mount.log());
        assert!(!mount.is_mounted());
        mount.wait_for("INFO  unmounted");
    }
}

/// As systemd reads it with Type=notify, in the foreground and in the background.
#[test]
fn a_service_manager_is_told() {
    let scene = Scene::new();
    fs::create_dir(scene.path("mount")).unwrap();
    let name = scene.path("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&name).unwrap();
    socket.set_read_timeout(Some(mounted::PATIENCE)).unwrap();
    let hear = || {
        let mut message = [0; 256];
        let count = socket.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..count]).into_owned()
    };
    for flag in [&[][..], &["--daemon"]] {
        let mut started = program()
            .arg("mount")
            .args(flag)
            .args([scene.path("mount"), scene.manifest(), scene.tree()])
            .env("NOTIFY_SOCKET", &name)
            .spawn()
            .unwrap();
        if flag.is_empty() {
            // For the case that all of it is killed.
            for what in ["connection", "state", "manifest"] {
                let name = format!("FDSTORE=1\nFDNAME=continuity-{what}");
                assert_eq!(hear(), name);
            }
        }
        let ready = hear();
        assert!(ready.starts_with("READY=1\n"), "{ready}");
        let pid = ready.lines().find_map(|line| line.strip_prefix("MAINPID="));
        let pid = pid.unwrap().to_owned();
        assert_eq!(pid == started.id().to_string(), flag.is_empty());
        wait_until(
            || mounts_at(&scene.path("mount")) == ["fuse.continuity"],
            || "not mounted".to_owned(),
        );
        run("kill", ["-s", "TERM", &pid]);
        let mut told = vec![hear()];
        while !told.last().unwrap().contains("STATUS=unmounted") {
            told.push(hear());
        }
        // Nothing of it need be kept any more.
        let is_kept_no_more = |message: &String| message.starts_with("FDSTOREREMOVE=1\n");
        assert!(told.iter().any(is_kept_no_more), "{told:?}");
        told.retain(|message| !is_kept_no_more(message));
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(
            told.iter()
                .all(|message| message.starts_with("STOPPING=1\n")),
            "{told:?}"
        );
        assert!(started.wait().unwrap().success());
    }
}

#[test]
fn an_open_file_can_be_read_to_its_end() {
    let scene = Scene::new();
    let mut mount = scene.mount();
    let file = File::open(mount.join("dir/large")).unwrap();
    mount.signal("TERM");
    wait_until(|| !mount.is_mounted(), || mount.log());
    for _ in 0..3 {
        assert_eq!(read_cold(&file).unwrap(), b'x');
    }
    assert!(fs::read_dir(mount.path()).unwrap().next().is_none());
    assert!(Path::new(&format!("/proc/{}", mount.pid())).exists());
    drop(file);
    assert!(mount.wait().success(), "{}", mount.log());
}

#[test]
fn what_is_mounted_in_it_stays() {
    let scene = Scene::new();
    let mut mount = scene.mount();
    let inside = mount.join("dir");
    run(
        "mount",
        [
            "-t".as_ref(),
            "tmpfs".as_ref(),
            "inside".as_ref(),
            inside.as_os_str(),
        ],
    );
    fs::write(inside.join("precious"), "still here").unwrap();
    mount.signal("TERM");
    mount.wait_for("event=covered");
    assert_eq!(fs::read(inside.join("precious")).unwrap(), b"still here");
    run("umount", [&inside]);
    assert!(mount.wait().success(), "{}", mount.log());
    assert!(!mount.is_mounted());
}

#[test]
fn a_second_signal_ends_it() {
    let scene = Scene::new();
    let mut mount = scene.mount();
    let file = File::open(mount.join("dir/large")).unwrap();
    mount.signal("TERM");
    mount.wait_for("this ends when nobody uses the files");
    mount.signal("TERM");
    assert_eq!(mount.wait().code(), Some(1), "{}", mount.log());
    assert!(in_time("read", || read_cold(&file)).is_err());
    assert!(!mount.is_mounted());
}

/// What was mounted over it is not ours to take. Ours goes when it can.
#[test]
fn what_lies_over_it_stays() {
    let scene = Scene::new();
    let mut mount = scene.mount();
    let over = Tmpfs::over(mount.path());
    mount.signal("TERM");
    mount.wait_for("event=covered");
    assert!(over.is_there());
    assert_eq!(mounts_at(mount.path()), ["fuse.continuity", "tmpfs"]);
    over.unmount();
    assert!(mount.wait().success(), "{}", mount.log());
    assert_eq!(mounts_at(mount.path()), [""; 0]);
}

#[test]
fn what_lies_over_it_stays_when_it_ends_at_once() {
    let scene = Scene::new();
    let mut mount = scene.mount();
    let over = Tmpfs::over(mount.path());
    mount.signal("TERM");
    mount.wait_for("event=covered");
    mount.signal("INT");
    assert_eq!(mount.wait().code(), Some(1));
    assert!(over.is_there());
    over.unmount();
}

/// The kernel gives the number of a mount that is gone to the next one.
#[test]
fn what_got_its_number_stays() {
    let scene = Scene::new();
    let mut mount = scene.mount();
    let elsewhere = scene.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    run("mount", ["--bind".as_ref(), mount.path(), &elsewhere]);
    run("umount", [mount.path()]);
    let next = Tmpfs::over(mount.path());
    mount.signal("TERM");
    mount.wait_for("signal 15");
    assert!(next.is_there());
    // It is still served where it was bound.
    assert_eq!(fs::read(elsewhere.join("file")).unwrap(), b"content\n");
    run("umount", [&elsewhere]);
    assert!(mount.wait().success(), "{}", mount.log());
    assert!(next.is_there());
    next.unmount();
}

/// The next mount of the same kind can get both of its numbers, while whoever
/// looked after it has not seen yet that it is gone.
#[test]
fn what_got_both_of_its_numbers_stays() {
    let numbers = |mount: &Mount| {
        let flags = rustix::fs::AtFlags::empty();
        let wanted = rustix::fs::StatxFlags::MNT_ID;
        let found = rustix::fs::statx(CWD, mount.path(), flags, wanted).unwrap();
        (found.stx_mnt_id, found.stx_dev_minor)
    };
    let scene = Scene::new();
    for _ in 0..100 {
        let mut first = scene.mount();
        let of_first = numbers(&first);
        first.signal("STOP");
        run("umount", [first.path()]);
        // It will be the first thing that it hears of.
        first.signal("TERM");
        let second = scene.mount();
        let is_same = numbers(&second) == of_first;
        first.signal("CONT");
        assert!(first.wait().success(), "{}", first.log());
        assert!(second.is_mounted());
        assert_eq!(fs::read(second.join("file")).unwrap(), b"content\n");
        if is_same {
            return;
        }
    }
    panic!("the kernel never gave both numbers again");
}

#[test]
fn a_mount_that_was_moved_is_found() {
    let scene = Scene::new();
    let area = scene.path("area");
    fs::create_dir(&area).unwrap();
    let tmpfs = Tmpfs::over(&area);
    // Nothing can be moved in a mount that is shared.
    run("mount", ["--make-private".as_ref(), area.as_os_str()]);
    let (from, to) = (area.join("from"), area.join("to here"));
    fs::create_dir(&from).unwrap();
    fs::create_dir(&to).unwrap();
    let mut mount = scene.mount_at(&from);
    run("mount", ["--move".as_ref(), from.as_path(), &to]);
    assert_eq!(fs::read(to.join("file")).unwrap(), b"content\n");
    mount.signal("TERM");
    assert!(mount.wait().success(), "{}", mount.log());
    assert!(fs::read_dir(&to).unwrap().next().is_none());
    drop(mount);
    tmpfs.unmount();
}

/// Mounting over something else, and giving it back.
#[test]
fn what_lies_below_comes_back() {
    let scene = Scene::new();
    let place = scene.path("place");
    fs::create_dir(&place).unwrap();
    let below = Tmpfs::over(&place);
    let mut mount = scene.mount_at(&place);
    assert!(!below.is_there());
    mount.signal("TERM");
    assert!(mount.wait().success());
    assert!(below.is_there());
    below.unmount();
}

#[test]
fn killed() {
    let scene = Scene::new();
    let mut mount = scene.mount();
    mount.kill();
    let error = in_time("read", || fs::read(mount.join("file"))).unwrap_err();
    // The first one to ask may have been heard.
    let errno = Errno::from_io_error(&error).unwrap();
    assert!([Errno::NOTCONN, Errno::CONNABORTED].contains(&errno));
    run("umount", [mount.path()]);
    assert_eq!(mounts_at(mount.path()), [""; 0]);
}

#[test]
fn a_dead_mount_is_replaced() {
    let scene = Scene::new();
    let mut dead = scene.mount();
    // Its root is in the kernel's memory, and looks well.
    assert!(dead.path().metadata().unwrap().is_dir());
    dead.kill();
    assert_eq!(mounts_at(dead.path()), ["fuse.continuity"]);
    let mut mount = scene.mount_at(dead.path());
    mount.wait_for("event=stale_mount_replaced");
    assert_eq!(mounts_at(dead.path()), ["fuse.continuity"]);
    assert_eq!(fs::read(mount.join("file")).unwrap(), b"content\n");
    mount.signal("TERM");
    assert!(mount.wait().success());
    assert_eq!(mounts_at(dead.path()), [""; 0]);
}

/// A mount that is served is not replaced: the next one lies over it.
#[test]
fn a_live_mount_is_not_replaced() {
    let scene = Scene::new();
    let below = scene.mount();
    let mut over = scene.mount_at(below.path());
    assert!(!over.log().contains("stale"), "{}", over.log());
    assert_eq!(
        mounts_at(below.path()),
        ["fuse.continuity", "fuse.continuity"]
    );
    over.signal("TERM");
    assert!(over.wait().success());
    assert_eq!(mounts_at(below.path()), ["fuse.continuity"]);
    assert_eq!(fs::read(below.join("file")).unwrap(), b"content\n");
    assert!(below.unmount().success());
}

#[test]
fn two_mounts_of_one_manifest() {
    let scene = Scene::new();
    let (first, second) = (scene.mount(), scene.mount());
    assert_eq!(fs::read(first.join("file")).unwrap(), b"content\n");
    assert!(first.unmount().success());
    assert_eq!(fs::read(second.join("file")).unwrap(), b"content\n");
    assert!(second.unmount().success());
}

#[test]
fn a_manifest_on_standard_input() {
    let scene = Scene::new();
    let place = scene.path("place");
    fs::create_dir(&place).unwrap();
    let mount = Mount::start_at(scratch(), place, |path| {
        let mut command = program();
        command
            .args(["mount".as_ref(), path, "-".as_ref(), &scene.tree()])
            .stdin(File::open(scene.manifest()).unwrap());
        command
    });
    mount.wait_for("INFO  mounted");
    assert_eq!(fs::read(mount.join("file")).unwrap(), b"content\n");
    assert!(mount.unmount().success());
}

#[test]
fn what_cannot_be_is_refused() {
    let scene = Scene::new();
    let at = |name: &str| scene.path(name).to_str().unwrap().to_owned();
    fs::create_dir_all(scene.path("mount/backing")).unwrap();
    fs::write(scene.path("plain"), "").unwrap();
    fs::write(scene.path("broken"), "\x0a\x7f").unwrap();
    let (mount, manifest, tree) = (&*at("mount"), &*at("manifest"), &*at("tree"));
    let (plain, missing) = (&*at("plain"), &*at("missing"));
    let (broken, below) = (&*at("broken"), &*at("mount/backing"));
    let wrong = format!("sha256:{:064}", 0);
    let wrong_option = format!("digest={wrong}");
    for (arguments, told) in [
        (
            &[missing, manifest, tree][..],
            &["missing", "No such file"][..],
        ),
        (&[plain, manifest, tree], &["plain", "Not a directory"]),
        (&[mount, missing, tree], &["missing", "No such file"]),
        (&[mount, broken, tree], &["broken", "at byte 0"]),
        (&[mount, tree, tree], &["Is a directory"]),
        (&[mount, manifest, missing], &["missing", "No such file"]),
        (&[mount, manifest, plain], &["plain", "Not a directory"]),
        (&[mount, manifest, mount], &["in the mountpoint"]),
        (&[mount, manifest, below], &["in the mountpoint"]),
        (&[mount, manifest], &["backing=DIR"]),
        (&["-o", "bakcing=x", mount, manifest, tree], &["bakcing=x"]),
        (
            &["--digest", &wrong, mount, manifest, tree],
            &["wanted sha256:000", "found sha256:"],
        ),
        (
            &["-o", &wrong_option, mount, manifest, tree],
            &["wanted sha256:000", "found sha256:"],
        ),
        (&["--digest", "md5:00", mount, manifest, tree], &["md5"]),
        (
            &["-o", "digest=sha256:0", mount, manifest, tree],
            &["digest="],
        ),
    ] {
        let output = scene.refuse(&[&["mount"], arguments].concat());
        let said = text(&output.stderr);
        assert_eq!(
            said.lines()
                .filter(|line| line.starts_with("continuity: "))
                .count(),
            1,
            "{said}"
        );
        for word in told {
            assert!(
                said.contains(word),
                "{arguments:?}: {word:?} is not in {said}"
            );
        }
    }
}

#[test]
fn the_right_digest_is_accepted() {
    let scene = Scene::new();
    let digest = run("sha256sum", [scene.manifest()]);
    let digest = format!("sha256:{}", &digest[..64]);
    let option = format!("digest={digest}");
    for arguments in [["--digest", &digest], ["-o", &option]] {
        let mount = Mount::with(&scene.manifest(), &scene.tree(), &arguments);
        assert!(!mount.log().contains("unpinned"), "{}", mount.log());
        assert!(mount.unmount().success());
    }
    // The process that logs it is another one than that which says "mounted".
    scene.mount().wait_for(&format!("--digest {digest}"));
}

/// Part of a protobuf message: a field with bytes, shorter than 128.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2, bytes.len() as u8];
    field.extend_from_slice(bytes);
    field
}

fn resource(path: &str, mode: u32) -> Vec<u8> {
    let mut message = field(1, path.as_bytes());
    message.push(6 << 3);
    let mut rest = mode;
    while rest >= 0x80 {
        message.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    message.push(rest as u8);
    field(1, &message)
}

#[test]
fn hostile_manifests_are_refused() {
    const DIR: u32 = 1 << 31 | 0o755;
    const FILE: u32 = 0o644;
    let scene = Scene::new();
    fs::create_dir(scene.path("mount")).unwrap();
    for (resources, named) in [
        (vec![resource("/../etc/passwd", FILE)], "/../etc/passwd"),
        (vec![resource("/a/../../b", FILE)], "/a/../../b"),
        (vec![resource("relative", FILE)], "relative"),
        (vec![resource("/a//b", FILE)], "/a//b"),
        (vec![resource("/a", FILE), resource("/a", FILE)], "/a"),
        (vec![resource("/a", FILE), resource("/a/b", FILE)], "/a"),
        (vec![resource("/d", DIR), resource("/d", FILE)], "/d"),
        (vec![resource("/", FILE)], "\"/\""),
        (vec![resource("/esc\x1b[2J", DIR | 1 << 27)], r"/esc\x1b[2J"),
    ] {
        let path = scene.path("hostile");
        fs::write(&path, resources.concat()).unwrap();
        let arguments = [&scene.path("mount"), &path, &scene.tree()];
        let arguments = arguments.map(|path| path.to_str().unwrap());
        let said = text(&scene.refuse(&[&["mount"], &arguments[..]].concat()).stderr);
        assert!(said.contains(named), "{named:?} is not in {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

/// A path of the manifest that leads through the backing into the mount itself
/// would wait for its own answer.
#[test]
fn a_mount_inside_its_backing_does_not_wait_for_itself() {
    let scene = Scene::new();
    let place = scene.tree().join("place");
    for directory in [".", "dir", "place/dir", "place", "place/place/dir"] {
        fs::create_dir_all(scene.tree().join(directory)).unwrap();
        fs::write(scene.tree().join(directory).join("same"), "same\n").unwrap();
    }
    scene.build();
    let mount = scene.mount_at(&place);
    in_time("reading", || {
        std::thread::scope(|scope| {
            for _ in 0..32 {
                scope.spawn(|| {
                    assert_eq!(fs::read(mount.join("file")).unwrap(), b"content\n");
                    for inside in ["place/same", "place/dir/same", "place/place/dir/same"] {
                        let error = fs::read(mount.join(inside)).unwrap_err();
                        let errno = Errno::from_io_error(&error);
                        assert_eq!(errno, Some(Errno::IO), "{inside}");
                    }
                });
            }
        });
        run("find", [mount.path()]);
    });
    mount.wait_for("reason=escape path=\"/place/same\"");
    assert!(mount.unmount().success());
}

/// Root can make it writable for the kernel; we change nothing all the same.
#[test]
fn remounted_for_writing() {
    let scene = Scene::new();
    rustix::fs::setxattr(
        scene.tree().join("file"),
        "user.k",
        b"v",
        XattrFlags::empty(),
    )
    .unwrap();
    scene.build();
    let mount = scene.mount();
    let path = mount.join("file");
    assert_eq!(fs::read(&path).unwrap(), b"content\n");
    // It is read-only again as soon as the server sees it, unless we are faster:
    // a file that is open for writing is in the way of that.
    let file = (0..10_000)
        .find_map(|_| {
            let flags = MountFlags::NOSUID | MountFlags::NODEV;
            rustix::mount::mount_remount(mount.path(), flags, "").unwrap();
            File::options().write(true).open(&path).ok()
        })
        .unwrap();
    let now = Timespec {
        tv_sec: 1,
        tv_nsec: 0,
    };
    let times = rustix::fs::Timestamps {
        last_access: now,
        last_modification: now,
    };
    let other = mount.join("other");
    let io = |result: std::io::Result<()>| Errno::from_io_error(&result.unwrap_err()).unwrap();
    let refusals = [
        ("write", io(file.write_at(b"X", 0).map(drop))),
        ("ftruncate", io(file.set_len(0))),
        (
            "fchmod",
            io(file.set_permissions(fs::Permissions::from_mode(0o777))),
        ),
        ("futimens", rustix::fs::futimens(&file, &times).unwrap_err()),
        ("open O_TRUNC", io(File::create(&path).map(drop))),
        ("open O_CREAT", io(File::create(&other).map(drop))),
        ("open O_EXCL", io(File::create_new(&other).map(drop))),
        ("truncate", rustix::fs::ftruncate(&file, 100).unwrap_err()),
        (
            "fallocate",
            rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 100).unwrap_err(),
        ),
        ("chmod", rustix::fs::chmod(&path, Mode::RWXU).unwrap_err()),
        ("chown", io(std::os::unix::fs::chown(&path, Some(5), None))),
        (
            "lchown",
            io(std::os::unix::fs::lchown(&path, None, Some(5))),
        ),
        ("unlink", io(fs::remove_file(&path))),
        ("rmdir", io(fs::remove_dir(mount.join("dir")))),
        ("mkdir", io(fs::create_dir(&other))),
        ("rename", io(fs::rename(&path, &other))),
        ("link", io(fs::hard_link(&path, &other))),
        ("symlink", io(std::os::unix::fs::symlink("x", &other))),
        (
            "mknod",
            rustix::fs::mknodat(CWD, &other, FileType::Fifo, Mode::RUSR, 0).unwrap_err(),
        ),
        (
            "setxattr",
            rustix::fs::setxattr(&path, "user.k", b"w", XattrFlags::empty()).unwrap_err(),
        ),
        (
            "removexattr",
            rustix::fs::removexattr(&path, "user.k").unwrap_err(),
        ),
    ];
    // Told in the kernel's own word (fs/fuse/dir.c): fuser has no answer to it.
    let unnamed = File::options()
        .write(true)
        .custom_flags(rustix::fs::OFlags::TMPFILE.bits() as i32)
        .open(mount.path());
    assert_eq!(io(unnamed.map(drop)), Errno::OPNOTSUPP);
    let others: Vec<_> = refusals
        .iter()
        .filter(|(_, errno)| *errno != Errno::ROFS)
        .collect();
    assert!(others.is_empty(), "not EROFS: {others:?}");
    drop(file);
    wait_until(
        || is_read_only(mount.path()),
        || "still writable".to_owned(),
    );
    mount.wait_for("event=remounted");

    // Nobody in the way: at once.
    run(
        "mount",
        [
            "-i".as_ref(),
            "-o".as_ref(),
            "remount,rw".as_ref(),
            mount.path().as_os_str(),
        ],
    );
    let start = Instant::now();
    wait_until(
        || is_read_only(mount.path()),
        || "still writable".to_owned(),
    );
    assert!(start.elapsed() < Duration::from_secs(1));
    let attributes = run(
        "findmnt",
        [
            "-n".as_ref(),
            "-o".as_ref(),
            "OPTIONS".as_ref(),
            mount.path().as_os_str(),
        ],
    );
    assert!(
        attributes.contains("nosuid") && attributes.contains("nodev"),
        "{attributes}"
    );
    assert_eq!(fs::read(&path).unwrap(), b"content\n");
    assert!(mount.unmount().success());
}

fn is_read_only(path: &Path) -> bool {
    let options = run(
        "findmnt",
        [
            "-n".as_ref(),
            "-o".as_ref(),
            "FS-OPTIONS".as_ref(),
            path.as_os_str(),
        ],
    );
    options.trim().split(',').any(|option| option == "ro")
}

/// Root runs no program to mount, whatever the environment says.
#[test]
fn no_planted_program_is_run() {
    let scene = Scene::new();
    fs::create_dir(scene.path("mount")).unwrap();
    let planted = scene.path("bin");
    let mark = scene.path("mark");
    fs::create_dir(&planted).unwrap();
    for name in ["fusermount3", "fusermount", "mount", "umount"] {
        let program = planted.join(name);
        fs::write(
            &program,
            format!("#!/bin/sh\necho $0 >>{}\n", mark.display()),
        )
        .unwrap();
        tree::set_mode(&program, 0o755);
    }
    let paths = [scene.path("mount"), scene.manifest(), scene.tree()];
    // Without the right to mount, which is when one might be asked for help.
    let output = in_time("mount", || {
        Command::new("setpriv")
            .args(["--bounding-set=-sys_admin", "--inh-caps=-sys_admin"])
            .arg("/usr/bin/env")
            .arg(format!("PATH={}", planted.display()))
            .arg(format!("FUSERMOUNT_PATH={}/fusermount3", planted.display()))
            .args([env!("CARGO_BIN_EXE_continuity"), "mount"])
            .args(&paths)
            .output()
            .unwrap()
    });
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output.stderr).contains("cannot mount: Operation not permitted"));
    let mut mount = Mount::start_at(scratch(), scene.path("mount"), |_| {
        let mut command = program();
        command
            .arg("mount")
            .args(&paths)
            .env("PATH", &planted)
            .env("FUSERMOUNT_PATH", planted.join("fusermount3"));
        command
    });
    mount.wait_for("INFO  mounted");
    mount.signal("TERM");
    assert!(mount.wait().success());
    assert!(!mark.exists(), "{}", fs::read_to_string(&mark).unwrap());
}
