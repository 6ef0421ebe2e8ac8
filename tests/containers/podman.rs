//! podman, with either runtime below it.

use std::path::Path;
use std::process::Output;

use crate::bundle::{RUNTIMES, Runtime};
use crate::checked::{check, lines};
use crate::debian::debian;
use crate::inside::{CHANGED, CHANGES, PRIVILEGED, READ_ONLY, WHOLE};
use crate::scene::{Scene, finish, lossy, mount, mount_debian, succeeds};
use crate::stacked::Overlay;
use crate::tree::sh;

/// Nothing of it is where others of the machine have theirs.
fn podman(scene: &Scene, runtime: Runtime, arguments: &[&str], script: &str) -> Output {
    let own = |name: &str| scene.join(name).into_os_string();
    let mut command = runtime.command("podman");
    command.arg("--root").arg(own("storage"));
    command.arg("--runroot").arg(own("run"));
    command.arg("--tmpdir").arg(own("tmp"));
    command.args(["--storage-driver=vfs", "--events-backend=none"]);
    command.args(["--cgroup-manager=cgroupfs", "--runtime", runtime.name()]);
    command.args(["run", "--rm", "--network=none", "--log-driver=none"]);
    if runtime == Runtime::Crun {
        command.arg("--cgroups=disabled");
    }
    // What podman takes when it is told nothing may be more than root has here.
    command.args(["--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096"]);
    command.args(arguments);
    command.args(["/bin/sh", "-euxc", script]);
    finish(&mut command)
}

fn rootfs(path: &Path, how: &str) -> String {
    format!("{}{how}", path.display())
}

#[test]
fn with_an_overlay_of_its_own() {
    let scene = Scene::new();
    let debian = mount_debian(&scene, "allow_other,suid");
    let rootfs = rootfs(debian.path(), ":O");
    for runtime in RUNTIMES {
        let script = [WHOLE, PRIVILEGED, CHANGES, CHANGED].concat();
        let output = podman(&scene, runtime, &["--rootfs", &rootfs], &script);
        succeeds(runtime.name(), &output);
    }
}

#[test]
fn on_the_mount_itself() {
    let scene = Scene::new();
    let debian = mount_debian(&scene, "allow_other,suid");
    let rootfs = rootfs(debian.path(), "");
    for runtime in RUNTIMES {
        let script = [WHOLE, PRIVILEGED, READ_ONLY].concat();
        let arguments = ["--read-only", "--rootfs", &rootfs];
        let output = podman(&scene, runtime, &arguments, &script);
        succeeds(runtime.name(), &output);
    }
}

/// Whatever `check --rootfs` misses, podman does too.
#[test]
fn what_is_missing_is_missed() {
    for missing in [
        "proc",
        "sys",
        "dev",
        "run",
        "tmp",
        "var/tmp",
        "etc/hosts",
        "etc/hostname",
        "etc/mtab",
    ] {
        let scene = Scene::new();
        let tree = Overlay::new(scene.path(), &[&debian()], "");
        sh(tree.path(), &format!("rm -r {missing}"));
        let manifest = scene.build("lacking.pb", tree.path());
        let told = lines(&check(&manifest, &["--suid"]));
        assert_eq!(told.len(), 1, "{told:?}");
        let is_named = told[0].starts_with(&format!("/{missing}: not there; "));
        assert!(is_named, "{told:?}");
        let lacking = mount(&manifest, tree.path(), "allow_other");
        let rootfs = rootfs(lacking.path(), "");
        let arguments = ["--read-only", "--rootfs", &rootfs];
        let output = podman(&scene, Runtime::Crun, &arguments, "true");
        let said = lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains(missing),
            "{missing}: {said}"
        );
    }
}
