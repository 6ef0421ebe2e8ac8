//! Mounting a FUSE filesystem by our own hand, with the calls that go by
//! descriptor (fsopen(2), fsmount(2), move_mount(2)) and need no option string.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags};

use super::absence::Absence;
pub use super::mount_attributes::{AccessTime, MountAttributes};
pub use super::mount_found::{Found, is_on_top, served_through};

/// The device by which FUSE filesystems are served.
pub(super) const FUSE_DEVICE: &str = "/dev/fuse";
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

/// Opens the device by which a FUSE filesystem is served.
///
/// # Errors
/// As open(2): `ENOENT` without the kernel's module, `EACCES` without the
/// right to it.
pub fn open_fuse_device() -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    Ok(rustix::fs::open(FUSE_DEVICE, flags, Mode::empty())?)
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

/// Tells one mount from all others: by its number, which another one may have
/// had or may get, and by its filesystem, which is ours while we serve it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MountIdentity {
    pub(super) id: u64,
    pub(super) device: (u32, u32),
}

impl MountIdentity {
    /// The device number of its filesystem, as stat(2) tells it.
    #[must_use]
    pub fn device(self) -> u64 {
        rustix::fs::makedev(self.device.0, self.device.1)
    }

    /// The numbers that it is, for [`Self::from_numbers`].
    #[must_use]
    pub fn to_numbers(self) -> [u64; 3] {
        [self.id, self.device.0.into(), self.device.1.into()]
    }

    /// From what [`Self::to_numbers`] gave.
    #[must_use]
    pub fn from_numbers([id, major, minor]: [u64; 3]) -> Option<Self> {
        let device = (major.try_into().ok()?, minor.try_into().ok()?);
        Some(Self { id, device })
    }

    /// The number by which fusectl and `/proc` know its connection.
    pub(super) const fn minor(self) -> u32 {
        self.device.1
    }
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
    let Some(Entry { path, .. }) = entry(mount)? else {
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
    let table = std::fs::read("/proc/self/mountinfo")?;
    let id = mount.id.to_string();
    // The second field is the number of the mount that it lies in.
    let mut parents = table
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(1));
    Ok(parents.any(|parent| parent == id.as_bytes()))
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

/// Ends the connection of a FUSE filesystem: whoever waits for an answer gets an
/// error, and nobody is asked any more (fusectl, `abort`).
///
/// # Errors
/// As mount(2) and open(2); only root may.
pub fn abort(mount: MountIdentity) -> io::Result<()> {
    let abort = FuseControl::open(mount)?.file("abort", OFlags::WRONLY)?;
    rustix::io::write(&abort, b"1")?;
    Ok(())
}

/// What fusectl has of a FUSE filesystem; only root can see it.
#[derive(Debug)]
pub struct FuseControl {
    directory: OwnedFd,
    connection: u32,
}

impl FuseControl {
    /// Opens it.
    ///
    /// # Errors
    /// As mount(2).
    pub fn open(mount: MountIdentity) -> io::Result<Self> {
        // A mount of our own, for the usual one may not be there.
        let context = rustix::mount::fsopen("fusectl", FsOpenFlags::FSOPEN_CLOEXEC)?;
        rustix::mount::fsconfig_create(context.as_fd())?;
        let directory = rustix::mount::fsmount(
            context.as_fd(),
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::empty(),
        )?;
        Ok(Self {
            directory,
            connection: mount.minor(),
        })
    }

    fn file(&self, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let name = format!("{}/{name}", self.connection);
        let flags = flags | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.directory, name, flags, Mode::empty())?;
        Ok(file)
    }

    /// How many requests there are that were not answered yet, taken or not.
    ///
    /// # Errors
    /// As open(2), when the filesystem is gone.
    pub fn waiting(&self) -> io::Result<u64> {
        // It tells what was when it was opened.
        let mut file = File::from(self.file("waiting", OFlags::RDONLY)?);
        let mut text = String::new();
        io::Read::read_to_string(&mut file, &mut text)?;
        text.trim_end().parse().map_err(io::Error::other)
    }
}

/// The type of a mount, as the table of mounts has it.
///
/// # Errors
/// Without `/proc`.
pub(super) fn type_of(mount: MountIdentity) -> io::Result<Option<OsString>> {
    Ok(entry(mount)?.map(|entry| entry.file_system))
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
    Ok(entry(mount)?.is_some_and(|entry| entry.writable))
}

/// Makes the mount of this place read-only again.
///
/// # Errors
/// As mount(2): `EBUSY` while a file is open for writing.
pub fn make_read_only(place: &OwnedFd, options: &FuseMountOptions<'_>) -> io::Result<()> {
    let flags = options.attributes.to_old_flags();
    Ok(rustix::mount::mount_remount(proc_path(place), flags, "")?)
}

/// What `/proc/self/mountinfo` says of a mount (proc_pid_mountinfo(5)).
#[derive(Debug)]
struct Entry {
    path: PathBuf,
    file_system: OsString,
    /// Whether the superblock is.
    writable: bool,
}

fn entry(mount: MountIdentity) -> io::Result<Option<Entry>> {
    let table = std::fs::read("/proc/self/mountinfo")?;
    let id = mount.id.to_string();
    let device = format!("{}:{}", mount.device.0, mount.device.1);
    Ok(table.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let is_it =
            fields.next() == Some(id.as_bytes()) && fields.nth(1) == Some(device.as_bytes());
        let path = fields.nth(1).filter(|_| is_it)?;
        // Any number of fields, and then a mark.
        fields.find(|field| *field == b"-")?;
        let file_system = fields.next()?;
        let options = fields.nth(1)?;
        Some(Entry {
            path: OsString::from_vec(unescape(path)).into(),
            file_system: OsStr::from_bytes(file_system).to_owned(),
            writable: options.split(|byte| *byte == b',').any(|o| o == b"rw"),
        })
    }))
}

/// Blanks and backslashes come as `\ooo`.
pub(super) fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, behind)) = rest.split_first() {
        let octal = behind.get(..3).filter(|_| *byte == b'\\');
        let escaped = octal
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(escaped.unwrap_or(*byte));
        rest = match escaped {
            Some(_) => behind.get(3..).unwrap_or_default(),
            None => behind,
        };
    }
    plain
}

/// A mount, as the table of mounts shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Where.
    pub path: PathBuf,
    /// The first column: what was mounted.
    pub source: OsString,
    /// The device number of its filesystem.
    pub device_number: u64,
}

/// All mounts of a type, those that cover others behind them.
///
/// # Errors
/// Without `/proc`.
pub fn seen(file_system: &str) -> io::Result<Vec<Seen>> {
    let table = std::fs::read("/proc/self/mountinfo")?;
    let lines = table.split(|byte| *byte == b'\n');
    Ok(lines
        .filter_map(|line| seen_in(line, file_system.as_bytes()))
        .collect())
}

/// How many inodes a filesystem has, and how many bytes, as it says itself.
///
/// # Errors
/// As statvfs(3).
pub fn extent(place: &std::path::Path) -> io::Result<(u64, u64)> {
    let found = rustix::fs::statvfs(place)?;
    Ok((found.f_files, found.f_blocks.saturating_mul(found.f_frsize)))
}

fn seen_in(line: &[u8], file_system: &[u8]) -> Option<Seen> {
    let mut fields = line.split(|byte| *byte == b' ');
    let device = std::str::from_utf8(fields.nth(2)?).ok()?;
    let (major, minor) = device.split_once(':')?;
    let path = fields.nth(1)?;
    fields.find(|field| *field == b"-")?;
    if fields.next()? != file_system {
        return None;
    }
    Some(Seen {
        path: OsString::from_vec(unescape(path)).into(),
        source: OsString::from_vec(unescape(fields.next()?)),
        device_number: rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?),
    })
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
    fn blanks_in_the_table_of_mounts() {
        for (field, plain) in [
            (&b"/mnt"[..], &b"/mnt"[..]),
            (b"/a\\040b\\134040", b"/a b\\040"),
            (b"/\\", b"/\\"),
            (b"/\\9", b"/\\9"),
        ] {
            assert_eq!(unescape(field), plain);
        }
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
