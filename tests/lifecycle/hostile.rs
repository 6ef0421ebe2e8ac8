//! What would harm whoever mounts or reads.

use std::fs;
use std::process::Command;

use rustix::io::Errno;

use crate::mounted::{Mount, in_time, run};
use crate::tree::{self, scratch, text};
use crate::{mount_at, program, refuse, scene};

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
    let scene = scene();
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
        let said = text(&refuse(&scene, &[&["mount"], &arguments[..]].concat()).stderr);
        assert!(said.contains(named), "{named:?} is not in {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

/// A path of the manifest that leads through the backing into the mount itself
/// would wait for its own answer.
#[test]
fn a_mount_inside_its_backing_does_not_wait_for_itself() {
    let scene = scene();
    let place = scene.tree().join("place");
    for directory in [".", "dir", "place/dir", "place", "place/place/dir"] {
        fs::create_dir_all(scene.tree().join(directory)).unwrap();
        fs::write(scene.tree().join(directory).join("same"), "same\n").unwrap();
    }
    scene.build(&[]);
    let mount = mount_at(&scene, &place);
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

/// Root runs no program to mount, whatever the environment says.
#[test]
fn no_planted_program_is_run() {
    let scene = scene();
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
