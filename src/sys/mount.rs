//! Mounting a FUSE filesystem by our own hand, with the calls that go by
//! descriptor (fsopen(2), fsmount(2), move_mount(2)) and need no option string.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MoveMountFlags, UnmountFlags};

use super::absence::Absence;
pub use super::fuse_control::FuseControl;
pub use super::fuse_device::open as open_fuse_device;
pub use super::mount_attributes::{AccessTime, MountAttributes};
pub use super::mount_found::{Found, Seen, is_on_top, seen, served_through};
pub use super::mount_table::{MountIdentity, MountTable};
use super::mount_table::{Row, row, rows};

/// Longest value of a mount option, in bytes.
const SOURCE_MAX: usize = 255;

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
    /// What is let happen.
    pub attributes: MountAttributes,
    /// The largest read that the kernel asks for, in bytes.
    pub max_read: Option<u32>,
    /// What a security module is told, by names such as `context`.
    pub labels: &'a [(&'static str, OsString)],
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
    configure(&context, device, options).map_err(|error| explain(&context, error))?;
    let attributes = options.attributes.to_flags();
    let mount = rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    Ok(DetachedMount(mount))
}

fn configure(
    context: &OwnedFd,
    device: &OwnedFd,
    options: &FuseMountOptions<'_>,
) -> io::Result<()> {
    // No longer value is taken (fsconfig(2)).
    let source = options.source.as_bytes();
    let source = OsStr::from_bytes(source.get(..SOURCE_MAX).unwrap_or(source));
    let set = |key: &str, value: &OsStr| {
        rustix::mount::fsconfig_set_string(context.as_fd(), key, value.as_bytes())
    };
    let flag = |key: &str| rustix::mount::fsconfig_set_flag(context.as_fd(), key);
    set("source", source)?;
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
    if let Some(max_read) = options.max_read {
        set("max_read", max_read.to_string().as_ref())?;
    }
    for (name, label) in options.labels {
        set(name, label)?;
    }
    flag("ro")?;
    Ok(rustix::mount::fsconfig_create(context.as_fd())?)
}

/// Longest message of the kernel, in bytes.
const MESSAGE_MAX: usize = 1024;

/// An error of a mount with what the kernel has to say on it (fsopen(2): messages
/// are read from the context, and begin with a letter and a blank).
fn explain(context: &OwnedFd, error: io::Error) -> io::Error {
    // Whoever may not mount by himself can do it in another way.
    if error.kind() == io::ErrorKind::PermissionDenied {
        return error;
    }
    let mut message = [0; MESSAGE_MAX];
    let count = rustix::io::read(context, &mut message).unwrap_or(0);
    let text = String::from_utf8_lossy(message.get(..count).unwrap_or_default());
    match text.trim_end().split_once(' ') {
        Some(("e", said)) => io::Error::new(error.kind(), Explained(error, said.to_owned())),
        _ => error,
    }
}

/// An error, and what the kernel says on it.
#[derive(Debug, thiserror::Error)]
#[error("{0} ({1})")]
struct Explained(#[source] io::Error, String);

impl DetachedMount {
    /// Which mount it is; that stays so when it is attached.
    ///
    /// # Errors
    /// As statx(2).
    pub fn identity(&self) -> io::Result<MountIdentity> {
        identity(&self.0)
    }

    /// Asks the filesystem for its root, and waits for the answer.
    ///
    /// # Errors
    /// As fstatat(2).
    pub fn ask(&self) -> io::Result<()> {
        rustix::fs::statat(&self.0, "", AtFlags::EMPTY_PATH)?;
        Ok(())
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

/// The mount that a place lies in.
///
/// # Errors
/// As statx(2).
pub fn identity(place: impl AsFd) -> io::Result<MountIdentity> {
    // Not asked for anything that the filesystem itself would have to answer.
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let found = rustix::fs::statx(place, "", flags, StatxFlags::MNT_ID)?;
    Ok(MountIdentity {
        id: found.stx_mnt_id,
        device: (found.stx_dev_major, found.stx_dev_minor),
    })
}

/// Where a mount is now.
#[derive(Debug)]
pub enum Whereabouts {
    /// On top at this path, which may be another than at first.
    Here(OwnedFd, PathBuf),
    /// In the table, but something else was mounted over it.
    Covered,
    /// No longer mounted.
    Gone,
}

/// Looks where a mount is.
///
/// # Errors
/// Without `/proc`, or as open(2).
pub fn locate(mount: MountIdentity) -> io::Result<Whereabouts> {
    let Some(Row { path, .. }) = row(mount)? else {
        return Ok(Whereabouts::Gone);
    };
    match open_place(&path) {
        Ok(place) if identity(&place)? == mount => Ok(Whereabouts::Here(place, path)),
        Ok(_) => Ok(Whereabouts::Covered),
        Err(error) if Absence::of(&error).is_some() => Ok(Whereabouts::Covered),
        Err(error) => Err(error),
    }
}

/// Whether something else is mounted in a mount, or over it.
///
/// # Errors
/// Without `/proc`.
pub fn holds_others(mount: MountIdentity) -> io::Result<bool> {
    Ok(rows()?.iter().any(|row| row.parent == mount.id))
}

/// Takes the mount of this place away, now, whoever is still using it, and with
/// it whatever is mounted in it.
///
/// # Errors
/// As umount(2).
pub fn detach(place: &OwnedFd) -> io::Result<()> {
    Ok(rustix::mount::unmount(
        proc_path(place),
        UnmountFlags::DETACH,
    )?)
}

/// Unmounts what is on top at a path; whoever is using it can go on if it is `lazy`,
/// and else it is not done.
///
/// # Errors
/// As umount(2): `EBUSY` when somebody is using it.
pub fn unmount(path: &Path, lazy: bool) -> io::Result<()> {
    let mut flags = UnmountFlags::NOFOLLOW;
    flags.set(UnmountFlags::DETACH, lazy);
    Ok(rustix::mount::unmount(path, flags)?)
}

/// The type of a mount, as the table of mounts has it.
///
/// # Errors
/// Without `/proc`.
pub(super) fn type_of(mount: MountIdentity) -> io::Result<Option<OsString>> {
    Ok(row(mount)?.map(|row| row.file_system))
}

/// Whether the mount that a place lies in is of this type.
///
/// # Errors
/// As statx(2), or without `/proc`.
pub fn is_of_type(place: &OwnedFd, file_system: &str) -> io::Result<bool> {
    Ok(type_of(identity(place)?)?.as_deref() == Some(file_system.as_ref()))
}

/// Whether somebody made a mount writable, as the table of mounts has it.
///
/// # Errors
/// Without `/proc`.
pub fn is_writable(mount: MountIdentity) -> io::Result<bool> {
    Ok(row(mount)?.is_some_and(|row| row.has_option("rw")))
}

/// Makes the mount of this place read-only again.
///
/// # Errors
/// As mount(2): `EBUSY` while a file is open for writing.
pub fn make_read_only(place: &OwnedFd, options: &FuseMountOptions<'_>) -> io::Result<()> {
    let flags = options.attributes.to_old_flags();
    Ok(rustix::mount::mount_remount(proc_path(place), flags, "")?)
}

/// How many inodes a filesystem has, and how many bytes, as it says itself.
///
/// # Errors
/// As statvfs(3).
pub fn extent(place: &std::path::Path) -> io::Result<(u64, u64)> {
    let found = rustix::fs::statvfs(place)?;
    Ok((found.f_files, found.f_blocks.saturating_mul(found.f_frsize)))
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

fn proc_path(place: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", place.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Needs root and /dev/fuse, as all tests that mount do.
    #[test]
    fn what_the_kernel_says_is_told() {
        let device = open_fuse_device().unwrap();
        let options = FuseMountOptions {
            source: "source".as_ref(),
            subtype: "test",
            allow_other: false,
            attributes: MountAttributes::default(),
            max_read: Some(65_536),
            labels: &[],
        };
        mount_fuse(&device, &options).unwrap();
        let labels = [("no such label", OsString::from("x"))];
        let labelled = FuseMountOptions {
            labels: &labels,
            ..options
        };
        let device = open_fuse_device().unwrap();
        let told = mount_fuse(&device, &labelled).unwrap_err().to_string();
        assert!(told.contains("'no such label'"), "{told}");
    }

    #[test]
    fn what_is_on_top_is_found() {
        let place = open_place(Path::new("/")).unwrap();
        let root = identity(&place).unwrap();
        let Whereabouts::Here(_, path) = locate(root).unwrap() else {
            panic!("no root");
        };
        assert_eq!(path, Path::new("/"));
        let other = MountIdentity {
            device: (0, 0),
            ..root
        };
        assert!(matches!(locate(other).unwrap(), Whereabouts::Gone));
    }
}
