//! What a process can give up for good.

use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::path::Path;

use rustix::fs::{Access, AtFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit};

use super::stat::Stat;

/// File type bits of `st_mode`, and those of a regular file.
const TYPE_MASK: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;

/// How many threads this process has.
///
/// # Errors
/// Without `/proc`.
pub fn threads() -> io::Result<usize> {
    Ok(fs::read_dir("/proc/self/task")?.count())
}

/// The numbers of all open descriptors.
///
/// # Errors
/// Without `/proc`.
pub fn descriptors() -> io::Result<Vec<RawFd>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.parse::<RawFd>().ok()));
    }
    Ok(numbers)
}

/// Closes a descriptor by its number, whoever has it. That it is not open is no
/// error: the listing that it came from was one.
///
/// # Errors
/// As close(2).
pub fn close(number: RawFd) -> io::Result<()> {
    match nix::unistd::close(number) {
        Ok(()) | Err(nix::Error::EBADF) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether a descriptor can write to a regular file, which is what the limit of
/// a file's size is about. Nobody can to a memory file that is sealed.
///
/// # Errors
/// As fstat(2) and fcntl(2).
pub fn writes_regular_file(descriptor: BorrowedFd<'_>) -> io::Result<bool> {
    if Stat::of(descriptor)?.st_mode & TYPE_MASK != REGULAR {
        return Ok(false);
    }
    let flags = rustix::fs::fcntl_getfl(descriptor)?;
    let seals = rustix::fs::fcntl_get_seals(descriptor);
    let is_sealed = seals.is_ok_and(|seals| seals.contains(SealFlags::WRITE));
    Ok(flags.intersects(OFlags::WRONLY | OFlags::RDWR) && !is_sealed)
}

/// Standard input, output and error, as far as they are open.
#[must_use]
pub fn standard() -> [BorrowedFd<'static>; 3] {
    [
        rustix::stdio::stdin(),
        rustix::stdio::stdout(),
        rustix::stdio::stderr(),
    ]
}

/// Whether a program can be run, with the rights that are effective now.
#[must_use]
pub fn can_run(program: &Path) -> bool {
    may(program, Access::EXEC_OK).is_ok()
}

/// Whether a file can be appended to, and made anew when somebody has taken it away,
/// with the rights that are effective now.
#[must_use]
pub fn can_write(file: &Path) -> bool {
    let directory = match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let is_written = matches!(may(file, Access::WRITE_OK), Ok(()) | Err(Errno::NOENT));
    is_written && may(directory, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

fn may(path: &Path, access: Access) -> rustix::io::Result<()> {
    rustix::fs::accessat(rustix::fs::CWD, path, access, AtFlags::EACCESS)
}

/// Goes to the root directory, and lets nobody else at what is made from now on.
///
/// # Errors
/// As chdir(2).
pub fn leave_place() -> io::Result<()> {
    rustix::process::chdir("/")?;
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    Ok(())
}

/// Makes a directory the root, and goes there.
///
/// # Errors
/// As fchdir(2) and chroot(2): `EPERM` without `CAP_SYS_CHROOT`.
pub fn make_root(directory: BorrowedFd<'_>) -> io::Result<()> {
    rustix::process::fchdir(directory)?;
    rustix::process::chroot(".")?;
    Ok(rustix::process::chdir("/")?)
}

/// No core dump, and nobody may look into this process but root.
///
/// # Errors
/// As prctl(2) and setrlimit(2).
pub fn hide_memory() -> io::Result<()> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    dump_no_core()
}

/// No core dump.
///
/// # Errors
/// As setrlimit(2).
pub fn dump_no_core() -> io::Result<()> {
    forbid(Resource::Core)
}

/// No program that this process could run gives it more rights.
///
/// # Errors
/// As prctl(2).
pub fn gain_nothing() -> io::Result<()> {
    Ok(rustix::thread::set_no_new_privs(true)?)
}

/// No regular file can grow by what this process writes.
///
/// # Errors
/// As setrlimit(2).
pub fn write_no_files() -> io::Result<()> {
    forbid(Resource::Fsize)
}

fn forbid(resource: Resource) -> io::Result<()> {
    let nothing = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    match rustix::process::setrlimit(resource, nothing) {
        Err(Errno::PERM) if rustix::process::getrlimit(resource) == nothing => Ok(()),
        result => Ok(result?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs::File;
    use std::os::fd::AsFd;

    use crate::sys::descriptor;

    #[test]
    fn what_can_be_written_to() {
        let memory = descriptor::memory("test").unwrap();
        assert!(writes_regular_file(memory.as_fd()).unwrap());
        descriptor::seal(&memory).unwrap();
        assert!(!writes_regular_file(memory.as_fd()).unwrap());
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(writes_regular_file(file.as_file().as_fd()).unwrap());
        let read = File::open(file.path()).unwrap();
        assert!(!writes_regular_file(read.as_fd()).unwrap());
        let null = File::options().write(true).open("/dev/null").unwrap();
        assert!(!writes_regular_file(null.as_fd()).unwrap());
    }
}
