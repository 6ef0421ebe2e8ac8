//! Mounting, and taking away what was mounted and nothing else.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use thiserror::Error;

use crate::escape::Escaped;
use crate::sys::descriptor::{Readiness, wait_readable};
use crate::sys::mount::{
    DetachedMount, FuseMountOptions, MountAttributes, MountIdentity, Whereabouts,
};
use crate::sys::served::Server;
use crate::sys::{self, Errno};

use super::connection::Connection;

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
    fn to_sys(&self) -> FuseMountOptions<'_> {
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
enum By {
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

    /// Moves it into its place, once it answers. It is in nobody's way before.
    ///
    /// # Errors
    /// See [`MountError`]; nothing stays mounted.
    pub fn attach(self) -> Result<Mounted, MountError> {
        let by = match self.mount {
            Unattached::Ours(mount, spot) => {
                mount.ask().map_err(MountError::Silent)?;
                mount.attach(spot.as_fd()).map_err(MountError::Refused)?;
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
        let connection = self.connection.as_fd().try_clone_to_owned();
        // Only root may; without it large files are read in smaller steps.
        let _ = sys::mount::set_read_ahead(self.identity.device(), READ_AHEAD_KIB);
        let place = Place {
            path: self.path,
            mount: self.identity,
            connection: connection.map_err(MountError::Silent)?,
            by,
            options: self.options,
            unwanted: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        };
        Ok(Mounted::watched(place, self.connection))
    }
}

/// A filesystem that is mounted and served.
#[derive(Debug)]
pub struct Mounted {
    place: Arc<Place>,
    connection: Connection,
}

/// Where it is mounted, and what is needed to take it away.
#[derive(Debug)]
struct Place {
    /// Where it was mounted; it may have been moved since.
    path: PathBuf,
    mount: MountIdentity,
    /// Tells whether it is there still. If not, another one may have its numbers.
    connection: OwnedFd,
    /// Who has mounted it, if not we.
    by: Option<By>,
    options: MountOptions,
    /// Somebody wants it unmounted.
    unwanted: AtomicBool,
    ended: AtomicBool,
}

/// Takes a filesystem away, from any thread.
#[derive(Clone, Debug)]
pub struct Unmounter(Arc<Place>);

impl Mounted {
    fn watched(place: Place, connection: Connection) -> Self {
        let place = Arc::new(place);
        watch(Arc::clone(&place));
        Self { place, connection }
    }

    /// Looks after a filesystem again that another process has mounted by its own
    /// hand, served and left behind.
    ///
    /// # Errors
    /// `NotFound` when it is not mounted any more; as open(2).
    pub fn resume(
        connection: Connection,
        mount: MountIdentity,
        path: PathBuf,
        options: MountOptions,
    ) -> io::Result<Self> {
        let place = Place {
            path,
            mount,
            connection: connection.as_fd().try_clone_to_owned()?,
            by: None,
            options,
            unwanted: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        };
        match place.locate()? {
            Whereabouts::Gone => Err(io::ErrorKind::NotFound.into()),
            _ => Ok(Self::watched(place, connection)),
        }
    }

    /// Whether it was mounted by our own hand.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.place.by.is_none()
    }

    /// Something that can unmount it from any thread.
    #[must_use]
    pub fn unmounter(&self) -> Unmounter {
        Unmounter(Arc::clone(&self.place))
    }

    /// What it is served through.
    #[must_use]
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Where it was mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.place.path
    }

    /// Which mount it is.
    #[must_use]
    pub fn identity(&self) -> MountIdentity {
        self.place.mount
    }

    /// The device number of the filesystem.
    #[must_use]
    pub fn device_number(&self) -> u64 {
        self.place.mount.device()
    }

    /// Ends it at once: whoever waits for an answer gets an error, and who is
    /// using it gets errors from now on. Where only root may do that, and we are
    /// not, nothing happens.
    pub fn abort(&self) {
        if !self.place.is_there() {
            return;
        }
        if let Err(error) = sys::mount::abort(self.place.mount) {
            log::debug!("cannot end the connection to the kernel: {error}");
        }
    }

    /// Takes it away from its place, so that something else can be mounted there.
    ///
    /// # Errors
    /// As umount(2).
    pub fn detach(&self) -> io::Result<Unmounted> {
        self.place.unmount()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.place.ended.store(true, Ordering::Relaxed);
    }
}

/// How unmounting went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmounted {
    /// It is in its place no more.
    Gone,
    /// Something else is mounted over it, or in it. That is left alone, and ours
    /// goes as soon as it is uncovered.
    Covered,
}

impl Unmounter {
    /// Takes the mount away from its place, or from where somebody moved it.
    /// Those who are still using it can go on; nobody else gets in.
    ///
    /// # Errors
    /// As umount(2). That it is gone already is none.
    pub fn unmount(&self) -> io::Result<Unmounted> {
        self.0.unwanted.store(true, Ordering::Relaxed);
        self.0.unmount()
    }
}

impl Place {
    /// Whether the kernel has not let go of it.
    fn is_there(&self) -> bool {
        let now = wait_readable(&self.connection, Duration::ZERO);
        !matches!(now, Ok(Readiness::Gone))
    }

    /// Where it is. The kernel gives the numbers of a mount that is gone to the
    /// next one; but not while ours is there, and what was opened stays what it
    /// is. So it is ours if it was opened before ours was seen to be there.
    fn locate(&self) -> io::Result<Whereabouts> {
        let found = sys::mount::locate(self.mount)?;
        Ok(if self.is_there() {
            found
        } else {
            Whereabouts::Gone
        })
    }

    /// Makes it read-only again if somebody made it writable; tells whether that
    /// was so.
    fn keep_read_only(&self) -> io::Result<bool> {
        if !sys::mount::is_writable(self.mount)? {
            return Ok(false);
        }
        let Whereabouts::Here(place, _) = self.locate()? else {
            return Ok(false);
        };
        sys::mount::make_read_only(&place, &self.options.to_sys())?;
        Ok(true)
    }

    fn unmount(&self) -> io::Result<Unmounted> {
        match self.locate()? {
            Whereabouts::Here(..) if sys::mount::holds_others(self.mount)? => {
                Ok(Unmounted::Covered)
            }
            Whereabouts::Here(place, path) => {
                if self.by == Some(By::Fusermount) {
                    drop(place);
                    sys::fusermount::unmount(&path)?;
                } else {
                    sys::mount::detach(&place)?;
                }
                Ok(Unmounted::Gone)
            }
            Whereabouts::Covered => Ok(Unmounted::Covered),
            Whereabouts::Gone => Ok(Unmounted::Gone),
        }
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
            Server::Missing(mount) => sys::mount::abort(mount)?,
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

/// Looks after the mount, whenever the table of mounts changes.
///
/// Root can make any mount writable. We refuse every change all the same, but a
/// page that is mapped for writing is changed without asking us; so the mount
/// is made read-only again as soon as that is seen. And what should go, but was
/// covered, goes when it can.
fn watch(place: Arc<Place>) {
    const LOOK_AGAIN: Duration = Duration::from_secs(2);
    let watch = move || -> io::Result<()> {
        let table = sys::mount::MountTable::watch()?;
        while !place.ended.load(Ordering::Relaxed) {
            table.wait(LOOK_AGAIN)?;
            if place.unwanted.load(Ordering::Relaxed) {
                // Whoever asked has been told how it stands.
                let _ = place.unmount();
                continue;
            }
            if place.by.is_some() {
                continue;
            }
            match place.keep_read_only() {
                Ok(true) => log::warn!(
                    "event=remounted somebody made the mount writable; it is read-only again"
                ),
                Ok(false) => {}
                Err(error) => {
                    log::error!("event=writable cannot make the mount read-only again: {error}")
                }
            }
        }
        Ok(())
    };
    let watcher = std::thread::Builder::new().name("mounts".to_owned());
    let _ = watcher.spawn(move || {
        if let Err(error) = watch() {
            log::warn!("cannot watch the table of mounts: {error}");
        }
    });
}
