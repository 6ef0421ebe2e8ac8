//! What somebody would try who has taken the process over. Each tells which
//! layers refuse it by themselves.

use std::ffi::{CStr, CString};
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

use continuity::sandbox::Layer::{
    self, Capabilities, Descriptors, Landlock, Process, Root, Seccomp,
};
use raw_syscall::syscall;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};

use super::prepared::Prepared;

pub struct Attack {
    pub name: &'static str,
    /// The layers that refuse it, each by itself.
    pub by: &'static [Layer],
    /// A layer that refuses it as well where the machine is set up so (sysctl).
    pub perhaps_by: Option<Layer>,
    /// What it fails with where nothing refuses it: it is asked for something
    /// impossible, since to succeed would hurt. `None`: it succeeds.
    pub without: Option<i32>,
    pub run: fn(&Prepared) -> io::Result<()>,
}

pub fn find(name: &str) -> Option<&'static Attack> {
    ATTACKS.iter().find(|attack| attack.name == name)
}

const fn attack(
    name: &'static str,
    by: &'static [Layer],
    run: fn(&Prepared) -> io::Result<()>,
) -> Attack {
    Attack {
        name,
        by,
        perhaps_by: None,
        without: None,
        run,
    }
}

const fn fails_anyway(without: i32, attack: Attack) -> Attack {
    Attack {
        without: Some(without),
        ..attack
    }
}

const fn perhaps_by(layer: Layer, attack: Attack) -> Attack {
    Attack {
        perhaps_by: Some(layer),
        ..attack
    }
}

pub const ATTACKS: &[Attack] = &[
    // Reading what is outside of the backing.
    attack("read-absolute", &[Root, Landlock], |p| {
        open2(CWD, p.scene.join("outside/secret").to_str().unwrap(), READ)
    }),
    attack("read-shadow", &[Root, Landlock], |_| {
        open2(CWD, "/etc/shadow", READ)
    }),
    attack("read-above", &[Root, Landlock], |p| {
        open2(p.root.as_fd(), "../outside/secret", READ)
    }),
    attack("read-relative", &[Root, Landlock], |_| {
        open2(CWD, "etc/shadow", READ)
            .or_else(|_| open2(CWD, "../../../../../../../../etc/shadow", READ))
    }),
    attack("read-by-proc-root", &[Root, Landlock], |_| {
        open2(CWD, "/proc/self/root/etc/shadow", READ)
    }),
    attack("read-by-openat", &[Root, Landlock, Seccomp], |_| {
        rustix::fs::openat(CWD, "/etc/shadow", READ, Mode::empty())?;
        Ok(())
    }),
    attack("read-by-handle", &[Landlock, Seccomp], |p| {
        syscall(
            libc::SYS_open_by_handle_at,
            &[
                p.root.as_raw_fd() as usize,
                &raw const p.secret_handle as usize,
                libc::O_RDONLY as usize,
            ],
        )?;
        Ok(())
    }),
    attack("make-a-handle", &[Seccomp], |p| {
        let (mut handle, mut mount) = ([128_u32; 34], 0_i32);
        syscall(
            libc::SYS_name_to_handle_at,
            &[
                p.root.as_raw_fd() as usize,
                c"file".as_ptr() as usize,
                &raw mut handle as usize,
                &raw mut mount as usize,
                0,
            ],
        )?;
        Ok(())
    }),
    attack("list-another", &[Root, Landlock], |_| {
        open2(CWD, "/etc", READ | OFlags::DIRECTORY)
    }),
    // Looking at what cannot be opened.
    attack("look-absolute", &[Root], |p| {
        rustix::fs::stat(p.scene.join("outside/secret"))?;
        Ok(())
    }),
    attack("look-above", &[Root], |p| {
        rustix::fs::statat(&p.root, "../outside/secret", AtFlags::empty())?;
        Ok(())
    }),
    attack("look-by-descriptor", &[Root], |p| {
        let above = opened2(p.root.as_fd(), "..", OFlags::PATH, Mode::empty())?;
        rustix::fs::statat(above, "outside/secret", AtFlags::empty())?;
        Ok(())
    }),
    attack("look-at-processes", &[Root], |_| {
        rustix::fs::stat("/proc/1")?;
        Ok(())
    }),
    attack("read-own-memory-file", &[Root, Landlock], |_| {
        open2(CWD, "/proc/self/mem", OFlags::RDWR)
    }),
    attack(
        "read-memory-of-another",
        &[Root, Landlock, Capabilities],
        |p| open2(CWD, &format!("/proc/{}/mem", p.victim), READ),
    ),
    attack("read-leaked", &[Descriptors], |p| {
        let mut byte = 0_u8;
        let arguments = [p.leaked as usize, &raw mut byte as usize, 1, 0];
        syscall(libc::SYS_pread64, &arguments)?;
        Ok(())
    }),
    // Writing.
    attack("write-leaked", &[Descriptors, Process], |p| {
        let arguments = [p.leaked as usize, c"x".as_ptr() as usize, 1];
        syscall(libc::SYS_write, &arguments)?;
        Ok(())
    }),
    attack("create", &[Landlock], |p| {
        let flags = OFlags::WRONLY | OFlags::CREATE;
        opened2(p.root.as_fd(), &unique("created"), flags, Mode::RUSR)?;
        Ok(())
    }),
    attack("grow", &[Landlock, Process], |p| {
        let file = opened2(p.root.as_fd(), "file", OFlags::WRONLY, Mode::empty())?;
        rustix::io::write(&file, b"content")?;
        Ok(())
    }),
    attack("open-again-for-writing", &[Root, Landlock], |p| {
        let file = opened2(p.root.as_fd(), "file", READ, Mode::empty())?;
        open2(
            CWD,
            &format!("/proc/self/fd/{}", file.as_raw_fd()),
            OFlags::RDWR,
        )
    }),
    attack("write-nameless", &[Landlock], |p| {
        let flags = OFlags::TMPFILE | OFlags::RDWR;
        opened2(p.root.as_fd(), ".", flags, Mode::RUSR)?;
        Ok(())
    }),
    attack("truncate", &[Root, Landlock, Seccomp], |p| {
        let path = path(&p.scene.join("backing/sub/file"));
        syscall(libc::SYS_truncate, &[path.as_ptr() as usize, 13])?;
        Ok(())
    }),
    attack("unlink", &[Landlock, Seccomp], |p| {
        Ok(rustix::fs::unlinkat(&p.root, &p.doomed, AtFlags::empty())?)
    }),
    attack("make-directory", &[Landlock, Seccomp], |p| {
        Ok(rustix::fs::mkdirat(
            &p.root,
            unique("directory"),
            Mode::RWXU,
        )?)
    }),
    attack("make-fifo", &[Landlock, Seccomp], |p| {
        Ok(rustix::fs::mknodat(
            &p.root,
            unique("fifo"),
            FileType::Fifo,
            Mode::RUSR,
            0,
        )?)
    }),
    attack("make-device", &[Landlock, Capabilities, Seccomp], |p| {
        let null = rustix::fs::makedev(1, 3);
        let kind = FileType::CharacterDevice;
        Ok(rustix::fs::mknodat(
            &p.root,
            unique("device"),
            kind,
            Mode::RUSR,
            null,
        )?)
    }),
    attack("make-symlink", &[Landlock, Seccomp], |p| {
        Ok(rustix::fs::symlinkat(
            "/etc/shadow",
            &p.root,
            unique("symlink"),
        )?)
    }),
    attack(
        "link-secret-into-backing",
        &[Root, Landlock, Seccomp],
        |p| {
            let secret = p.scene.join("outside/secret");
            Ok(rustix::fs::linkat(
                CWD,
                secret,
                &p.root,
                unique("link"),
                AtFlags::empty(),
            )?)
        },
    ),
    attack("rename", &[Root, Landlock, Seccomp], |p| {
        // To its own name: nothing happens.
        Ok(rustix::fs::renameat(
            &p.root,
            "empty",
            CWD,
            p.scene.join("backing/empty"),
        )?)
    }),
    attack("change-mode", &[Seccomp], |p| {
        Ok(rustix::fs::chmodat(
            &p.root,
            "file",
            Mode::from(0o4755),
            AtFlags::empty(),
        )?)
    }),
    attack("change-owner", &[Capabilities, Seccomp], |p| {
        let owner = rustix::fs::Uid::from_raw(12345);
        Ok(rustix::fs::chownat(
            &p.root,
            p.doomed.as_str(),
            Some(owner),
            None,
            AtFlags::empty(),
        )?)
    }),
    attack("change-time", &[Seccomp], |p| {
        let path = c"file";
        syscall(
            libc::SYS_utimensat,
            &[p.root.as_raw_fd() as usize, path.as_ptr() as usize, 0, 0],
        )?;
        Ok(())
    }),
    attack("change-attribute", &[Root, Seccomp], |p| {
        let flags = rustix::fs::XattrFlags::empty();
        Ok(rustix::fs::setxattr(
            p.scene.join("backing/file"),
            "user.x",
            b"x",
            flags,
        )?)
    }),
    attack("set-core-pattern", &[Root, Landlock], |_| {
        open2(CWD, "/proc/sys/kernel/core_pattern", OFlags::WRONLY)
    }),
    // Running something.
    attack("exec", &[Root, Landlock, Seccomp], |_| exec(c"/bin/echo")),
    attack("exec-memory", &[Process, Root, Landlock, Seccomp], |p| {
        let memory = rustix::fs::memfd_create("program", rustix::fs::MemfdFlags::empty())?;
        rustix::io::write(&memory, &p.program)?;
        let path = c"";
        let arguments = [c"echo".as_ptr(), c"done".as_ptr(), std::ptr::null()];
        syscall(
            libc::SYS_execveat,
            &[
                memory.as_raw_fd() as usize,
                path.as_ptr() as usize,
                arguments.as_ptr() as usize,
                0,
                libc::AT_EMPTY_PATH as usize,
            ],
        )?;
        Ok(())
    }),
    attack("map-executable", &[Seccomp], |_| {
        map(libc::PROT_READ | libc::PROT_EXEC).map(drop)
    }),
    attack("make-executable", &[Seccomp], |_| {
        let memory = map(libc::PROT_READ | libc::PROT_WRITE)?;
        let executable = (libc::PROT_READ | libc::PROT_EXEC) as usize;
        syscall(libc::SYS_mprotect, &[memory, 4096, executable])?;
        Ok(())
    }),
    attack("make-executable-with-key", &[Seccomp], |_| {
        let memory = map(libc::PROT_READ | libc::PROT_WRITE)?;
        let executable = (libc::PROT_READ | libc::PROT_EXEC) as usize;
        syscall(
            libc::SYS_pkey_mprotect,
            &[memory, 4096, executable, usize::MAX],
        )?;
        Ok(())
    }),
    attack("personality", &[Seccomp], |_| {
        syscall(libc::SYS_personality, &[0x0040_0000])?;
        Ok(())
    }),
    attack("fork", &[Seccomp], |_| fork(libc::SIGCHLD)),
    attack("fork-into-namespace", &[Root, Seccomp], |_| {
        fork(libc::SIGCHLD | libc::CLONE_NEWUSER)
    }),
    attack("fork-by-clone3", &[Root, Seccomp], |_| {
        // struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, …
        let arguments = [
            libc::CLONE_NEWUSER as u64,
            0,
            0,
            0,
            libc::SIGCHLD as u64,
            0,
            0,
            0,
        ];
        let forked = syscall(libc::SYS_clone3, &[arguments.as_ptr() as usize, 64])?;
        end_if_child(forked)
    }),
    // Calling somebody.
    attack("socket", &[Seccomp], |_| {
        syscall(
            libc::SYS_socket,
            &[libc::AF_INET as usize, libc::SOCK_STREAM as usize, 0],
        )?;
        Ok(())
    }),
    attack("netlink", &[Seccomp], |_| {
        syscall(
            libc::SYS_socket,
            &[libc::AF_NETLINK as usize, libc::SOCK_RAW as usize, 0],
        )?;
        Ok(())
    }),
    attack("tcp-connect", &[Landlock, Seccomp], |p| {
        TcpStream::connect(p.tcp).map(drop)
    }),
    attack("tcp-listen", &[Landlock, Seccomp], |_| {
        TcpListener::bind("127.0.0.1:0").map(drop)
    }),
    attack("udp-send", &[Seccomp], |p| {
        UdpSocket::bind("127.0.0.1:0")?
            .send_to(b"x", p.udp)
            .map(drop)
    }),
    attack("unix-connect", &[Root, Seccomp], |p| {
        UnixStream::connect(p.scene.join("socket")).map(drop)
    }),
    attack("abstract-connect", &[Landlock, Seccomp], |p| {
        let address = SocketAddr::from_abstract_name(&p.abstract_name)?;
        UnixStream::connect_addr(&address).map(drop)
    }),
    attack("datagram-pair", &[Seccomp], |_| {
        std::os::unix::net::UnixDatagram::pair().map(drop)
    }),
    // Other processes.
    attack("kill", &[Landlock, Seccomp], |p| {
        syscall(
            libc::SYS_kill,
            &[p.victim as usize, libc::SIGWINCH as usize],
        )?;
        Ok(())
    }),
    attack("kill-by-thread", &[Landlock, Seccomp], |p| {
        let victim = p.victim as usize;
        syscall(libc::SYS_tgkill, &[victim, victim, libc::SIGWINCH as usize])?;
        Ok(())
    }),
    attack("kill-by-handle", &[Landlock, Seccomp], |p| {
        let victim = p.victim_handle.as_raw_fd() as usize;
        syscall(
            libc::SYS_pidfd_send_signal,
            &[victim, libc::SIGWINCH as usize, 0, 0],
        )?;
        Ok(())
    }),
    attack("trace", &[Landlock, Capabilities, Seccomp], |p| {
        // PTRACE_SEIZE: it goes on, and is let go when we end.
        syscall(libc::SYS_ptrace, &[0x4206, p.victim as usize, 0, 0])?;
        Ok(())
    }),
    attack("read-memory", &[Landlock, Capabilities, Seccomp], |p| {
        let mut buffer = [0_u8; 16];
        let here = [&raw mut buffer as usize, 16];
        let there = [p.victim_memory, 16];
        syscall(
            libc::SYS_process_vm_readv,
            &[
                p.victim as usize,
                here.as_ptr() as usize,
                1,
                there.as_ptr() as usize,
                1,
                0,
            ],
        )?;
        Ok(())
    }),
    attack("open-process", &[Seccomp], |p| {
        syscall(libc::SYS_pidfd_open, &[p.victim as usize, 0])?;
        Ok(())
    }),
    attack("take-descriptor", &[Landlock, Capabilities, Seccomp], |p| {
        syscall(
            libc::SYS_pidfd_getfd,
            &[p.victim_handle.as_raw_fd() as usize, 0, 0],
        )?;
        Ok(())
    }),
    attack("limits-of-another", &[Seccomp], |p| {
        let mut limit = [0_u64; 2];
        syscall(
            libc::SYS_prlimit64,
            &[
                p.victim as usize,
                libc::RLIMIT_NOFILE as usize,
                0,
                &raw mut limit as usize,
            ],
        )?;
        Ok(())
    }),
    // Namespaces and mounts.
    attack("new-user-namespace", &[Root, Seccomp], |_| {
        unshare(libc::CLONE_NEWUSER)
    }),
    attack("new-mount-namespace", &[Capabilities, Seccomp], |_| {
        unshare(libc::CLONE_NEWNS)
    }),
    attack("enter-namespace", &[Capabilities, Seccomp], |p| {
        let network = p.network.as_raw_fd() as usize;
        syscall(libc::SYS_setns, &[network, libc::CLONE_NEWNET as usize])?;
        Ok(())
    }),
    attack("mount", &[Root, Landlock, Capabilities, Seccomp], |p| {
        let at = p.scene.join("mountpoint");
        rustix::mount::mount(
            "none",
            &at,
            "tmpfs",
            rustix::mount::MountFlags::empty(),
            None,
        )?;
        Ok(rustix::mount::unmount(
            &at,
            rustix::mount::UnmountFlags::DETACH,
        )?)
    }),
    attack("open-filesystem", &[Capabilities, Seccomp], |_| {
        rustix::mount::fsopen("tmpfs", rustix::mount::FsOpenFlags::empty())?;
        Ok(())
    }),
    fails_anyway(
        libc::EINVAL,
        attack("unmount", &[Root, Capabilities, Seccomp], |p| {
            let at = p.scene.join("backing/empty");
            Ok(rustix::mount::unmount(
                &at,
                rustix::mount::UnmountFlags::empty(),
            )?)
        }),
    ),
    fails_anyway(
        libc::EBUSY,
        attack("pivot", &[Root, Landlock, Capabilities, Seccomp], |p| {
            let at = path(&p.scene.join("backing/empty"));
            syscall(
                libc::SYS_pivot_root,
                &[at.as_ptr() as usize, at.as_ptr() as usize],
            )?;
            Ok(())
        }),
    ),
    attack("chroot", &[Root, Capabilities, Seccomp], |p| {
        Ok(rustix::process::chroot(p.scene.as_path())?)
    }),
    // Rights.
    attack("become-another", &[Capabilities, Seccomp], |_| {
        syscall(libc::SYS_setresuid, &[12345, 12345, 12345])?;
        Ok(())
    }),
    attack("regain-capabilities", &[Capabilities, Seccomp], |_| {
        caps::raise(None, caps::CapSet::Permitted, caps::Capability::CAP_CHOWN)
            .map_err(|_| io::Error::from_raw_os_error(libc::EPERM))
    }),
    attack("host-name", &[Capabilities, Seccomp], |p| {
        syscall(
            libc::SYS_sethostname,
            &[p.host_name.as_ptr() as usize, p.host_name.len()],
        )?;
        Ok(())
    }),
    fails_anyway(
        libc::EINVAL,
        attack("reboot", &[Capabilities, Seccomp], |_| {
            syscall(libc::SYS_reboot, &[0, 0, 0, 0])?;
            Ok(())
        }),
    ),
    // Parts of the kernel in which many flaws were found.
    attack("io-uring", &[Seccomp], |_| {
        let parameters = [0_u8; 120];
        syscall(libc::SYS_io_uring_setup, &[1, parameters.as_ptr() as usize])?;
        Ok(())
    }),
    perhaps_by(
        Capabilities,
        attack("userfaultfd", &[Seccomp], |_| {
            syscall(libc::SYS_userfaultfd, &[0])?;
            Ok(())
        }),
    ),
    attack("bpf", &[Capabilities, Seccomp], |_| {
        // BPF_MAP_CREATE: an array of one, keys and values of 4 bytes.
        let map = [2_u32, 4, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        syscall(libc::SYS_bpf, &[0, map.as_ptr() as usize, 64])?;
        Ok(())
    }),
    perhaps_by(
        Capabilities,
        attack("perf", &[Seccomp], |_| {
            // PERF_TYPE_SOFTWARE, and the size of the structure.
            let mut event = [0_u32; 28];
            event[0] = 1;
            event[1] = 112;
            syscall(
                libc::SYS_perf_event_open,
                &[event.as_ptr() as usize, 0, usize::MAX, usize::MAX, 0],
            )?;
            Ok(())
        }),
    ),
    attack("keys", &[Seccomp], |_| {
        // KEYCTL_GET_KEYRING_ID of the process, made if there is none.
        let process = -2_isize;
        syscall(libc::SYS_keyctl, &[0, process as usize, 1])?;
        Ok(())
    }),
    perhaps_by(
        Capabilities,
        attack("type-on-terminal", &[Seccomp], |p| {
            let terminal = p.terminal.as_raw_fd() as usize;
            syscall(
                libc::SYS_ioctl,
                &[terminal, libc::TIOCSTI as usize, c"x".as_ptr() as usize],
            )?;
            Ok(())
        }),
    ),
    attack("shared-memory", &[Seccomp], |_| {
        let id = syscall(libc::SYS_shmget, &[libc::IPC_PRIVATE as usize, 4096, 0o600])?;
        syscall(libc::SYS_shmctl, &[id as usize, libc::IPC_RMID as usize, 0])?;
        Ok(())
    }),
    attack("dump-core-after-all", &[Seccomp], |_| {
        syscall(libc::SYS_prctl, &[libc::PR_SET_DUMPABLE as usize, 1])?;
        Ok(())
    }),
];

const READ: OFlags = OFlags::RDONLY;

fn opened2(
    directory: std::os::fd::BorrowedFd<'_>,
    path: &str,
    flags: OFlags,
    mode: Mode,
) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat2(
        directory,
        path,
        flags,
        mode,
        ResolveFlags::empty(),
    )?)
}

fn open2(directory: std::os::fd::BorrowedFd<'_>, path: &str, flags: OFlags) -> io::Result<()> {
    opened2(directory, path, flags, Mode::empty()).map(drop)
}

/// A name that no other process of the test takes.
fn unique(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

fn path(path: &std::path::Path) -> CString {
    CString::new(path.to_str().unwrap()).unwrap()
}

fn exec(program: &CStr) -> io::Result<()> {
    io::stdout().flush()?;
    let arguments = [program.as_ptr(), c"done".as_ptr(), std::ptr::null()];
    let arguments = [program.as_ptr() as usize, arguments.as_ptr() as usize, 0];
    syscall(libc::SYS_execve, &arguments)?;
    Ok(())
}

fn map(protection: i32) -> io::Result<usize> {
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize;
    let address = syscall(
        libc::SYS_mmap,
        &[0, 4096, protection as usize, flags, usize::MAX, 0],
    )?;
    Ok(address as usize)
}

fn fork(flags: i32) -> io::Result<()> {
    end_if_child(syscall(libc::SYS_clone, &[flags as usize, 0, 0, 0, 0])?)
}

fn end_if_child(forked: i64) -> io::Result<()> {
    if forked == 0 {
        syscall(libc::SYS_exit_group, &[0])?;
    }
    Ok(())
}

fn unshare(flags: i32) -> io::Result<()> {
    syscall(libc::SYS_unshare, &[flags as usize])?;
    Ok(())
}
