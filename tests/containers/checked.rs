//! What `continuity check --rootfs` tells, and whether runtimes see it so.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Output;

use crate::bundle::{Bundle, RUNTIMES};
use crate::debian::debian;
use crate::scene::{Scene, lossy, mount, succeeds};
use crate::stacked::Overlay;
use crate::tree::{continuity, sh, text};

pub fn check(manifest: &Path, arguments: &[&str]) -> Output {
    let mut words = vec![OsStr::new("check"), OsStr::new("--rootfs")];
    words.extend(arguments.iter().map(OsStr::new));
    words.push(manifest.as_os_str());
    continuity(words)
}

pub fn lines(output: &Output) -> Vec<String> {
    text(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn a_whole_debian_has_only_what_the_mount_takes_away() {
    let scene = Scene::new();
    let manifest = scene.debian();
    let output = check(&manifest, &["--suid", "--max-id", "65535"]);
    assert_eq!((output.status.code(), lines(&output)), (Some(0), vec![]));
    let output = check(&manifest, &[]);
    assert_eq!(output.status.code(), Some(1));
    for told in [
        "/usr/bin/passwd: setuid, of user 0; without effect unless mounted with -o suid",
        "/usr/local/bin/with-capability: has file capabilities; without effect unless mounted with -o suid",
    ] {
        assert!(lines(&output).contains(&told.to_owned()), "{output:?}");
    }
    let output = check(&manifest, &["--max-id", "41", "--suid", "--format=json"]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let shadow = found.as_array().unwrap().iter();
    let shadow: Vec<_> = shadow.filter(|one| one["path"] == "/etc/shadow").collect();
    assert_eq!((shadow.len(), &shadow[0]["id"]), (1, &42.into()));
}

/// Without what it warns of, runtimes do not start, or nothing works.
#[test]
fn what_is_missing_is_missed() {
    for target in ["proc", "sys", "dev"] {
        let scene = Scene::new();
        let tree = Overlay::new(scene.path(), &[&debian()], "");
        sh(tree.path(), &format!("rm -r {target}"));
        let manifest = scene.build("lacking.pb", tree.path());
        let output = check(&manifest, &["--suid"]);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(
            lines(&output),
            [format!(
                "/{target}: not there; on a read-only root there must be a directory here, for all runtimes"
            )]
        );
        let lacking = mount(&manifest, tree.path(), "allow_other,suid");
        for runtime in RUNTIMES {
            let output = Bundle::read_only(lacking.path()).run(runtime, "true");
            let said = lossy(&output.stderr);
            assert!(!output.status.success() && said.contains(target), "{said}");
        }
        // A layer on top is enough.
        let output = check(&manifest, &["--suid", "--overlay"]);
        assert_eq!(output.status.code(), Some(0));
        let over = scene.directory("over");
        for runtime in RUNTIMES {
            let overlay = Overlay::new(&over, &[lacking.path()], "");
            let output = Bundle::writable(overlay.path()).run(runtime, "true");
            succeeds(runtime.name(), &output);
        }
    }
}
