//! What the kernel lets whoever has mounted a FUSE filesystem do with its connection
//! (fusectl; Linux, Documentation/filesystems/fuse.rst). The files belong to that user
//! (fs/fuse/control.c: `fuse_ctl_add_dentry`); but only root can mount fusectl, and only
//! outside of user namespaces.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use super::mount_table::MountIdentity;

/// Where it is mounted usually, and what statfs(2) tells of it there
/// (`FUSE_CTL_SUPER_MAGIC`, fs/fuse/control.c).
const PLACE: &str = "/sys/fs/fuse/connections";
const MAGIC: u64 = 0x6573_5543;

fn mount_control() -> rustix::io::Result<OwnedFd> {
    let context = rustix::mount::fsopen("fusectl", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(context.as_fd())?;
    rustix::mount::fsmount(
        context.as_fd(),
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )
}

fn find_control() -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(PLACE, flags, Mode::empty())?;
    if u64::try_from(rustix::fs::fstatfs(&directory)?.f_type) != Ok(MAGIC) {
        let missing = format!("fusectl is not mounted on {PLACE}");
        return Err(io::Error::new(io::ErrorKind::NotFound, missing));
    }
    Ok(directory)
}

/// What fusectl has of a FUSE filesystem; only root and who has mounted it can see that.
#[derive(Debug)]
pub struct FuseControl {
    directory: OwnedFd,
    connection: u32,
}

impl FuseControl {
    /// Opens it.
    ///
    /// # Errors
    /// As mount(2); who may not mount it needs it to be mounted in its usual place, as
    /// systemd does. As open(2), when the filesystem is gone or was mounted by another user.
    pub fn open(mount: MountIdentity) -> io::Result<Self> {
        // A mount of our own, for the usual one may not be there.
        let directory = match mount_control() {
            Err(Errno::PERM) => find_control()?,
            mounted => mounted?,
        };
        let control = Self {
            directory,
            connection: mount.minor(),
        };
        control.waiting()?;
        Ok(control)
    }

    fn file(&self, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let name = format!("{}/{name}", self.connection);
        let flags = flags | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.directory, name, flags, Mode::empty())?;
        Ok(file)
    }

    /// Ends the connection: whoever waits for an answer gets an error, and nobody is
    /// asked any more.
    ///
    /// # Errors
    /// As open(2), when the filesystem is gone.
    pub fn abort(&self) -> io::Result<()> {
        let abort = self.file("abort", OFlags::WRONLY)?;
        rustix::io::write(&abort, b"1")?;
        Ok(())
    }

    /// How many requests there are that were not answered yet, taken or not.
    ///
    /// # Errors
    /// As open(2), when the filesystem is gone.
    pub fn waiting(&self) -> io::Result<u64> {
        // It tells what was when it was opened.
        let mut file = File::from(self.file("waiting", OFlags::RDONLY)?);
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        text.trim_end().parse().map_err(io::Error::other)
    }
}
