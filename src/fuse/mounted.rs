//! A filesystem that is mounted: where it is, and taking away it and nothing else.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::sys;
use crate::sys::descriptor::{Readiness, wait_readable};
use crate::sys::mount::{FuseControl, MountIdentity, Whereabouts};
use crate::sys::namespace::Outside;

use super::connection::Connection;
use super::mount::{By, MountOptions};

/// A filesystem that is mounted and served.
#[derive(Debug)]
pub struct Mounted {
    place: Arc<Place>,
    connection: Connection,
    /// What the kernel lets whoever has mounted it do with the connection.
    control: Option<Arc<FuseControl>>,
}

/// Where it is mounted, and what is needed to take it away.
#[derive(Debug)]
pub(super) struct Place {
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
    pub(super) fn watched(place: Place, connection: Connection, mounter: Option<&Outside>) -> Self {
        let mount = place.mount;
        let control = Outside::run_in(mounter, move || FuseControl::open(mount));
        let control = control.flatten().map(Arc::new);
        let control = control
            .inspect_err(|error| log::debug!("the connection cannot be controlled: {error}"))
            .ok();
        let place = Arc::new(place);
        watch(Arc::clone(&place));
        Self {
            place,
            connection,
            control,
        }
    }

    /// Looks after a filesystem again that another process has mounted by its own
    /// hand, served and left behind.
    ///
    /// # Errors
    /// `NotFound` when nobody uses it any more; as fcntl(2).
    pub fn resume(
        connection: Connection,
        mount: MountIdentity,
        path: PathBuf,
        options: MountOptions,
        mounter: Option<&Outside>,
    ) -> io::Result<Self> {
        let place = Place::new(&connection, mount, path, None, options)?;
        // Taken away from its place, it is there for those who still use it.
        if !place.is_there() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Self::watched(place, connection, mounter))
    }

    /// Whether it is in a place, and nobody wants it to be taken away.
    ///
    /// # Errors
    /// Without `/proc`, or as open(2).
    pub fn is_wanted(&self) -> io::Result<bool> {
        let is_placed = !matches!(self.place.locate()?, Whereabouts::Gone);
        Ok(is_placed && !self.place.unwanted.load(Ordering::Relaxed))
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
        let Some(control) = &self.control else { return };
        if !self.place.is_there() {
            return;
        }
        if let Err(error) = control.abort() {
            log::debug!("cannot end the connection to the kernel: {error}");
        }
    }

    /// What tells how many wait for an answer, where we may know.
    #[must_use]
    pub fn control(&self) -> Option<Arc<FuseControl>> {
        self.control.clone()
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
    pub(super) fn new(
        connection: &Connection,
        mount: MountIdentity,
        path: PathBuf,
        by: Option<By>,
        options: MountOptions,
    ) -> io::Result<Self> {
        Ok(Self {
            path,
            mount,
            connection: connection.as_fd().try_clone_to_owned()?,
            by,
            options,
            unwanted: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        })
    }

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
