//! Whether anybody serves a FUSE filesystem. Asking the filesystem itself waits
//! for ever when its connection is open and nobody reads from it: that is how it
//! is left when all processes are killed while a thread of theirs stores a page
//! (`FUSE_NOTIFY_STORE`) for whose content somebody waits.

use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::{Access, AtFlags};
use rustix::io::Errno;

use super::holders::{self, Holder, Holders, gone_is_false};
use super::mount::{MountIdentity, identity, type_of};

/// How long a filesystem may take for statfs(2). Ours answers from memory.
const PATIENCE: Duration = Duration::from_secs(2);
/// The namespace in which all processes are seen (`PROC_PID_INIT_INO`, Linux,
/// include/linux/proc_ns.h).
const ALL_PROCESSES: &str = "pid:[4026531836]";
/// The bit of SIGKILL in the masks of proc_pid_status(5).
const KILLED: u64 = 1 << 8;

/// Who serves what is mounted in a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// Somebody, or it is another type of filesystem.
    There,
    /// Nobody; whoever asks gets an error.
    Gone,
    /// Nobody, but the connection is open, and whoever asks waits.
    Missing(MountIdentity),
}

/// How long a directory may take to say whether it can be entered.
const PATIENCE_TO_ENTER: Duration = Duration::from_secs(1);

/// Whether a directory answers, so that whoever enters it is not held up by a server
/// that is gone.
pub fn answers(directory: BorrowedFd<'_>) -> bool {
    let (tell, answer) = mpsc::channel();
    let Ok(directory) = directory.try_clone_to_owned() else {
        return false;
    };
    let ask = std::thread::Builder::new().name("ask".to_owned());
    let asked = ask.spawn(move || {
        // What chdir(2) asks, of which the kernel may remember the answer.
        let entered = rustix::fs::accessat(&directory, ".", Access::EXEC_OK, AtFlags::empty());
        let _ = tell.send(entered);
    });
    asked.is_ok() && answer.recv_timeout(PATIENCE_TO_ENTER).is_ok()
}

/// Looks who serves what is mounted in this place, if that is of this type.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`] when it does not answer, and is served by somebody or it cannot be
/// told whether it is; as statx(2), or without `/proc`.
pub fn server(place: &OwnedFd, file_system: &str) -> io::Result<Server> {
    let mount = identity(place)?;
    if type_of(mount)?.as_deref() != Some(file_system.as_ref()) {
        return Ok(Server::There);
    }
    let (tell, answer) = mpsc::channel();
    let asked = place.try_clone()?;
    // stat(2) may be answered from what the kernel remembers.
    std::thread::Builder::new()
        .name("ask".to_owned())
        .spawn(move || tell.send(rustix::fs::fstatfs(&asked).map(drop)))?;
    match answer.recv_timeout(PATIENCE) {
        // The second one is for who was waiting when the last process went.
        Ok(Err(Errno::NOTCONN | Errno::CONNABORTED)) => Ok(Server::Gone),
        Ok(_) => Ok(Server::There),
        // What cannot be looked at may be who serves it.
        Err(_) if is_unheld(mount).unwrap_or(false) => Ok(Server::Missing(mount)),
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "what is mounted there does not answer",
        )),
    }
}

/// Whether it is certain that no living process has the connection.
fn is_unheld(mount: MountIdentity) -> io::Result<bool> {
    if fs::read_link("/proc/self/ns/pid")? != Path::new(ALL_PROCESSES) {
        return Ok(false);
    }
    let Holders { certain, possible } = holders::of_connection(mount.minor())?;
    for Holder { pid, .. } in certain.iter().chain(&possible) {
        // The first one keeps connections for services, and serves none itself.
        if *pid != 1 && gone_is_false(lives(&Path::new("/proc").join(pid.to_string())))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a process is not being killed. One that waits in the kernel for the
/// filesystem cannot end before that answers.
fn lives(process: &Path) -> io::Result<bool> {
    Ok(!is_killed(&fs::read_to_string(process.join("status"))?))
}

fn is_killed(status: &str) -> bool {
    let pending = |line: &str| {
        let mask = line
            .strip_prefix("SigPnd:")
            .or(line.strip_prefix("ShdPnd:"))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    };
    status
        .lines()
        .filter_map(pending)
        .any(|mask| mask & KILLED != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_process_is_known_by_its_signals() {
        assert!(!is_killed(
            "Name:\tcat\nSigPnd:\t0000000000004000\nShdPnd:\t0000000000000000\n"
        ));
        assert!(is_killed("SigPnd:\t0000000000000100\n"));
        assert!(is_killed(
            "SigPnd:\t0000000000000000\nShdPnd:\t0000000000000100\n"
        ));
    }

    #[test]
    fn this_process_lives() {
        let process = Path::new("/proc/self");
        assert!(lives(process).unwrap());
        assert!(gone_is_false(lives(Path::new("/proc/0"))).is_ok_and(|lives| !lives));
    }

    #[test]
    fn other_filesystems_are_left_alone() {
        let place = crate::sys::mount::open_place(Path::new("/")).unwrap();
        assert_eq!(server(&place, "fuse.continuity").unwrap(), Server::There);
    }
}
