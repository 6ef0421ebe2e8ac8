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
use crate::sys::mount::FuseMountOptions;
use crate::sys::{self, Errno};

use super::session::Session;

/// The type of our mounts is `fuse.` and this.
const SUBTYPE: &str = "continuity";
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
    path: PathBuf,
    mount_id: u64,
    through_fusermount: bool,
    options: MountOptions,
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
        let spot = sys::mount::open_place(&path).map_err(in_place)?;
        let filesystem = Arc::new(filesystem);

        let (server, through_fusermount) = match mount_ourselves(&filesystem, &spot, &options) {
            Err(MountError::Refused(error) | MountError::Device(error))
                if needs_fusermount(&error) =>
            {
                (
                    mount_through_fusermount(&filesystem, &path, &options)?,
                    true,
                )
            }
            server => (server?, false),
        };
        drop(spot);

        let mount_id = sys::mount::open_place(&path)
            .and_then(sys::mount::mount_id)
            .map_err(in_place)?;
        // Only root may; without it large files are read in smaller steps.
        if let Ok(device) = sys::mount::device_of(&path) {
            let _ = sys::mount::set_read_ahead(device, READ_AHEAD_KIB);
        }
        let place = Arc::new(Place {
            path,
            mount_id,
            through_fusermount,
            options,
            ended: AtomicBool::new(false),
        });
        keep_read_only(Arc::clone(&place));
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

impl Unmounter {
    /// Takes the mount away from its place. Those who are still using it can go
    /// on; nobody else gets in.
    ///
    /// # Errors
    /// As umount(2). That it is gone already is none.
    pub fn unmount(&self) -> io::Result<()> {
        let place = &*self.0;
        if place.through_fusermount {
            return sys::fusermount::unmount(&place.path);
        }
        sys::mount::detach(&place.path, place.mount_id).map(drop)
    }
}

type Server = JoinHandle<io::Result<()>>;

/// Mounts out of sight, lets the filesystem answer once, and moves it into
/// place.
fn mount_ourselves(
    filesystem: &Arc<Filesystem>,
    spot: &OwnedFd,
    options: &MountOptions,
) -> Result<Server, MountError> {
    use std::os::fd::AsFd;
    let device = sys::mount::open_fuse_device().map_err(MountError::Device)?;
    let mount = sys::mount::mount_fuse(&device, &options.to_sys()).map_err(MountError::Refused)?;
    let server = serve(device, filesystem)?;
    mount.stat_root().map_err(MountError::Silent)?;
    mount.attach(spot.as_fd()).map_err(MountError::Refused)?;
    Ok(server)
}

fn mount_through_fusermount(
    filesystem: &Arc<Filesystem>,
    path: &Path,
    options: &MountOptions,
) -> Result<Server, MountError> {
    let device = sys::fusermount::mount(path, &options.to_sys()).map_err(MountError::Refused)?;
    let answered = serve(device, filesystem).and_then(|server| {
        sys::mount::device_of(path).map_err(MountError::Silent)?;
        Ok(server)
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

/// Root can make any mount writable. We refuse every change all the same, but a
/// page that is mapped for writing is changed without asking us; so the mount
/// is made read-only again as soon as that is seen.
fn keep_read_only(place: Arc<Place>) {
    const LOOK_AGAIN: Duration = Duration::from_secs(2);
    if place.through_fusermount {
        return;
    }
    let watch = move || -> io::Result<()> {
        let table = sys::mount::MountTable::watch()?;
        while !place.ended.load(Ordering::Relaxed) {
            table.wait(LOOK_AGAIN)?;
            let options = place.options.to_sys();
            match sys::mount::keep_read_only(&place.path, place.mount_id, &options) {
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
