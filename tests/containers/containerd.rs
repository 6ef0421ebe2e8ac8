//! containerd, which mounts by itself what a client tells it to.
//!
//! ctr can name no mount but those of a snapshotter, so the task is made by the
//! calls that ctr makes (api/services/tasks/v1/tasks.proto of containerd), with
//! curl(1) for a gRPC client; all else is ctr.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use prost::Message;

use crate::bundle::Bundle;
use crate::debian::debian;
use crate::inside::{PRIVILEGED, READ_ONLY, WHOLE};
use crate::mounted::{mounts_at, run, wait_until};
use crate::scene::{Scene, finish, lossy, succeeds};

#[derive(Clone, PartialEq, Message)]
struct Mount {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    source: String,
    #[prost(string, repeated, tag = "4")]
    options: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct CreateTask {
    #[prost(string, tag = "1")]
    container: String,
    #[prost(message, repeated, tag = "3")]
    rootfs: Vec<Mount>,
    #[prost(string, tag = "5")]
    stdout: String,
    #[prost(string, tag = "6")]
    stderr: String,
}

/// Start and wait take the same, and create gives it back.
#[derive(Clone, PartialEq, Message)]
struct OfTask {
    #[prost(string, tag = "1")]
    container: String,
}

#[derive(Clone, PartialEq, Message)]
struct Started {
    #[prost(uint32, tag = "1")]
    pid: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Waited {
    #[prost(uint32, tag = "1")]
    status: u32,
}

/// The namespace of our containers.
const NAMESPACE: &str = "continuity";

/// A daemon of our own. It and its containers go when this is dropped.
struct Containerd {
    daemon: Child,
    place: PathBuf,
    containers: Vec<String>,
}

impl Containerd {
    fn start(scene: &Scene) -> Self {
        let place = scene.directory("containerd");
        // Where mount.fuse3 finds it, which containerd runs.
        let programs = scene.directory("bin");
        let helper = env!("CARGO_BIN_EXE_mount-continuity");
        std::os::unix::fs::symlink(helper, programs.join("mount.continuity")).unwrap();
        let path = std::env::var("PATH").unwrap();
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\n  address = {:?}\n",
            place.join("root"),
            place.join("state"),
            place.join("sock"),
        );
        fs::write(place.join("config.toml"), config).unwrap();
        let log = fs::File::create(place.join("log")).unwrap();
        let daemon = Command::new("containerd")
            .arg("--config")
            .arg(place.join("config.toml"))
            .env("PATH", format!("{}:{path}", programs.display()))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let started = Self {
            daemon,
            place,
            containers: Vec::new(),
        };
        wait_until(
            || started.ctr(["version"]).status.success(),
            || format!("does not start: {}", started.log()),
        );
        started
    }

    fn log(&self) -> String {
        fs::read_to_string(self.place.join("log")).unwrap_or_default()
    }

    fn ctr<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Output {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.place.join("sock"));
        command.args(["--namespace", NAMESPACE]).args(arguments);
        finish(&mut command)
    }

    /// A name that no other test has: what shims and cgroups are found by.
    fn name(&mut self, kind: &str) -> String {
        let name = format!("continuity-{kind}-{}", std::process::id());
        self.containers.push(name.clone());
        name
    }

    /// Calls the service of tasks.
    fn call<T: Message + Default>(&self, method: &str, message: &impl Message) -> T {
        // A message has its length in front (gRPC over HTTP2, Length-Prefixed-Message).
        let (sent, got) = (self.place.join("sent"), self.place.join("got"));
        let encoded = message.encode_to_vec();
        let mut framed = vec![0];
        framed.extend(u32::try_from(encoded.len()).unwrap().to_be_bytes());
        framed.extend(encoded);
        fs::write(&sent, framed).unwrap();
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--http2-prior-knowledge",
            "--dump-header",
            "-",
        ]);
        curl.args([
            "--header",
            "content-type: application/grpc",
            "--header",
            "te: trailers",
        ]);
        curl.args(["--header", &format!("containerd-namespace: {NAMESPACE}")]);
        curl.arg("--unix-socket").arg(self.place.join("sock"));
        curl.arg("--data-binary")
            .arg(format!("@{}", sent.display()));
        curl.arg("--output").arg(&got);
        curl.arg(format!(
            "http://localhost/containerd.services.tasks.v1.Tasks/{method}"
        ));
        let answered = succeeds(method, &finish(&mut curl));
        let is_fine = answered.lines().any(|line| line == "grpc-status: 0");
        assert!(is_fine, "{method}: {answered}\n{}", self.log());
        T::decode(&fs::read(&got).unwrap()[5..]).unwrap()
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        for container in std::mem::take(&mut self.containers) {
            let _ = self.ctr(["tasks", "delete", "--force", &container]);
        }
        let daemon = self.daemon.id().to_string();
        let _ = Command::new("kill").arg(daemon).output();
        let _ = self.daemon.wait();
    }
}

fn pinned(manifest: &Path) -> String {
    format!("digest=sha256:{}", &run("sha256sum", [manifest])[..64])
}

#[test]
fn containerd_mounts_it_by_itself() {
    let scene = Scene::new();
    let manifest = scene.debian();
    let mut containerd = Containerd::start(&scene);
    let name = containerd.name("task");
    let script = [WHOLE, PRIVILEGED, READ_ONLY].concat();
    let config = Bundle::read_only(Path::new("rootfs")).config(&["/bin/sh", "-euxc", &script]);
    let (config_file, output) = (scene.join("config.json"), scene.join("output"));
    fs::write(&config_file, config.to_string()).unwrap();
    let create = ["containers", "create", "--config"].map(OsStr::new);
    let create = create
        .into_iter()
        .chain([config_file.as_os_str(), name.as_ref()]);
    succeeds("create", &containerd.ctr(create));

    let of_task = OfTask {
        container: name.clone(),
    };
    let to_file = format!("file://{}", output.display());
    let created: OfTask = containerd.call(
        "Create",
        &CreateTask {
            container: name.clone(),
            rootfs: vec![Mount {
                kind: "fuse3.mount.continuity".to_owned(),
                source: manifest.to_str().unwrap().to_owned(),
                options: vec![format!("backing={}", debian().display()), pinned(&manifest)],
            }],
            stdout: to_file.clone(),
            stderr: to_file,
        },
    );
    assert_eq!(created.container, name);
    let rootfs = containerd.place.join("state/io.containerd.runtime.v2.task");
    let rootfs = rootfs.join(NAMESPACE).join(&name).join("rootfs");
    assert_eq!(mounts_at(&rootfs), ["fuse.continuity"]);
    let started: Started = containerd.call("Start", &of_task);
    assert!(started.pid > 0);
    let waited: Waited = containerd.call("Wait", &of_task);
    let said = lossy(&fs::read(&output).unwrap_or_default());
    assert_eq!(waited.status, 0, "{said}");

    succeeds("delete", &containerd.ctr(["tasks", "delete", &name]));
    assert_eq!(mounts_at(&rootfs), [""; 0]);
    succeeds("delete", &containerd.ctr(["containers", "delete", &name]));
}

/// As containerd runs it, by hand.
#[test]
fn ctr_runs_on_a_mount_that_is_there() {
    let scene = Scene::new();
    let manifest = scene.debian();
    let mut containerd = Containerd::start(&scene);
    let rootfs = scene.directory("rootfs");
    let path = std::env::var("PATH").unwrap();
    let mut helper = Command::new("mount.fuse3");
    helper.args([&manifest, &rootfs]);
    helper.args(["-o", &format!("backing={}", debian().display())]);
    helper.args(["-o", &pinned(&manifest), "-t", "mount.continuity"]);
    helper.env(
        "PATH",
        format!("{}:/usr/sbin:{path}", scene.join("bin").display()),
    );
    succeeds("mount.fuse3", &finish(&mut helper));
    assert_eq!(mounts_at(&rootfs), ["fuse.continuity"]);

    let name = containerd.name("run");
    let script = [WHOLE, READ_ONLY].concat();
    let words = ["run", "--rm", "--read-only", "--rootfs"].map(OsStr::new);
    let words = words.into_iter().chain([rootfs.as_os_str(), name.as_ref()]);
    // ctr has no /tmp for a root that is read-only.
    let mount = "type=tmpfs,src=tmpfs,dst=/tmp,options=nosuid:nodev:mode=1777";
    let words = ["run", "--mount", mount]
        .map(OsStr::new)
        .into_iter()
        .chain(words.skip(1));
    let words = words.chain(["/bin/sh", "-euxc", &script].map(OsStr::new));
    succeeds("ctr run", &containerd.ctr(words));
    drop(containerd);
    // As containerd does it in the end.
    run("fusermount3", ["-u".as_ref(), rootfs.as_os_str()]);
    assert_eq!(mounts_at(&rootfs), [""; 0]);
}
