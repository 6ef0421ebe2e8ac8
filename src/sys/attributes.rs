//! Changing what stat(2) says of one file, through its descriptor: of exactly
//! this file, whatever has its name by now, and of a symlink itself.
//!
//! All of it works on descriptors that were opened with `O_PATH` too.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::{AtFlags, CWD, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid};
use rustix::io::Errno;

/// Changes owner and group; `None` leaves one as it is. The kernel takes away
/// setuid and setgid bits and capabilities.
///
/// # Errors
/// As fchownat(2): `EPERM` without the right to.
pub fn set_owner(file: impl AsFd, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
    Ok(rustix::fs::chownat(
        file,
        "",
        uid,
        gid,
        AtFlags::EMPTY_PATH,
    )?)
}

/// Changes the twelve permission bits.
///
/// # Errors
/// As chmod(2): `EOPNOTSUPP` for a symlink.
pub fn set_mode(file: impl AsFd, permissions: u32) -> io::Result<()> {
    let mode = Mode::from_raw_mode(permissions);
    match rustix::fs::fchmod(&file, mode) {
        // fchmod(2) does not serve O_PATH.
        Err(Errno::BADF) => {
            let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
            Ok(rustix::fs::chmodat(CWD, &*path, mode, AtFlags::empty())?)
        }
        done => Ok(done?),
    }
}

/// Changes the time of the last change of the content: seconds and
/// nanoseconds.
///
/// # Errors
/// As utimensat(2).
pub fn set_mtime(file: impl AsFd, time: (i64, u32)) -> io::Result<()> {
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: time.0,
            tv_nsec: time.1.into(),
        },
    };
    Ok(rustix::fs::utimensat(
        file,
        "",
        &times,
        AtFlags::EMPTY_PATH,
    )?)
}

#[cfg(test)]
mod tests {
    use super::super::{RootDir, Stat};
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::fs::symlink;

    #[test]
    fn changes_the_link_and_not_what_it_leads_to() {
        let scratch = tempfile::tempdir().unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        let file = root.make_file(OsStr::new("file")).unwrap();
        symlink("file", scratch.path().join("link")).unwrap();
        let before = Stat::of(&file).unwrap();
        let link = root.handle(OsStr::new("link")).unwrap();
        set_mtime(&link, (-5, 7)).unwrap();
        set_owner(&link, Some(before.uid), None).unwrap();
        assert!(set_mode(&link, 0o600).is_err());
        assert_eq!(link.stat().unwrap().mtime, (-5, 7));
        assert_eq!(Stat::of(&file).unwrap(), before);

        let held = root.handle(OsStr::new("file")).unwrap();
        set_mode(&held, 0o4751).unwrap();
        assert_eq!(Stat::of(&file).unwrap().st_mode, 0o104_751);
    }
}
