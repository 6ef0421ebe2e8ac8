use super::*;
use crate::digest::Algorithm;
use crate::manifest::{Content, DeviceNumber, Form, Kind, Manifest, Metadata, Resource, Xattr};
use crate::mode::FileMode;
use crate::path::ManifestPath;

fn resource(path: &str, st_mode: u32, kind: Kind) -> Resource {
    Resource {
        paths: vec![ManifestPath::parse(path.as_bytes()).unwrap()],
        metadata: Metadata::new(FileMode::from_stat(st_mode).unwrap()),
        kind,
        carried: None,
    }
}

fn directory(path: &str) -> Resource {
    resource(path, 0o040_755, Kind::Directory)
}

fn file(path: &str, permissions: u32) -> Resource {
    let content = Content {
        size: 1,
        digests: vec![Algorithm::Sha256.hash(b"x")],
        ..Content::default()
    };
    resource(path, 0o100_000 | permissions, Kind::Regular(content))
}

fn link(path: &str, target: &str) -> Resource {
    resource(path, 0o120_777, Kind::Symlink(target.as_bytes().into()))
}

fn device(path: &str, st_mode: u32, (major, minor): (u64, u64)) -> Resource {
    let number = DeviceNumber::new(major, minor).unwrap();
    let kind = match st_mode & 0o170_000 {
        0o020_000 => Kind::CharDevice(number),
        _ => Kind::BlockDevice(number),
    };
    resource(path, st_mode, kind)
}

fn with_xattr(mut resource: Resource, name: &str) -> Resource {
    resource.metadata.xattrs.push(Xattr {
        name: name.as_bytes().into(),
        value: Box::from(*b"y"),
    });
    resource
}

/// What every runtime needs.
fn whole() -> Vec<Resource> {
    let mut resources: Vec<_> = ["/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp"]
        .map(directory)
        .into();
    resources
        .extend(["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"].map(|path| file(path, 0o644)));
    resources.push(link("/etc/mtab", "../proc/self/mounts"));
    resources
}

fn bytes(resources: Vec<Resource>) -> Vec<u8> {
    let manifest = Manifest {
        resources,
        ..Manifest::default()
    };
    manifest.encode(Form::Full).unwrap()
}

fn check_with(resources: Vec<Resource>, options: &Options) -> Vec<String> {
    let mut found = Vec::new();
    let summary = check(&bytes(resources), options, |finding| {
        found.push(format!("{} {}", finding.cause.word(), finding.path));
        Ok(())
    });
    assert_eq!(summary.unwrap().warnings, found.len() as u64);
    found
}

fn found(more: Vec<Resource>) -> Vec<String> {
    check_with([whole(), more].concat(), &Options::default())
}

const EVERYTHING_GOES: Options = Options {
    suid: true,
    dev: true,
    overlay: true,
    max_id: None,
};

#[test]
fn a_whole_root_is_fine() {
    assert_eq!(found(Vec::new()), [""; 0]);
    let usual = vec![
        link("/bin", "usr/bin"),
        directory("/usr/bin"),
        link("/usr/bin/awk", "/etc/alternatives/awk"),
        link("/usr/bin/deep", "../../usr/bin/awk"),
        link("/gone", "a/../b"),
        file("/usr/bin/dash", 0o755),
        device("/dev/null", 0o020_666, (1, 3)),
    ];
    assert_eq!(found(usual), [""; 0]);
}

#[test]
fn mount_targets_are_looked_for() {
    let all = [
        "/proc",
        "/sys",
        "/dev",
        "/run",
        "/tmp",
        "/var/tmp",
        "/etc/hosts",
        "/etc/hostname",
        "/etc/resolv.conf",
        "/etc/mtab",
    ]
    .map(|path| format!("missing-target {path}"));
    assert_eq!(check_with(Vec::new(), &Options::default()), all);
    assert_eq!(check_with(Vec::new(), &EVERYTHING_GOES), [""; 0]);

    let others = vec![
        file("/proc", 0o644),
        link("/sys", "dev"),
        directory("/dev"),
        // Followed inside, to where something is.
        link("/run", "/var/run"),
        directory("/var/run"),
        link("/tmp", "var/nothing"),
        directory("/var/tmp"),
        directory("/etc/hosts"),
        link("/etc/hostname", "/run/hostname"),
        file("/var/run/hostname", 0o644),
        link("/etc/resolv.conf", "resolv.conf"),
        link("/etc/mtab", "/no/where"),
    ];
    assert_eq!(
        check_with(others, &Options::default()),
        [
            "wrong-target /proc",
            "linked-target /sys",
            "missing-target /tmp",
            "wrong-target /etc/hosts",
            "missing-target /etc/resolv.conf",
        ]
    );
}

#[test]
fn links_that_climb_above_the_root_are_told() {
    let links = vec![
        directory("/a/b"),
        link("/a/b/inside", "../../a/b"),
        link("/a/b/out", "../../../etc/passwd"),
        link("/a/up", "/../x"),
        link("/a/through", "b/link/../../.."),
        link("/a/b/link", "/"),
        link("/a/missing", "no/../../../x"),
        link("/a/still", "no/../../x"),
        // It leads through one that is told of, and is not one itself.
        link("/a/to-out", "b/out"),
        link("/a/loop", "loop/../../.."),
        link("/a/there", "back/../../.."),
        link("/a/back", "there/../../.."),
    ];
    assert_eq!(
        found(links),
        [
            "leaves-root /a/b/out",
            "leaves-root /a/missing",
            "leaves-root /a/through",
            "leaves-root /a/up",
        ]
    );
}

#[test]
fn as_many_links_are_followed_as_the_kernel_follows() {
    let chain = |length: u32| {
        let mut links: Vec<_> = (1..length)
            .map(|number| link(&format!("/c/{number:02}"), &format!("{:02}", number - 1)))
            .collect();
        links.push(link("/c/00", "/"));
        // Two more names behind as many links as that.
        links.push(link("/c/out", &format!("{:02}/..", length - 1)));
        links
    };
    assert_eq!(found(chain(40)), ["leaves-root /c/out"]);
    assert_eq!(found(chain(41)), [""; 0]);
    // Every one leads through all others, many times.
    let through = "0/../".repeat(800);
    let web: Vec<_> = (0..20_000)
        .map(|number| {
            link(
                &format!("/w/{number}"),
                &format!("../w/{through}{}", number + 1),
            )
        })
        .collect();
    assert_eq!(found(web), [""; 0]);
}

#[test]
fn what_mount_options_take_away_is_told() {
    let files = || {
        vec![
            file("/bin/setgid", 0o2755),
            file("/bin/locked", 0o2644),
            file("/bin/setuid", 0o4755),
            device("/bin/tty", 0o020_666, (5, 0)),
            device("/bin/loop", 0o060_660, (7, 0)),
            device("/bin/gone", 0o020_000, (0, 0)),
            with_xattr(directory("/bin/opaque"), "trusted.overlay.opaque"),
            with_xattr(directory("/bin/user"), "user.overlay.redirect"),
            with_xattr(file("/bin/other", 0o644), "user.overlayish"),
            with_xattr(file("/bin/cap", 0o755), "security.capability"),
        ]
    };
    let told = [
        "capabilities /bin/cap",
        "whiteout /bin/gone",
        "device /bin/loop",
        "overlay-attribute /bin/opaque",
        "setgid /bin/setgid",
        "setuid /bin/setuid",
        "device /bin/tty",
        "overlay-attribute /bin/user",
    ];
    assert_eq!(found(files()), told);
    let all = [whole(), files()].concat();
    assert_eq!(check_with(all, &EVERYTHING_GOES), [""; 0]);
}

#[test]
fn files_that_cannot_be_read_and_ids_that_are_not_there_are_told() {
    let mut bare = file("/bare", 0o644);
    bare.kind = Kind::Regular(Content {
        size: 1,
        ..Content::default()
    });
    let mut empty = file("/empty", 0o644);
    empty.kind = Kind::Regular(Content::default());
    let mut theirs = file("/theirs", 0o644);
    (theirs.metadata.uid, theirs.metadata.gid) = (65536, 65537);
    let all = [whole(), vec![bare, empty, theirs]].concat();
    assert_eq!(
        check_with(all.clone(), &EVERYTHING_GOES),
        ["no-digest /bare"]
    );
    let options = Options {
        max_id: Some(65536),
        ..EVERYTHING_GOES
    };
    assert_eq!(
        check_with(all, &options),
        ["no-digest /bare", "group /theirs"]
    );
}

#[test]
fn hard_links_are_told_once_and_a_closed_root_is_told() {
    let mut twice = file("/a", 0o4755);
    twice.paths.push(ManifestPath::parse(b"/b/c").unwrap());
    let manifest = Manifest {
        root: Some(Metadata::new(FileMode::from_stat(0o040_700).unwrap())),
        resources: [whole(), vec![twice]].concat(),
        ..Manifest::default()
    };
    let mut lines = Vec::new();
    let mut json = JsonFindings::new(Vec::new());
    let bytes = manifest.encode(Form::Full).unwrap();
    let summary = check(&bytes, &Options::default(), |finding| {
        lines.push(finding.to_string());
        json.tell(finding)
    });
    assert_eq!(
        lines,
        [
            "/: has mode 0700; inside nobody but its owner and group gets to any file",
            "/b/c: setuid, of user 0; without effect unless mounted with -o suid",
        ]
    );
    let json = json.finish(&summary.unwrap()).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json.pointer("/0/finding").unwrap(), "closed-root");
    assert_eq!(json.pointer("/1/id").unwrap(), 0);
    assert_eq!(json.pointer("/2/warnings").unwrap(), 2);
}
