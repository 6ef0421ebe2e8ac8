//! What the kernel lets root do with the connection of a FUSE filesystem (fusectl;
//! Linux, Documentation/filesystems/fuse.rst).

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use super::mount_table::MountIdentity;

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
