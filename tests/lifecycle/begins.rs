//! What is mounted, and what is not.

use std::fs::{self, File};

use crate::mounted::{Mount, run};
use crate::tree::{scratch, text};
use crate::{program, refuse, scene};

#[test]
fn a_manifest_on_standard_input() {
    let scene = scene();
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
    let scene = scene();
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
        let output = refuse(&scene, &[&["mount"], arguments].concat());
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
    let scene = scene();
    let digest = run("sha256sum", [scene.manifest()]);
    let digest = format!("sha256:{}", &digest[..64]);
    let option = format!("digest={digest}");
    for arguments in [["--digest", &digest], ["-o", &option]] {
        let mount = Mount::with(&scene.manifest(), &scene.tree(), &arguments);
        assert!(!mount.log().contains("unpinned"), "{}", mount.log());
        assert!(mount.unmount().success());
    }
    // The process that logs it is another one than that which says "mounted".
    scene.mount(&[]).wait_for(&format!("--digest {digest}"));
}
