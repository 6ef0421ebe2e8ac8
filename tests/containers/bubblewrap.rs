//! bubblewrap, as Flatpak and others use it: for root and for everybody.

use std::process::Command;

use crate::inside::{READ_ONLY, WHOLE};
use crate::scene::{Scene, finish, mount_debian, succeeds};

#[test]
fn the_mount_is_the_root() {
    let scene = Scene::new();
    let debian = mount_debian(&scene, "allow_other");
    let arguments = |command: &mut Command| {
        command.args(["--unshare-all", "--die-with-parent", "--ro-bind"]);
        command.arg(debian.path());
        command.args("/ --proc /proc --dev /dev --tmpfs /tmp".split(' '));
        let script = [WHOLE, READ_ONLY].concat();
        command.args(["/bin/sh", "-euxc", &script]);
        finish(command.current_dir("/"))
    };
    succeeds("as root", &arguments(&mut Command::new("bwrap")));
    let mut as_nobody = Command::new("setpriv");
    as_nobody.args([
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
        "bwrap",
    ]);
    succeeds("as nobody", &arguments(&mut as_nobody));
}
