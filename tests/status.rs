//! What a mount tells about itself, and to whom.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod mounted;
mod scene;
mod tree;

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

use mounted::{Mount, wait_until};
use scene::Scene;
use tree::{continuity, text};

fn scene() -> (Scene, Mount) {
    let scene = Scene::new(|tree| {
        for name in ["good", "bad"] {
            fs::write(tree.join(name), "content\n").unwrap();
        }
    });
    fs::write(scene.path("tree/bad"), "CONTENT\n").unwrap();
    let mount = scene.mount(&[]);
    (scene, mount)
}

/// The socket of a mount, which is named after its device number.
fn socket(mount: &Mount) -> PathBuf {
    let device = mount.path().metadata().unwrap().dev();
    PathBuf::from(format!("/run/continuity/{device:x}.sock"))
}

#[test]
fn a_mount_tells_how_it_is() {
    let (_scratch, mount) = scene();
    let status = mount.status();
    assert_eq!(status["worker"], mount.worker());
    assert_eq!(status["worker_restarts"], 0);
    assert_eq!(
        (&status["files"], &status["inodes"]),
        (&2.into(), &3.into())
    );
    assert_eq!(status["refusals"], 0);
    assert_eq!(status["requests_lost"], 0);
    assert_eq!(status["trust"], "none");
    assert_eq!(status["sandbox"]["mode"], "required");
    assert_eq!(status["sandbox"]["layers"].as_array().unwrap().len(), 6);
    let manifest = status["manifest"].as_str().unwrap();
    assert!(mount.log().contains(manifest), "{manifest}");
    assert!(fs::read(mount.join("bad")).is_err());
    assert_eq!(fs::read(mount.join("good")).unwrap(), b"content\n");
    let later = mount.status();
    assert!(later["refusals"].as_u64().unwrap() > 0);
    assert!(later["requests"].as_u64() > status["requests"].as_u64());
    // Whoever was answered may be counted for a moment more.
    wait_until(
        || mount.status()["requests_in_flight"] == 0,
        || mount.status().to_string(),
    );

    let path = mount.path().to_str().unwrap();
    let output = continuity(["mounts", "--metrics", path]);
    let metrics = text(&output.stdout);
    let figure = |name: &str| -> f64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().parse().unwrap()
    };
    assert_eq!(figure("continuity_inodes"), 3.0);
    let mismatches = figure("continuity_refused_total{reason=\"digest_mismatch\"}");
    assert!(mismatches > 0.0);
    assert_eq!(
        later["refusals_by_reason"]["digest_mismatch"],
        mismatches as u64
    );
    assert!(
        metrics
            .lines()
            .all(|line| line.starts_with("# TYPE ") || line.split_whitespace().count() == 2)
    );
    let table = text(&continuity(["mounts"]).stdout);
    assert!(
        table
            .lines()
            .any(|line| line.starts_with(path) && line.contains("restarts=0"))
    );

    // The next worker tells as the first one did.
    mount.replace_worker("KILL");
    wait_until(|| mount.status()["worker_restarts"] == 1, || mount.log());

    let socket = socket(&mount);
    assert!(socket.exists());
    assert!(mount.unmount().success());
    assert!(!socket.exists());
}

#[test]
fn only_root_is_told() {
    let (_scratch, mount) = scene();
    let socket = socket(&mount);
    let directory = socket.parent().unwrap().metadata().unwrap();
    assert_eq!(
        (directory.uid(), directory.permissions().mode() & 0o777),
        (0, 0o700)
    );
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg("ls")
        .arg(&socket)
        .output()
        .unwrap();
    assert!(
        text(&output.stderr).contains("Permission denied"),
        "{output:?}"
    );
    assert!(mount.unmount().success());
}

/// Whoever asks nonsense, or nothing, or a hundred times, is in nobody's way.
#[test]
fn bad_questions_harm_nobody() {
    let (_scratch, mount) = scene();
    let socket = socket(&mount);
    let ask = |question: &[u8]| {
        let mut stream = UnixStream::connect(&socket).unwrap();
        let _ = stream.write_all(question);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    for question in [&b""[..], b"stat", b"status\0", &[b'x'; 100_000], b"\xff"] {
        assert_eq!(ask(question), "", "{question:?}");
    }
    for _ in 0..100 {
        drop(UnixStream::connect(&socket).unwrap());
    }
    assert!(ask(b"status\n").starts_with("{\"version\""));
    assert_eq!(fs::read(mount.join("good")).unwrap(), b"content\n");
    assert!(mount.unmount().success());
}
