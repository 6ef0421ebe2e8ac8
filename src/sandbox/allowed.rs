//! The list of system calls, by what each is for. docs/security.md has the same
//! table; a test compares them.

use libc::c_long;
use seccompiler::{
    BackendError, SeccompCmpArgLen as Width, SeccompCmpOp as Is, SeccompCondition, SeccompRule,
};

use super::Confinement;

/// Calls that are allowed for one reason.
pub(super) struct Group {
    pub what_for: &'static str,
    pub calls: Vec<Call>,
}

/// A call, and with what it is allowed.
pub(super) struct Call {
    /// What it is called in the C library's headers.
    pub constant: &'static str,
    pub number: c_long,
    /// Any of these; without one, anything.
    pub only: Vec<SeccompRule>,
}

impl Call {
    pub(super) fn name(&self) -> &'static str {
        self.constant.trim_start_matches("SYS_")
    }
}

type Result<T> = std::result::Result<T, BackendError>;

/// A list of calls, each with any arguments.
macro_rules! calls {
    ($($name:ident),* $(,)?) => {
        vec![$(call!($name)),*]
    };
}

/// One call; after the colon, the rules.
macro_rules! call {
    ($name:ident) => {
        call!($name: Vec::new())
    };
    ($name:ident: $only:expr) => {
        Call {
            constant: stringify!($name),
            number: libc::$name,
            only: $only,
        }
    };
}
pub(super) use {call, calls};

// Commands of ioctl(2), which libc does not have for every system:
// linux/fuse.h and linux/fs.h.
const FUSE_DEV_IOC_BACKING_OPEN: u64 = 0x4010_e501;
const FUSE_DEV_IOC_BACKING_CLOSE: u64 = 0x4004_e502;
const FICLONE: u64 = 0x4004_9409;
const FIONBIO: u64 = 0x5421;
const FIOCLEX: u64 = 0x5451;
const TCGETS: u64 = 0x5401;

/// What the C library makes a thread of.
const THREAD: i32 =
    libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SIGHAND | libc::CLONE_THREAD;
/// What a thread may have beside; not a namespace of its own, nor a parent that
/// traces it.
const OF_A_THREAD: i32 = libc::CLONE_SYSVSEM
    | libc::CLONE_SETTLS
    | libc::CLONE_PARENT_SETTID
    | libc::CLONE_CHILD_SETTID
    | libc::CLONE_CHILD_CLEARTID
    | libc::CLONE_DETACHED;

/// Everything that is allowed.
pub(super) fn groups(confinement: &Confinement<'_>) -> Result<Vec<Group>> {
    let mut groups = vec![
        Group {
            what_for: "requests, the log, and what was open before",
            calls: calls![
                SYS_read, SYS_readv, SYS_write, SYS_writev, SYS_close, SYS_lseek, SYS_ppoll,
            ],
        },
        Group {
            what_for: "files of the backing, as far as landlock lets it open them",
            calls: calls![
                SYS_openat2,
                SYS_pread64,
                SYS_fstat,
                SYS_newfstatat,
                SYS_statx,
                SYS_fadvise64,
            ],
        },
        Group {
            what_for: "descriptors: duplicates, and whether they wait",
            calls: vec![
                call!(SYS_dup),
                call!(SYS_dup3),
                call!(SYS_fcntl: one_of(1, &[
                    arg(libc::F_DUPFD_CLOEXEC),
                    arg(libc::F_GETFD),
                    arg(libc::F_SETFD),
                    arg(libc::F_GETFL),
                    arg(libc::F_SETFL),
                ])?),
                call!(SYS_ioctl: one_of(1, &[FIONBIO, FIOCLEX])?),
            ],
        },
        Group {
            what_for: "sockets that were open before, and pairs of new ones; no other can be made, and none connected",
            calls: vec![
                call!(SYS_socketpair: vec![SeccompRule::new(vec![
                    when(0, Is::Eq, arg(libc::AF_UNIX))?,
                    // Not of datagrams, which could be sent to an address.
                    masked(1, arg(SOCKET_TYPE), arg(libc::SOCK_STREAM))?,
                ])?, SeccompRule::new(vec![
                    when(0, Is::Eq, arg(libc::AF_UNIX))?,
                    masked(1, arg(SOCKET_TYPE), arg(libc::SOCK_SEQPACKET))?,
                ])?]),
                call!(SYS_accept4),
                call!(SYS_recvfrom),
                call!(SYS_recvmsg),
                call!(SYS_sendmsg),
                call!(SYS_sendto: vec![SeccompRule::new(vec![no_pointer(4)?])?]),
                call!(SYS_getsockopt),
                call!(SYS_setsockopt: one_of(1, &[arg(libc::SOL_SOCKET)])?),
                call!(SYS_shutdown),
            ],
        },
        Group {
            what_for: "memory, none of it executable",
            calls: vec![
                call!(SYS_mmap: not_executable(2)?),
                call!(SYS_mprotect: not_executable(2)?),
                call!(SYS_munmap),
                call!(SYS_mremap),
                call!(SYS_madvise),
                call!(SYS_brk),
            ],
        },
        Group {
            what_for: "threads, and no processes",
            calls: vec![
                call!(SYS_clone: vec![SeccompRule::new(vec![masked(
                    0,
                    arg(!OF_A_THREAD),
                    arg(THREAD),
                )?])?]),
                call!(SYS_futex),
                call!(SYS_set_robust_list),
                call!(SYS_rseq),
                call!(SYS_sched_yield),
                call!(SYS_sched_getaffinity),
                call!(SYS_gettid),
                // A worker that serves goes on without its supervisor.
                call!(SYS_prctl: one_of(0, &[
                    arg(libc::PR_SET_NAME),
                    arg(libc::PR_SET_PDEATHSIG),
                ])?),
                call!(SYS_exit),
            ],
        },
        Group {
            what_for: "signals, and to end; it can send one to itself, as abort(3) does",
            calls: vec![
                call!(SYS_rt_sigaction),
                call!(SYS_rt_sigprocmask),
                call!(SYS_rt_sigreturn),
                call!(SYS_sigaltstack),
                call!(SYS_restart_syscall),
                call!(SYS_tgkill: one_of(0, &[u64::from(std::process::id())])?),
                call!(SYS_exit_group),
            ],
        },
        Group {
            what_for: "who it is, what time it is, and what nobody can guess",
            calls: vec![
                call!(SYS_getpid),
                call!(SYS_geteuid),
                call!(SYS_getegid),
                call!(SYS_getrandom),
                call!(SYS_clock_gettime),
                call!(SYS_clock_nanosleep),
            ],
        },
    ];
    #[cfg(target_arch = "x86_64")]
    groups.push(Group {
        what_for: "older forms, which the C library takes on x86-64",
        calls: calls![SYS_poll],
    });
    if confinement.writable.is_some() {
        groups.push(Group {
            what_for: "private copies (cache_dir=)",
            calls: vec![
                call!(SYS_pwrite64),
                call!(SYS_ftruncate),
                call!(SYS_fallocate),
                call!(SYS_ioctl: one_of(1, &[FICLONE])?),
            ],
        });
    }
    if confinement.passthrough {
        groups.push(Group {
            what_for: "private copies, given to the kernel",
            calls: vec![
                call!(SYS_ioctl: one_of(1, &[FUSE_DEV_IOC_BACKING_OPEN, FUSE_DEV_IOC_BACKING_CLOSE])?),
            ],
        });
    }
    Ok(groups)
}

/// Calls that fail as if the kernel did not have them (`ENOSYS`): what the
/// standard library and the C library try, and go on without.
pub(super) fn absent() -> Result<Vec<Call>> {
    let mut calls = calls![
        // Its flags are behind a pointer; clone(2) is taken instead.
        SYS_clone3,
        // How many processors there are, by cgroups; what is on a stack, in a
        // message of a panic.
        SYS_openat,
        SYS_readlinkat,
        SYS_faccessat,
        SYS_getcwd,
    ];
    // Whether the log is a terminal.
    calls.push(call!(SYS_ioctl: one_of(1, &[TCGETS])?));
    #[cfg(target_arch = "x86_64")]
    calls.extend(calls![SYS_open, SYS_readlink, SYS_access]);
    Ok(calls)
}

/// Bits of a socket's type that are its type (net/socket.c: `SOCK_TYPE_MASK`).
const SOCKET_TYPE: i32 = 0xf;

/// An int as the kernel sees it in the lower half of a register.
pub(super) fn arg(value: i32) -> u64 {
    u64::from(value.cast_unsigned())
}

pub(super) fn when(place: u8, is: Is, value: u64) -> Result<SeccompCondition> {
    SeccompCondition::new(place, Width::Dword, is, value)
}

pub(super) fn masked(place: u8, mask: u64, value: u64) -> Result<SeccompCondition> {
    when(place, Is::MaskedEq(mask), value)
}

fn no_pointer(place: u8) -> Result<SeccompCondition> {
    SeccompCondition::new(place, Width::Qword, Is::Eq, 0)
}

fn one_of(place: u8, values: &[u64]) -> Result<Vec<SeccompRule>> {
    values
        .iter()
        .map(|value| SeccompRule::new(vec![when(place, Is::Eq, *value)?]))
        .collect()
}

fn not_executable(place: u8) -> Result<Vec<SeccompRule>> {
    let condition = masked(place, arg(libc::PROT_EXEC), 0)?;
    Ok(vec![SeccompRule::new(vec![condition])?])
}
