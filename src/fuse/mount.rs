//! Mounting, out of everybody's sight until it is served.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::escape::Escaped;
use crate::sys::mount::{
    DetachedMount, FuseControl, FuseMountOptions, MountAttributes, MountIdentity,
};
use crate::sys::namespace::Outside;
use crate::sys::served::Server;
use crate::sys::{self, Errno};

use super::connection::Connection;
use super::mounted::{Mounted, Place};

/// The type of our mounts is `fuse.` and this.
const SUBTYPE: &str = "continuity";
/// As it stands in the table of mounts.
pub const FILE_SYSTEM: &str = "fuse.continuity";
/// How far the kernel reads ahead of a sequential reader.
const READ_AHEAD_KIB: u32 = 4096;

/// How to mount.
#[derive(Clone, Debug, Default)]
pub struct MountOptions {
    /// What stands in the first column of the table of mounts.
    pub source: OsString,
    /// Whether others than the user who mounts may look in.
    pub allow_other: bool,
    /// What is let happen.
    pub attributes: MountAttributes,
    /// The largest read that the kernel asks for, in bytes.
    pub max_read: Option<u32>,
    /// What a security module is told, by names such as `context`.
    pub labels: Vec<(&'static str, OsString)>,
}

impl MountOptions {
    pub(super) fn to_sys(&self) -> FuseMountOptions<'_> {
        FuseMountOptions {
            source: &self.source,
            subtype: SUBTYPE,
            allow_other: self.allow_other,
            attributes: self.attributes,
            max_read: self.max_read,
            labels: &self.labels,
        }
    }
}

/// Why nothing was mounted.
#[derive(Debug, Error)]
pub enum MountError {
    /// The place to mount on cannot be opened.
    #[error("mountpoint {:?}: {source}", Escaped(path.as_os_str().as_encoded_bytes()))]
    Mountpoint {
        /// The place.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The FUSE device cannot be opened.
    #[error("cannot open /dev/fuse: {0}; is the kernel's module fuse there, and may this user?")]
    Device(#[source] io::Error),
    /// The kernel, or fusermount3, refused.
    #[error("cannot mount: {0}")]
    Refused(#[source] io::Error),
    /// What was to be taken over is nothing that can be served.
    #[error(
        "the descriptor that was given leads to no FUSE filesystem that is mounted here, or the kernel does not tell (Linux 6.18 does)"
    )]
    Unknown,
    /// What was to be taken over was mounted in a way that breaks promises.
    #[error(
        "the filesystem to take over was mounted without {0}; mount it with ro,default_permissions"
    )]
    Lax(&'static str),
    /// It was mounted, but does not answer.
    #[error("the filesystem does not answer: {0}")]
    Silent(#[source] io::Error),
}

/// A filesystem that is mounted and not served yet, and that nobody sees, except
/// where fusermount3 had to mount it. It goes away when this is dropped.
#[derive(Debug)]
pub struct Unserved {
    connection: Connection,
    mount: Unattached,
    identity: MountIdentity,
    path: PathBuf,
    options: MountOptions,
}

#[derive(Debug)]
enum Unattached {
    /// By our own hand, nowhere yet, and where it will be.
    Ours(DetachedMount, OwnedFd),
    /// In its place already.
    Visible(By),
}

/// Who has mounted what is visible before it is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Fusermount,
    /// Whoever gave us the connection.
    Other,
}

impl Unserved {
    /// Mounts a filesystem.
    ///
    /// # Errors
    /// See [`MountError`]; nothing stays mounted.
    pub fn mount(mountpoint: &Path, options: MountOptions) -> Result<Self, MountError> {
        Self::mount_through(mountpoint, options, sys::mount::open_fuse_device)
    }

    /// The same, with the FUSE device opened by the caller.
    ///
    /// # Errors
    /// See [`MountError`]; nothing stays mounted.
    pub fn mount_through(
        mountpoint: &Path,
        options: MountOptions,
        open_device: impl FnOnce() -> io::Result<OwnedFd>,
    ) -> Result<Self, MountError> {
        let in_place = |source| MountError::Mountpoint {
            path: mountpoint.to_owned(),
            source,
        };
        let path = mountpoint.canonicalize().map_err(in_place)?;
        let spot = open_spot(&path).map_err(in_place)?;
        match mount_ourselves(&options, open_device) {
            Err(MountError::Refused(error) | MountError::Device(error))
                if needs_fusermount(&error) =>
            {
                drop(spot);
                mount_through_fusermount(path, options)
            }
            mounted => {
                let (connection, mount) = mounted?;
                let identity = mount.identity().map_err(MountError::Silent)?;
                Ok(Self {
                    connection,
                    mount: Unattached::Ours(mount, spot),
                    identity,
                    path,
                    options,
                })
            }
        }
    }

    /// Takes over a filesystem that somebody else has mounted, and that nobody has
    /// served yet, with its connection (mount.fuse3(8), `drop_privileges`).
    ///
    /// # Errors
    /// See [`MountError`]; it is left as it is.
    pub fn take_over(device: OwnedFd) -> Result<Self, MountError> {
        let found = sys::mount::served_through(&device).map_err(MountError::Silent)?;
        let found = found.ok_or(MountError::Unknown)?;
        if found.writable {
            return Err(MountError::Lax("ro"));
        }
        if !found.checked {
            return Err(MountError::Lax("default_permissions"));
        }
        Ok(Self {
            connection: Connection::from(device),
            mount: Unattached::Visible(By::Other),
            identity: found.identity,
            path: found.path,
            options: MountOptions::default(),
        })
    }

    /// What it has to be served through.
    #[must_use]
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The device number of the filesystem.
    #[must_use]
    pub fn device_number(&self) -> u64 {
        self.identity.device()
    }

    /// Moves it into its place, once it answers. It is in nobody's way before. What
    /// takes the right to mount is done by `mounter`, if there is one.
    ///
    /// # Errors
    /// See [`MountError`]; nothing stays mounted.
    pub fn attach(self, mounter: Option<&Outside>) -> Result<Mounted, MountError> {
        let by = match self.mount {
            Unattached::Ours(mount, spot) => {
                let attach = move || {
                    mount.ask().map_err(MountError::Silent)?;
                    mount.attach(spot.as_fd()).map_err(MountError::Refused)
                };
                Outside::run_in(mounter, attach).map_err(MountError::Silent)??;
                None
            }
            Unattached::Visible(by) => {
                if let Err(error) = self.path.metadata() {
                    if by == By::Fusermount {
                        let _ = sys::fusermount::unmount(&self.path);
                    }
                    return Err(MountError::Silent(error));
                }
                Some(by)
            }
        };
        // Only root may; without it large files are read in smaller steps.
        let _ = sys::mount::set_read_ahead(self.identity.device(), READ_AHEAD_KIB);
        let place = Place::new(&self.connection, self.identity, self.path, by, self.options);
        let place = place.map_err(MountError::Silent)?;
        Ok(Mounted::watched(place, self.connection, mounter))
    }
}

/// Opens the place to mount on. A mount of ours that nobody serves any more, of
/// a process that was killed, is taken away from there first.
fn open_spot(path: &Path) -> io::Result<OwnedFd> {
    loop {
        let spot = sys::mount::open_place(path)?;
        match sys::served::server(&spot, FILE_SYSTEM)? {
            Server::There => return Ok(spot),
            Server::Gone => {}
            Server::Missing(mount) => FuseControl::open(mount)?.abort()?,
        }
        if sys::process::user().0 == 0 {
            sys::mount::detach(&spot)?;
        } else {
            sys::fusermount::unmount(path)?;
        }
        log::warn!("event=stale_mount_replaced a mount that nobody served any more was taken away");
    }
}

fn mount_ourselves(
    options: &MountOptions,
    open_device: impl FnOnce() -> io::Result<OwnedFd>,
) -> Result<(Connection, DetachedMount), MountError> {
    let device = open_device().map_err(MountError::Device)?;
    let mount = sys::mount::mount_fuse(&device, &options.to_sys()).map_err(MountError::Refused)?;
    Ok((Connection::from(device), mount))
}

fn mount_through_fusermount(path: PathBuf, options: MountOptions) -> Result<Unserved, MountError> {
    let device = sys::fusermount::mount(&path, &options.to_sys()).map_err(MountError::Refused)?;
    let place = sys::mount::open_place(&path);
    match place.and_then(sys::mount::identity) {
        Ok(identity) => Ok(Unserved {
            connection: Connection::from(device),
            mount: Unattached::Visible(By::Fusermount),
            identity,
            path,
            options,
        }),
        Err(error) => {
            let _ = sys::fusermount::unmount(&path);
            Err(MountError::Silent(error))
        }
    }
}

/// root never runs a program to mount, so that nobody can give it another one.
fn needs_fusermount(error: &io::Error) -> bool {
    let denied = matches!(
        Errno::from_io_error(error),
        Some(Errno::PERM | Errno::ACCESS)
    );
    denied && sys::process::user().0 != 0
}
