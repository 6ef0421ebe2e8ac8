//! How a mount ends, and what is there then.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{Advice, CWD};
use rustix::io::Errno;

use crate::mounted::{Mount, PATIENCE, in_time, mounts_at, run, wait_until};
use crate::{mount_at, program, scene};

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
    let scene = scene();
    let mount = scene.mount(&[]);
    let path = mount.path().to_owned();
    assert!(mount.unmount().success());
    assert_eq!(mounts_at(&path), [""; 0]);
}

#[test]
fn told_to_end() {
    for signal in ["HUP", "INT", "TERM"] {
        let scene = scene();
        let mut mount = scene.mount(&[]);
        mount.signal(signal);
        assert!(mount.wait().success(), "{signal}: {}", mount.log());
        assert!(!mount.is_mounted());
        mount.wait_for("INFO  unmounted");
    }
}

/// As systemd reads it with Type=notify, in the foreground and in the background.
#[test]
fn a_service_manager_is_told() {
    let scene = scene();
    fs::create_dir(scene.path("mount")).unwrap();
    let name = scene.path("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&name).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
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
    let scene = scene();
    let mut mount = scene.mount(&[]);
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
    let scene = scene();
    let mut mount = scene.mount(&[]);
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
    let scene = scene();
    let mut mount = scene.mount(&[]);
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
    let scene = scene();
    let mut mount = scene.mount(&[]);
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
    let scene = scene();
    let mut mount = scene.mount(&[]);
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
    let scene = scene();
    let mut mount = scene.mount(&[]);
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
    let scene = scene();
    for _ in 0..100 {
        let mut first = scene.mount(&[]);
        let of_first = numbers(&first);
        first.signal("STOP");
        run("umount", [first.path()]);
        // It will be the first thing that it hears of.
        first.signal("TERM");
        let second = scene.mount(&[]);
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
    let scene = scene();
    let area = scene.path("area");
    fs::create_dir(&area).unwrap();
    let tmpfs = Tmpfs::over(&area);
    // Nothing can be moved in a mount that is shared.
    run("mount", ["--make-private".as_ref(), area.as_os_str()]);
    let (from, to) = (area.join("from"), area.join("to here"));
    fs::create_dir(&from).unwrap();
    fs::create_dir(&to).unwrap();
    let mut mount = mount_at(&scene, &from);
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
    let scene = scene();
    let place = scene.path("place");
    fs::create_dir(&place).unwrap();
    let below = Tmpfs::over(&place);
    let mut mount = mount_at(&scene, &place);
    assert!(!below.is_there());
    mount.signal("TERM");
    assert!(mount.wait().success());
    assert!(below.is_there());
    below.unmount();
}

#[test]
fn killed() {
    let scene = scene();
    let mut mount = scene.mount(&[]);
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
    let scene = scene();
    let mut dead = scene.mount(&[]);
    // Its root is in the kernel's memory, and looks well.
    assert!(dead.path().metadata().unwrap().is_dir());
    dead.kill();
    assert_eq!(mounts_at(dead.path()), ["fuse.continuity"]);
    let mut mount = mount_at(&scene, dead.path());
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
    let scene = scene();
    let below = scene.mount(&[]);
    let mut over = mount_at(&scene, below.path());
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
    let scene = scene();
    let (first, second) = (scene.mount(&[]), scene.mount(&[]));
    assert_eq!(fs::read(first.join("file")).unwrap(), b"content\n");
    assert!(first.unmount().success());
    assert_eq!(fs::read(second.join("file")).unwrap(), b"content\n");
    assert!(second.unmount().success());
}
