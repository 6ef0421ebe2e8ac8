//! Mounting a FUSE filesystem by our own hand, with the calls that go by
//! descriptor (fsopen(2), fsmount(2), move_mount(2)) and need no option string.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, UnmountFlags,
};

use super::stat::Stat;

/// How to mount. It is always read-only, and the kernel always checks
/// permissions (`default_permissions`).
#[derive(Clone, Copy, Debug)]
pub struct FuseMountOptions<'a> {
    /// What stands in the first column of the table of mounts.
    pub source: &'a OsStr,
    /// What stands behind `fuse.` as the type.
    pub subtype: &'a str,
    /// Whether others than the user who mounts may look in.
    pub allow_other: bool,
    /// Whether setuid bits and file capabilities count.
    pub suid: bool,
    /// Whether devices can be opened.
    pub dev: bool,
    /// Whether programs can be run.
    pub exec: bool,
}

/// Opens the device by which a FUSE filesystem is served.
///
/// # Errors
/// As open(2): `ENOENT` without the kernel's module, `EACCES` without the
/// right to it.
pub fn open_fuse_device() -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    Ok(rustix::fs::open("/dev/fuse", flags, Mode::empty())?)
}

/// A mount that lies nowhere yet. It goes away when this is dropped.
#[derive(Debug)]
pub struct DetachedMount(OwnedFd);

/// Mounts the filesystem that is served through `device`, nowhere yet.
///
/// # Errors
/// As fsopen(2), fsconfig(2) and fsmount(2): `EPERM` without `CAP_SYS_ADMIN`.
pub fn mount_fuse(device: &OwnedFd, options: &FuseMountOptions<'_>) -> io::Result<DetachedMount> {
    let context = rustix::mount::fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let set = |key: &str, value: &OsStr| {
        rustix::mount::fsconfig_set_string(context.as_fd(), key, value.as_bytes())
    };
    let flag = |key: &str| rustix::mount::fsconfig_set_flag(context.as_fd(), key);
    set("source", options.source)?;
    set("subtype", options.subtype.as_ref())?;
    set("fd", device.as_raw_fd().to_string().as_ref())?;
    // The root is a directory.
    set("rootmode", "40000".as_ref())?;
    let (uid, gid) = super::process::user();
    set("user_id", uid.to_string().as_ref())?;
    set("group_id", gid.to_string().as_ref())?;
    flag("default_permissions")?;
    if options.allow_other {
        flag("allow_other")?;
    }
    flag("ro")?;
    rustix::mount::fsconfig_create(context.as_fd())?;

    let mut attributes = MountAttrFlags::MOUNT_ATTR_RDONLY;
    attributes.set(MountAttrFlags::MOUNT_ATTR_NOSUID, !options.suid);
    attributes.set(MountAttrFlags::MOUNT_ATTR_NODEV, !options.dev);
    attributes.set(MountAttrFlags::MOUNT_ATTR_NOEXEC, !options.exec);
    let mount = rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    Ok(DetachedMount(mount))
}

impl DetachedMount {
    /// What stat(2) says of its root; this asks the filesystem.
    ///
    /// # Errors
    /// As fstatat(2).
    pub fn stat_root(&self) -> io::Result<Stat> {
        Ok(rustix::fs::statat(&self.0, "", AtFlags::EMPTY_PATH)?.into())
    }

    /// Makes it visible at a place that was opened with [`open_place`].
    ///
    /// # Errors
    /// As move_mount(2).
    pub fn attach(self, place: BorrowedFd<'_>) -> io::Result<()> {
        Ok(rustix::mount::move_mount(
            self.0.as_fd(),
            "",
            place,
            "",
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH,
        )?)
    }
}

/// Opens a directory as a place, to mount on it or to look what is mounted
/// there. While this is open, what is mounted there cannot be unmounted.
///
/// # Errors
/// As open(2); `ENOTDIR` when it is no directory, `ENOTCONN` when a dead FUSE
/// filesystem is mounted there.
pub fn open_place(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// The number of the mount that a place lies in, as `/proc/self/mountinfo` has
/// it.
///
/// # Errors
/// As statx(2).
pub fn mount_id(place: impl AsFd) -> io::Result<u64> {
    // Not asked for anything that the filesystem itself would have to answer.
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let found = rustix::fs::statx(place, "", flags, StatxFlags::MNT_ID)?;
    Ok(found.stx_mnt_id)
}

/// Takes the mount of this number away from `path`, now, whoever is still using
/// it; `false` when something else is there, which is left alone.
///
/// # Errors
/// As umount(2).
pub fn detach(path: &Path, id: u64) -> io::Result<bool> {
    let place = open_place(path)?;
    if mount_id(&place)? != id {
        return Ok(false);
    }
    rustix::mount::unmount(proc_path(&place), UnmountFlags::DETACH)?;
    Ok(true)
}

/// Makes the mount of this number read-only again, if it is at `path` and
/// somebody made it writable; tells whether that was so.
///
/// # Errors
/// As mount(2): `EBUSY` while a file is open for writing.
pub fn keep_read_only(path: &Path, id: u64, options: &FuseMountOptions<'_>) -> io::Result<bool> {
    if !is_writable(id)? {
        return Ok(false);
    }
    let place = open_place(path)?;
    if mount_id(&place)? != id {
        return Ok(false);
    }
    let mut flags = MountFlags::RDONLY;
    flags.set(MountFlags::NOSUID, !options.suid);
    flags.set(MountFlags::NODEV, !options.dev);
    flags.set(MountFlags::NOEXEC, !options.exec);
    rustix::mount::mount_remount(proc_path(&place), flags, "")?;
    Ok(true)
}

/// Whether the superblock of a mount is writable, by `/proc/self/mountinfo`
/// (proc_pid_mountinfo(5)).
fn is_writable(id: u64) -> io::Result<bool> {
    let table = std::fs::read("/proc/self/mountinfo")?;
    let id = id.to_string();
    Ok(table.split(|byte| *byte == b'\n').any(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        fields.next() == Some(id.as_bytes())
            && fields
                .next_back()
                .is_some_and(|options| options.split(|byte| *byte == b',').any(|o| o == b"rw"))
    }))
}

/// Tells when the table of mounts changes.
#[derive(Debug)]
pub struct MountTable(File);

impl MountTable {
    /// Begins to watch.
    ///
    /// # Errors
    /// As open(2), without `/proc`.
    pub fn watch() -> io::Result<Self> {
        File::open("/proc/self/mountinfo").map(Self)
    }

    /// Waits for a change, for as long as `timeout` at the most.
    ///
    /// # Errors
    /// As poll(2).
    pub fn wait(&self, timeout: std::time::Duration) -> io::Result<()> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let timeout = Timespec::try_from(timeout).unwrap_or_default();
        let mut fds = [PollFd::new(&self.0, PollFlags::PRI)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Sets how far the kernel reads ahead of a sequential reader, in KiB, on the
/// filesystem of this device number.
///
/// # Errors
/// As write(2); only root may.
pub fn set_read_ahead(device: u64, kibibytes: u32) -> io::Result<()> {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    std::fs::write(
        format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb"),
        kibibytes.to_string(),
    )
}

/// The device number of the filesystem at a place.
///
/// # Errors
/// As stat(2).
pub fn device_of(path: &Path) -> io::Result<u64> {
    Ok(rustix::fs::statat(CWD, path, AtFlags::empty())?.st_dev)
}

fn proc_path(place: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", place.as_raw_fd())
}
