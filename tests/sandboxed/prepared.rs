//! What the confined process has at hand when it begins: what it was given, and
//! what somebody could have found out before.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::fd::{AsFd, IntoRawFd, OwnedFd, RawFd};
use std::path::PathBuf;

use continuity::sandbox::Confinement;
use continuity::sys::PrivateDirectory;
use raw_syscall::syscall;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags};

pub struct Prepared {
    pub root: OwnedFd,
    pub scene: PathBuf,
    pub victim: i32,
    /// Where the victim has memory.
    pub victim_memory: usize,
    /// A descriptor of the victim, kept.
    pub victim_handle: OwnedFd,
    /// A file outside, that was open by accident.
    pub leaked: RawFd,
    /// By which open_by_handle_at(2) finds the secret.
    pub secret_handle: [u32; 34],
    /// A network namespace, kept.
    pub network: OwnedFd,
    /// A terminal, kept.
    pub terminal: OwnedFd,
    /// The name of a file in the backing that nobody else removes.
    pub doomed: String,
    /// A program's bytes.
    pub program: Vec<u8>,
    pub host_name: String,
    pub tcp: SocketAddr,
    pub udp: SocketAddr,
    pub abstract_name: String,
    pub cache: Option<(PrivateDirectory, OwnedFd)>,
}

impl Prepared {
    pub fn new(copies: bool) -> Self {
        let variable = |name: &str| std::env::var(name).unwrap();
        let scene = PathBuf::from(variable("SCENE"));
        let victim: i32 = variable("VICTIM").parse().unwrap();
        let directory = |path: PathBuf| -> OwnedFd {
            rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap()
        };
        let secret = scene.join("outside/secret");
        let leaked = File::options().read(true).append(true).open(&secret);
        let doomed = format!("doomed-{}", std::process::id());
        fs::write(scene.join("backing").join(&doomed), "").unwrap();
        let terminal = OFlags::RDWR | OFlags::NOCTTY;
        Self {
            root: directory(scene.join("backing")),
            victim,
            victim_memory: first_address(victim),
            victim_handle: rustix::process::pidfd_open(
                Pid::from_raw(victim).unwrap(),
                PidfdFlags::empty(),
            )
            .unwrap(),
            leaked: leaked.unwrap().into_raw_fd(),
            secret_handle: handle_of(&secret),
            network: File::open("/proc/self/ns/net").unwrap().into(),
            terminal: rustix::fs::open("/dev/ptmx", terminal, Mode::empty()).unwrap(),
            doomed,
            program: fs::read("/bin/echo").unwrap(),
            host_name: fs::read_to_string("/proc/sys/kernel/hostname")
                .unwrap()
                .trim_end()
                .to_owned(),
            tcp: variable("TCP").parse().unwrap(),
            udp: variable("UDP").parse().unwrap(),
            abstract_name: variable("ABSTRACT"),
            cache: copies.then(|| {
                let path = scene.join("cache");
                (PrivateDirectory::open(&path).unwrap(), directory(path))
            }),
            scene,
        }
    }

    /// Gives what the process may keep to whoever confines it.
    pub fn confine<R>(&self, enter: impl FnOnce(&Confinement<'_>) -> R) -> R {
        let mut keep = vec![
            self.victim_handle.as_fd(),
            self.network.as_fd(),
            self.terminal.as_fd(),
        ];
        let cache = self.cache.as_ref();
        keep.extend(cache.map(|(private, _)| private.as_fd()));
        enter(&Confinement {
            readable: &[self.root.as_fd()],
            root: self.cache.is_none().then(|| self.root.as_fd()),
            writable: cache.map(|(_, directory)| directory.as_fd()),
            passthrough: cache.is_some(),
            keep: &keep,
        })
    }
}

fn first_address(pid: i32) -> usize {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    usize::from_str_radix(maps.split('-').next().unwrap(), 16).unwrap()
}

/// `struct file_handle`: how many bytes it has, its type, and the bytes.
fn handle_of(path: &std::path::Path) -> [u32; 34] {
    let mut handle = [0_u32; 34];
    handle[0] = 128;
    let mut mount = 0_i32;
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    syscall(
        libc::SYS_name_to_handle_at,
        &[
            libc::AT_FDCWD as usize,
            path.as_ptr() as usize,
            &raw mut handle as usize,
            &raw mut mount as usize,
            0,
        ],
    )
    .unwrap();
    handle
}
