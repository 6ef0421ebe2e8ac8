//! Mounting, and taking away what was mounted and nothing else.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use thiserror::Error;

use crate::escape::Escaped;
use crate::fs::Filesystem;
use crate::sys::mount::{FuseMountOptions, MountIdentity, Whereabouts};
use crate::sys::{self, Errno};

use super::session::Session;

/// The type of our mounts is `fuse.` and this.
const SUBTYPE: &str = "continuity";
const FILE_SYSTEM: &str = "fuse.continuity";
/// How far the kernel reads ahead of a sequential reader.
const READ_AHEAD_KIB: u32 = 4096;

/// How to mount.
#[derive(Clone, Debug)]
pub struct MountOptions {
    /// What stands in the first column of the table of mounts.
    pub source: OsString,
    /// Whether others than the user who mounts may look in.
    pub allow_other: bool,
    /// Whether setuid bits and file capabilities count.
    pub suid: bool,
    /// Whether devices can be opened.
    pub dev: bool,
    /// Whether programs can be run.
    pub exec: bool,
}

impl MountOptions {
    fn to_sys(&self) -> FuseMountOptions<'_> {
        FuseMountOptions {
            source: &self.source,
            subtype: SUBTYPE,
            allow_other: self.allow_other,
            suid: self.suid,
            dev: self.dev,
            exec: self.exec,
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
    /// It was mounted, but does not answer.
    #[error("the filesystem does not answer: {0}")]
    Silent(#[source] io::Error),
}

/// A filesystem that is mounted and served.
#[derive(Debug)]
pub struct Mounted {
    place: Arc<Place>,
    server: JoinHandle<io::Result<()>>,
}

/// Where it is mounted, and what is needed to take it away.
#[derive(Debug)]
struct Place {
    mount: MountIdentity,
    through_fusermount: bool,
    options: MountOptions,
    /// Somebody wants it unmounted.
    unwanted: AtomicBool,
    ended: AtomicBool,
}

/// Takes a filesystem away, from any thread.
#[derive(Clone, Debug)]
pub struct Unmounter(Arc<Place>);

impl Mounted {
    /// Mounts a filesystem and serves it on threads of its own. When this
    /// returns, the filesystem answers.
    ///
    /// Nobody sees the mount before it has answered, except where fusermount3
    /// has to make it.
    ///
    /// # Errors
    /// See [`MountError`]; nothing stays mounted.
    pub fn mount(
        filesystem: Filesystem,
        mountpoint: &Path,
        options: MountOptions,
    ) -> Result<Self, MountError> {
        let in_place = |source| MountError::Mountpoint {
            path: mountpoint.to_owned(),
            source,
        };
        let path = mountpoint.canonicalize().map_err(in_place)?;
        let spot = open_spot(&path).map_err(in_place)?;
        let filesystem = Arc::new(filesystem);

        let attached = match mount_ourselves(&filesystem, &spot, &options) {
            Err(MountError::Refused(error) | MountError::Device(error))
                if needs_fusermount(&error) =>
            {
                mount_through_fusermount(&filesystem, &path, &options)?
            }
            attached => attached?,
        };
        drop(spot);
        let Attached {
            server,
            mount,
            through_fusermount,
        } = attached;
        let place = Arc::new(Place {
            mount,
            through_fusermount,
            options,
            unwanted: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        watch(Arc::clone(&place));
        Ok(Self { place, server })
    }

    /// Something that can unmount it from any thread.
    #[must_use]
    pub fn unmounter(&self) -> Unmounter {
        Unmounter(Arc::clone(&self.place))
    }

    /// Waits until the filesystem is gone: unmounted, by us or by anybody, and
    /// out of use.
    ///
    /// # Errors
    /// When serving it failed.
    pub fn wait(self) -> io::Result<()> {
        let served = self.server.join();
        self.place.ended.store(true, Ordering::Relaxed);
        served.unwrap_or_else(|_| Err(io::Error::other("the server panicked")))
    }

    /// Unmounts it and waits until it is out of use.
    ///
    /// # Errors
    /// When it cannot be unmounted, or serving it failed.
    pub fn unmount(self) -> io::Result<()> {
        self.unmounter().unmount()?;
        self.wait()
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
    fn unmount(&self) -> io::Result<Unmounted> {
        match sys::mount::locate(self.mount)? {
            Whereabouts::Here(..) if sys::mount::holds_others(self.mount)? => {
                Ok(Unmounted::Covered)
            }
            Whereabouts::Here(place, path) => {
                if self.through_fusermount {
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

type Server = JoinHandle<io::Result<()>>;

/// A mount in its place.
struct Attached {
    server: Server,
    mount: MountIdentity,
    through_fusermount: bool,
}

/// Opens the place to mount on. A mount of ours that nobody serves any more, of
/// a process that was killed, is taken away from there first.
fn open_spot(path: &Path) -> io::Result<OwnedFd> {
    loop {
        let spot = sys::mount::open_place(path)?;
        if !sys::mount::is_dead(&spot, FILE_SYSTEM).unwrap_or(false) {
            return Ok(spot);
        }
        if sys::process::user().0 == 0 {
            sys::mount::detach(&spot)?;
        } else {
            sys::fusermount::unmount(path)?;
        }
        log::warn!("event=stale_mount_replaced a mount that nobody served any more was taken away");
    }
}

/// Mounts out of sight, lets the filesystem answer once, and moves it into
/// place.
fn mount_ourselves(
    filesystem: &Arc<Filesystem>,
    spot: &OwnedFd,
    options: &MountOptions,
) -> Result<Attached, MountError> {
    use std::os::fd::AsFd;
    let device = sys::mount::open_fuse_device().map_err(MountError::Device)?;
    let mount = sys::mount::mount_fuse(&device, &options.to_sys()).map_err(MountError::Refused)?;
    let server = serve(device, filesystem)?;
    let root = mount.stat_root().map_err(MountError::Silent)?;
    // While nobody else can have put anything in its place.
    let identity = mount.identity().map_err(MountError::Silent)?;
    know_device(filesystem, root.device);
    mount.attach(spot.as_fd()).map_err(MountError::Refused)?;
    Ok(Attached {
        server,
        mount: identity,
        through_fusermount: false,
    })
}

fn know_device(filesystem: &Filesystem, device: u64) {
    filesystem.mounted(device);
    // Only root may; without it large files are read in smaller steps.
    let _ = sys::mount::set_read_ahead(device, READ_AHEAD_KIB);
}

fn mount_through_fusermount(
    filesystem: &Arc<Filesystem>,
    path: &Path,
    options: &MountOptions,
) -> Result<Attached, MountError> {
    let device = sys::fusermount::mount(path, &options.to_sys()).map_err(MountError::Refused)?;
    let answered = serve(device, filesystem).and_then(|server| {
        know_device(
            filesystem,
            sys::mount::device_of(path).map_err(MountError::Silent)?,
        );
        let mount = sys::mount::open_place(path)
            .and_then(sys::mount::identity)
            .map_err(MountError::Silent)?;
        Ok(Attached {
            server,
            mount,
            through_fusermount: true,
        })
    });
    if answered.is_err() {
        let _ = sys::fusermount::unmount(path);
    }
    answered
}

/// root never runs a program to mount, so that nobody can give it another one.
fn needs_fusermount(error: &io::Error) -> bool {
    let denied = matches!(
        Errno::from_io_error(error),
        Some(Errno::PERM | Errno::ACCESS)
    );
    denied && sys::process::user().0 != 0
}

fn serve(device: OwnedFd, filesystem: &Arc<Filesystem>) -> Result<Server, MountError> {
    let session = Session::start(device, Arc::clone(filesystem)).map_err(MountError::Silent)?;
    std::thread::Builder::new()
        .name("session".to_owned())
        .spawn(|| session.serve())
        .map_err(MountError::Silent)
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
            if place.through_fusermount {
                continue;
            }
            match sys::mount::keep_read_only(place.mount, &place.options.to_sys()) {
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
