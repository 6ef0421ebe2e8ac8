//! Root makes a mount writable.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, Timespec, XattrFlags};
use rustix::io::Errno;
use rustix::mount::MountFlags;

use crate::mounted::{run, wait_until};
use crate::scene;

/// Root can make it writable for the kernel; we change nothing all the same.
#[test]
fn remounted_for_writing() {
    let scene = scene();
    rustix::fs::setxattr(
        scene.tree().join("file"),
        "user.k",
        b"v",
        XattrFlags::empty(),
    )
    .unwrap();
    scene.build(&[]);
    let mount = scene.mount(&[]);
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
