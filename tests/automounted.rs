//! An automount point without systemd: automount(8), which runs mount(8).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod tree;

use std::fs;
use std::process::Command;

use tree::{build, scratch, text};

/// Who is in the process group of automount(8) sees what is below, and starts nothing.
const SCRIPT: &str = r#"
mount -t overlay helper -o "lowerdir=$PWD/sbin:$(readlink -f /sbin)" "$(readlink -f /sbin)"
echo "$PWD/point $PWD/map --timeout=1" >master
echo "tree -fstype=continuity,backing=$PWD/tree :$PWD/manifest" >map
echo "broken -fstype=continuity,backing=$PWD/tree :$PWD/map" >>map
setsid automount -f -v "$PWD/master" >log 2>&1 &
automount=$!
trap 'kill -KILL $automount; cat log' EXIT
mounts() { grep -c " $PWD/point.* $1 " /proc/self/mounts || :; }
until_there_are() {
    tries=0
    until test "$(mounts "$2")" = "$1"; do
        test $((tries += 1)) -lt 600
        sleep 0.1
    done
}
until_there_are 1 autofs
test "$(mounts fuse.continuity)" = 0
test "$(cat point/tree/file)" = content
test "$(mounts fuse.continuity)" = 1
if cat point/broken/file; then exit 1; fi
# Nobody uses it any more.
until_there_are 0 fuse.continuity
test "$(cat point/tree/file)" = content
kill -TERM $automount
wait $automount
until_there_are 0 autofs
trap - EXIT
"#;

#[test]
fn automount_mounts_it_and_takes_it_away() {
    let scene = scratch();
    for name in ["tree", "point", "sbin"] {
        fs::create_dir(scene.path().join(name)).unwrap();
    }
    fs::write(scene.path().join("tree/file"), "content\n").unwrap();
    build(&scene, &scene.path().join("tree"), &[]);
    let helper = scene.path().join("sbin/mount.continuity");
    fs::copy(env!("CARGO_BIN_EXE_mount-continuity"), helper).unwrap();
    let output = Command::new("timeout")
        .args(["-s", "KILL", "150", "unshare", "--mount"])
        .args(["--propagation=private", "sh", "-euxc", SCRIPT])
        .current_dir(scene.path())
        .output()
        .unwrap();
    let said = [text(&output.stdout), text(&output.stderr)].concat();
    assert!(output.status.success(), "{said}");
}
