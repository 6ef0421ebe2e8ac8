//! What may be done to a backing.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode};

use crate::mounted::run;
use crate::scene::{Scene, content};

/// Something that may be done to the backing.
pub struct Damage {
    pub name: &'static str,
    /// What the log says when it was done before the file was first read.
    pub reason: &'static str,
    pub work: fn(&Scene),
}

pub const DAMAGES: &[Damage] = &[
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

pub fn node(path: &Path, kind: FileType, device: u64) {
    fs::remove_file(path).unwrap();
    rustix::fs::mknodat(CWD, path, kind, Mode::RUSR, device).unwrap();
}
