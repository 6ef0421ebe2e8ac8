//! runc and crun, and what they are told (config.md of the OCI runtime
//! specification).

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::scene::finish;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    Runc,
    Crun,
}

pub const RUNTIMES: [Runtime; 2] = [Runtime::Runc, Runtime::Crun];

/// crun takes no machine that has both versions of cgroups, even if it is told to
/// leave them alone; here it sees one.
const ONE_CGROUP: &str = "mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec \"$@\"";

impl Runtime {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Runc => "runc",
            Self::Crun => "crun",
        }
    }

    /// Runs this program where the runtime works.
    pub fn command(self, program: &str) -> Command {
        if self == Self::Runc {
            return Command::new(program);
        }
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation=private", "sh", "-c", ONE_CGROUP]);
        command.args(["sh", program]);
        command
    }
}

/// One container.
#[derive(Clone, Debug)]
pub struct Bundle {
    pub rootfs: PathBuf,
    pub readonly: bool,
    pub no_new_privileges: bool,
    /// First id of the host and how many there are, in a user namespace.
    pub ids: Option<(u32, u32)>,
}

/// What Docker leaves to a container that asks for nothing, more or less.
const CAPABILITIES: [&str; 9] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_MKNOD",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

impl Bundle {
    pub fn read_only(rootfs: &Path) -> Self {
        Self {
            rootfs: rootfs.to_owned(),
            readonly: true,
            no_new_privileges: false,
            ids: None,
        }
    }

    pub fn writable(rootfs: &Path) -> Self {
        Self {
            readonly: false,
            ..Self::read_only(rootfs)
        }
    }

    /// Runs a shell script as root of the container.
    pub fn run(&self, runtime: Runtime, script: &str) -> Output {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let id = format!("continuity-{}-{number}", std::process::id());
        let bundle = tempfile::tempdir().unwrap();
        let config = self.config(&["/bin/sh", "-euxc", script]).to_string();
        std::fs::write(bundle.path().join("config.json"), config).unwrap();
        let mut command = runtime.command(runtime.name());
        command.arg("--root").arg(bundle.path().join("state"));
        if runtime == Runtime::Crun {
            command.arg("--cgroup-manager=disabled");
        }
        command
            .arg("run")
            .arg("--bundle")
            .arg(bundle.path())
            .arg(id);
        finish(&mut command)
    }

    pub fn config(&self, arguments: &[&str]) -> Value {
        let mut namespaces = vec!["pid", "mount", "ipc", "uts", "network"];
        namespaces.extend(self.ids.map(|_| "user"));
        let namespaces: Vec<_> = namespaces
            .iter()
            .map(|kind| json!({"type": kind}))
            .collect();
        let ids: Vec<_> = self
            .ids
            .iter()
            .map(|(first, count)| json!({"containerID": 0, "hostID": first, "size": count}))
            .collect();
        json!({
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": 0, "gid": 0},
                "args": arguments,
                "cwd": "/",
                "env": ["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"],
                "capabilities": {
                    "bounding": CAPABILITIES,
                    "effective": CAPABILITIES,
                    "permitted": CAPABILITIES,
                },
                "noNewPrivileges": self.no_new_privileges,
            },
            "root": {"path": self.rootfs, "readonly": self.readonly},
            "hostname": "inside",
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                 "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                 "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
                {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
                 "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
                {"destination": "/sys", "type": "sysfs", "source": "sysfs",
                 "options": ["nosuid", "noexec", "nodev", "ro"]},
                {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs",
                 "options": ["nosuid", "nodev", "mode=1777"]},
            ],
            "linux": {"namespaces": namespaces, "uidMappings": ids, "gidMappings": ids},
        })
    }
}
