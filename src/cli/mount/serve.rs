//! From a request to a mount that is served, and its end.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use thiserror::Error;

use crate::cli::manifest_file::ManifestFile;
use crate::cli::{Failure, logging};
use crate::digest::{Algorithm, Digest};
use crate::escape::Escaped;
use crate::fs::{CopyCache, Filesystem};
use crate::fuse::{MountOptions, Mounted, Unmounted, Unmounter};
use crate::inode::{InodeTable, RootOwner, Statistics};
use crate::manifest::Limits;
use crate::source::DirectorySource;
use crate::sys::{self, PrivateDirectory, PrivateDirectoryError, RootDir};
use crate::verify::Verifier;

use super::options::Options;

/// What to mount, and where.
#[derive(Debug)]
pub(in crate::cli) struct Request {
    pub mountpoint: PathBuf,
    pub manifest: ManifestFile,
    pub backing: PathBuf,
    pub options: Options,
}

/// Why there is nothing to mount.
#[derive(Debug, Error)]
enum SetUpError {
    #[error("cannot open the backing directory {:?}", Escaped(path.as_os_str().as_encoded_bytes()))]
    Backing {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("the backing directory lies in the mountpoint; mount somewhere else")]
    BackingBelowMountpoint,
    #[error("cannot keep copies in the directory {:?}", Escaped(path.as_os_str().as_encoded_bytes()))]
    Cache {
        path: PathBuf,
        #[source]
        cause: PrivateDirectoryError,
    },
    #[error("mount options cache_dir=DIR and cache_max=SIZE go together, and one is missing")]
    HalfACache,
}

/// Mounts, calls `ready`, and serves until the filesystem is gone.
pub(in crate::cli) fn run(
    request: &Request,
    ready: impl FnOnce() -> io::Result<()>,
) -> Result<(), Failure> {
    if let Some(log) = &request.options.log {
        logging::redirect(log)?;
    }
    let (filesystem, digest) = set_up(request)?;
    // From here on a signal waits until there is something to unmount; up to
    // here there was nothing to clean up. SIGHUP: the terminal was closed.
    let signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let statistics = filesystem.statistics().clone();
    let source = match &request.options.fsname {
        Some(name) => name.clone(),
        None => request.manifest.path.clone().into_os_string(),
    };
    let mounted = Mounted::mount(
        filesystem,
        &request.mountpoint,
        MountOptions {
            source,
            allow_other: request.options.allow_other,
            suid: request.options.suid,
            dev: request.options.dev,
            exec: request.options.exec,
        },
    )?;
    if request.manifest.pin.digest.is_none() {
        // Nobody vouches for it.
        log::warn!(
            "event=unpinned the manifest is taken as it is; to hold the next mount to it: --digest {digest}"
        );
    }
    announce(&statistics, &request.mountpoint);
    let told = unmount_on_signal(signals, mounted.unmounter()).and_then(|()| ready());
    if let Err(error) = told {
        // Whoever waited is not there any more.
        mounted.unmount()?;
        return Err(error.into());
    }
    mounted.wait()?;
    log::info!("unmounted");
    Ok(())
}

/// Does everything but mount.
pub(in crate::cli) fn check(request: &Request) -> Result<(), Failure> {
    set_up(request)?;
    sys::mount::open_place(&request.mountpoint)?;
    Ok(())
}

/// Everything that can be refused before anything is mounted: the filesystem,
/// and the digest of its manifest.
fn set_up(request: &Request) -> Result<(Filesystem, Digest), Failure> {
    let backing = open_backing(&request.backing, &request.mountpoint)?;
    let cache = open_cache(&request.options)?;
    let bytes = request.manifest.load()?;
    let (uid, gid) = sys::process::user();
    let table = InodeTable::build(&bytes, &Limits::default(), RootOwner { uid, gid })
        .map_err(|error| request.manifest.refused(error))?;
    let digest = match request.manifest.pin.digest {
        Some(digest) => digest,
        None => Algorithm::Sha256.hash(&bytes),
    };
    drop(bytes);
    let source = Box::new(DirectorySource::new(backing));
    let verifier = Verifier::new(source, request.options.verifier)?;
    let presentation = request.options.presentation.clone();
    let filesystem = Filesystem::new(table, verifier, presentation, Some(digest));
    let filesystem = match cache {
        Some(cache) => filesystem.with_cache(cache),
        None => filesystem,
    };
    Ok((filesystem, digest))
}

fn open_cache(options: &Options) -> Result<Option<CopyCache>, SetUpError> {
    match (&options.cache_dir, options.cache_max) {
        (None, None) => Ok(None),
        (Some(path), Some(max_bytes)) => match PrivateDirectory::open(path) {
            Ok(directory) => Ok(Some(CopyCache::new(directory, max_bytes))),
            Err(cause) => Err(SetUpError::Cache {
                path: path.clone(),
                cause,
            }),
        },
        _ => Err(SetUpError::HalfACache),
    }
}

fn open_backing(backing: &Path, mountpoint: &Path) -> Result<RootDir, SetUpError> {
    let refuse = |cause| SetUpError::Backing {
        path: backing.to_owned(),
        cause,
    };
    let root = RootDir::open(backing).map_err(refuse)?;
    // What cannot be resolved is refused by name later on.
    if let (Ok(backing), Ok(mountpoint)) = (backing.canonicalize(), mountpoint.canonicalize())
        && backing.starts_with(mountpoint)
    {
        return Err(SetUpError::BackingBelowMountpoint);
    }
    Ok(root)
}

fn announce(statistics: &Statistics, mountpoint: &Path) {
    if statistics.implied_directories > 0 {
        log::warn!(
            "event=implied {} directories are not listed in the manifest; they are shown as root's, 0755",
            statistics.implied_directories
        );
    }
    if statistics.unverifiable > 0 {
        log::warn!(
            "event=unverifiable {} files have no digest that can be checked; reading them fails",
            statistics.unverifiable
        );
    }
    log::info!(
        "mounted {:?}: {} inodes, {} files, {} bytes, {} KiB of memory for the table",
        Escaped(mountpoint.as_os_str().as_encoded_bytes()),
        statistics.inodes,
        statistics.files,
        statistics.bytes,
        statistics.memory / 1024
    );
}

/// The first signal unmounts, the second one ends the process.
fn unmount_on_signal(mut signals: Signals, unmounter: Unmounter) -> io::Result<()> {
    let thread = std::thread::Builder::new().name("signals".to_owned());
    thread.spawn(move || {
        let asked = AtomicBool::new(false);
        for signal in signals.forever() {
            if asked.swap(true, Ordering::Relaxed) {
                log::warn!("event=killed signal {signal} came again; ending at once");
                logging::finish();
                std::process::exit(1);
            }
            match unmounter.unmount() {
                Ok(Unmounted::Gone) => log::info!(
                    "signal {signal}: unmounting; this ends when nobody uses the files any more"
                ),
                Ok(Unmounted::Covered) => log::warn!(
                    "event=covered signal {signal}: something else is mounted over the mount or in it; \
                     this ends when that is unmounted, or at the next signal"
                ),
                Err(error) => log::error!("signal {signal}: cannot unmount: {error}"),
            }
        }
    })?;
    Ok(())
}
