//! `continuity remount`: has a mount read its manifest anew.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::escape::{Escaped, OneLine};
use crate::fuse::FILE_SYSTEM;
use crate::supervisor::ask_to_reload;
use crate::sys::mount;

use super::mount::serve::STATUS_DIRECTORY;
use super::{Failure, Outcome};

/// Have a mount read its manifest anew, without unmounting it
///
/// The manifest is read from the path that the mount was given, and must be what was
/// demanded of the first one: keys, signatures and files of digests are read anew as
/// well. If it is refused, the mount goes on with what it has, and the reason is
/// printed. If not, new names, content and attributes are seen at once; files that are
/// the same stay what they are, with all that the kernel has of them. A file that is
/// open while its content is replaced can be read as far as the kernel has it.
///
/// Replace the manifest by renaming another file to it. Only root can ask, and only for
/// mounts of root; it takes Linux 6.9. `mount -o remount MOUNTPOINT` does the same.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where it is mounted
    mountpoint: PathBuf,
}

/// Why a mount does not show another manifest.
#[derive(Debug, Error)]
enum RemountError {
    #[error("{}", OneLine(.0))]
    Refused(String),
    #[error("no continuity mount is at {:?}", Escaped(.0.as_os_str().as_encoded_bytes()))]
    None(PathBuf),
    #[error(
        "this mount cannot be asked to read its manifest anew: only those of root can that were \
         given the path of a manifest and are looked after, with recovery=auto, from Linux 6.9 on"
    )]
    Nobody,
    #[error("only root can ask a mount to read its manifest anew")]
    Denied,
    #[error("the mount was taken away meanwhile, or serves no more")]
    Gone,
    #[error("the mount does not answer")]
    Silent(#[source] io::Error),
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let digest = remount(&arguments.mountpoint)?;
    log::info!("the manifest is {digest} now");
    Ok(Outcome::Success)
}

/// Waits until the mount at a place shows the manifest as it is now, and tells its digest.
pub(super) fn remount(mountpoint: &Path) -> Result<String, Failure> {
    let place = mount::open_place(mountpoint)?;
    if !mount::is_of_type(&place, FILE_SYSTEM)? {
        return Err(RemountError::None(mountpoint.to_owned()).into());
    }
    let device_number = mount::identity(&place)?.device();
    drop(place);
    let asked = ask_to_reload(STATUS_DIRECTORY.as_ref(), device_number);
    let answer = asked.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => RemountError::Nobody,
        io::ErrorKind::PermissionDenied => RemountError::Denied,
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => RemountError::Gone,
        _ => RemountError::Silent(error),
    })?;
    Ok(answer.map_err(RemountError::Refused)?)
}
