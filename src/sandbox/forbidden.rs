//! System calls that a supervisor never makes. It runs other programs, and what these
//! need before they confine themselves changes with every library; so this is a list of
//! what is forbidden, where the worker has one of what is allowed.
//!
//! What capabilities that are kept would permit is on it, and what reaches much of the
//! kernel. What takes a capability that is gone is not.

use seccompiler::{BackendError, SeccompCmpOp as Is, SeccompRule};

use super::Supervision;
use super::allowed::{Call, arg, call, calls, masked, when};

/// mount(2), `MS_REMOUNT`.
const REMOUNT: u64 = libc::MS_REMOUNT;

/// All that is forbidden.
pub(super) fn calls(supervision: &Supervision) -> Result<Vec<Call>, BackendError> {
    let mut calls = calls![
        // Other processes, and what they have open.
        SYS_ptrace,
        SYS_process_vm_readv,
        SYS_process_vm_writev,
        SYS_process_madvise,
        SYS_pidfd_getfd,
        SYS_kcmp,
        // Files by their handles (CAP_DAC_READ_SEARCH), and all that happens to them.
        SYS_open_by_handle_at,
        SYS_fanotify_init,
        // What CAP_SYS_ADMIN permits.
        SYS_bpf,
        SYS_perf_event_open,
        SYS_swapon,
        SYS_swapoff,
        SYS_quotactl,
        SYS_quotactl_fd,
        SYS_sethostname,
        SYS_setdomainname,
        SYS_syslog,
        SYS_pivot_root,
        // What reaches much of the kernel.
        SYS_io_uring_setup,
        SYS_userfaultfd,
        SYS_keyctl,
        SYS_add_key,
        SYS_request_key,
    ];
    // Local ones alone.
    let other_family = when(0, Is::Ne, arg(libc::AF_UNIX))?;
    calls.push(call!(SYS_socket: vec![SeccompRule::new(vec![other_family])?]));
    if !supervision.enters {
        calls.extend(calls![SYS_setns, SYS_unshare]);
    }
    if !supervision.mounts {
        calls.extend(calls![
            SYS_fsopen,
            SYS_fspick,
            SYS_fsconfig,
            SYS_fsmount,
            SYS_move_mount,
            SYS_open_tree,
            SYS_mount_setattr,
        ]);
        // It goes on making its mount read-only.
        let not_again = masked(3, REMOUNT, 0)?;
        calls.push(call!(SYS_mount: vec![SeccompRule::new(vec![not_again])?]));
    }
    Ok(calls)
}
