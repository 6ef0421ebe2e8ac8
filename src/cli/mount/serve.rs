//! From a request to a mount that is looked after, and its end.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR2};
use signal_hook::iterator::Signals;
use thiserror::Error;

use crate::cli::Failure;
use crate::cli::logging::{self, Verbosity};
use crate::cli::manifest_file::{self, ManifestFile};
use crate::escape::Escaped;
use crate::fuse::{MountOptions, Unmounted};
use crate::supervisor::{
    Control, Keeper, Kept, Origin, Plan, Program, Supervisor, SupervisorError,
};
use crate::sys::namespace::Outside;
use crate::sys::{self, RootDir};

use super::background::Waiting;
use super::confine::{Confined, announce, confine};
use super::kept;
use super::options::Options;
use super::service::Service;
use super::worker::Role;

/// What to mount, and where.
#[derive(Debug)]
pub(in crate::cli) struct Request {
    pub mountpoint: PathBuf,
    pub manifest: ManifestFile,
    pub backing: PathBuf,
    pub options: Options,
    /// Where this program was started, if it has gone to another namespace.
    pub outside: Option<Outside>,
}

/// How a mount ended, or why it was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum End {
    /// It is gone, as it should.
    Gone,
    /// The worker did not want to, and has said why. It ended with this status.
    Refused(Option<i32>),
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
    #[error("cannot take over the connection {:?}", Escaped(path.as_os_str().as_encoded_bytes()))]
    Given {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("mountpoint {:?}", Escaped(path.as_os_str().as_encoded_bytes()))]
    Mountpoint {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("cannot get memory to write down what the kernel has of private copies")]
    Memory(#[source] io::Error),
    #[error("the backing directory lies in the mountpoint; mount somewhere else")]
    BackingBelowMountpoint,
}

/// Where root asks mounts for their status.
pub(in crate::cli) const STATUS_DIRECTORY: &str = "/run/continuity";
/// Where descriptors are named.
const DESCRIPTORS: &str = "/dev/fd";
/// What of the environment a worker gets.
const ENVIRONMENT: [&str; 2] = ["RUST_LOG", "RUST_BACKTRACE"];
/// How long the end may take when it was asked for twice.
const PATIENCE: Duration = Duration::from_secs(1);

/// Mounts, tells whoever waits for that, and looks after the mount until it is
/// gone. `words` are those of the command line.
pub(in crate::cli) fn run(
    request: &Request,
    words: &[OsString],
    role: Role,
    verbosity: Verbosity,
    service: impl FnOnce() -> Service,
) -> Result<End, Failure> {
    let confined = confine(request)?;
    verbosity.init();
    let (service, report) = (service(), confined.report.clone());
    let waiting = waiting(role)?;
    let supervisor = set_up(request, words, role, &service, confined)?;
    let control = supervisor.control();
    if let Some(waiting) = &waiting {
        waiting.ends(control.clone());
    }
    // From here on a signal waits until there is something to unmount; up to
    // here there is nothing to clean up. SIGHUP: the terminal was closed.
    let begins = || Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR2]);
    let is_mounted = |signals, path: &Path| {
        announce(&report);
        log::info!("mounted {:?}", Escaped(path.as_os_str().as_encoded_bytes()));
        heed(signals, control, service.clone())?;
        service.ready();
        waiting.map_or(Ok(()), |waiting| waiting.tell(role))
    };
    let ended = supervisor.run(begins, is_mounted);
    match ended {
        Ok(()) => {
            service.stops("unmounted");
            log::info!("unmounted");
            Ok(End::Gone)
        }
        Err(SupervisorError::Refused(status)) => Ok(End::Refused(status.code())),
        Err(SupervisorError::Killed) => exit(),
        Err(error) => Err(error.into()),
    }
}

/// Does everything but mount.
pub(in crate::cli) fn check(
    request: &Request,
    words: &[OsString],
    role: Role,
    verbosity: Verbosity,
) -> Result<End, Failure> {
    let confined = confine(request)?;
    verbosity.init();
    let waiting = waiting(role)?;
    let mut supervisor = set_up(request, words, role, &Service::default(), confined)?;
    if let Some(waiting) = &waiting {
        waiting.ends(supervisor.control());
    }
    match supervisor.check() {
        Err(SupervisorError::Refused(status)) => return Ok(End::Refused(status.code())),
        checked => checked?,
    }
    if !request.mountpoint.starts_with(DESCRIPTORS) {
        sys::mount::open_place(&request.mountpoint).map_err(|cause| SetUpError::Mountpoint {
            path: request.mountpoint.clone(),
            cause,
        })?;
    }
    Ok(End::Gone)
}

/// All that comes before a worker.
fn set_up(
    request: &Request,
    words: &[OsString],
    role: Role,
    service: &Service,
    confined: Confined,
) -> Result<Supervisor<impl FnMut(Program) -> Command + use<>>, Failure> {
    logging::set_form(request.options.log_form);
    if let Some(log) = &request.options.log {
        logging::redirect(logging::open(log)?);
    }
    for (level, line) in request.options.remarks() {
        log::log!(level, "{line}");
    }
    let start = start(words, role, request.outside.is_none())?;
    let mounter = confined.mounter.thread();
    let kept::Found { kept, keeping } = kept::find(service, words, role, mounter);
    let plan = Plan {
        keeping,
        ..plan(request, kept, confined)?
    };
    Ok(Supervisor::new(plan, start))
}

/// Whoever waits until it is mounted.
fn waiting(role: Role) -> io::Result<Option<Waiting>> {
    if role == Role::Foreground {
        return Ok(None);
    }
    Waiting::watch().map(Some)
}

fn plan(request: &Request, kept: Option<Kept>, confined: Confined) -> Result<Plan, Failure> {
    let options = &request.options;
    // While nobody here has opened such a device.
    let given = given(&request.mountpoint)?;
    let backing = open_backing(&request.backing)?;
    if kept.is_none() {
        // What nobody serves would not answer.
        keep_apart(&request.backing, &request.mountpoint)?;
    }
    let manifest = request.manifest.open()?;
    let manifest = sys::descriptor::keep(manifest, manifest_file::SIZE_MAX)
        .map_err(|cause| request.manifest.not_read(cause))?;
    Ok(Plan {
        manifest,
        backing: backing.as_fd().try_clone_to_owned()?,
        mountpoint: request.mountpoint.clone(),
        given,
        outside: request.outside.clone(),
        confined: serde_json::to_string(&confined.report)?,
        mounter: confined.mounter,
        options: MountOptions {
            source: options.source(&request.manifest),
            allow_other: options.allow_other,
            attributes: options.attributes,
            max_read: options.max_read,
            labels: options.labels.clone(),
        },
        status: (sys::process::user().0 == 0).then(|| STATUS_DIRECTORY.into()),
        origin: origin(&request.manifest),
        hand_over: options.hand_over,
        copies: copies(options).map_err(SetUpError::Memory)?,
        kept,
        keeping: None,
    })
}

/// Where it is written down what the kernel has of private copies.
fn copies(options: &Options) -> io::Result<Option<File>> {
    let cache = options.cache_dir.as_ref();
    cache.map(|_| sys::descriptor::memory("copies")).transpose()
}

/// Takes the connection that is named as the mountpoint, if one is: whoever runs
/// mount.fuse3(8) with `drop_privileges` gets `/dev/fd/N`.
fn given(mountpoint: &Path) -> Result<Option<OwnedFd>, SetUpError> {
    let Ok(number) = mountpoint.strip_prefix(DESCRIPTORS) else {
        return Ok(None);
    };
    let number = number.to_str().and_then(|text| text.parse().ok());
    let number = number.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput));
    let descriptor = number.and_then(sys::descriptor::inherited_fuse_device);
    descriptor.map(Some).map_err(|cause| SetUpError::Given {
        path: mountpoint.to_owned(),
        cause,
    })
}

/// Standard input comes once.
fn origin(manifest: &ManifestFile) -> Option<Origin> {
    let directory = std::env::current_dir().ok()?;
    (manifest.path.as_os_str() != "-").then(|| Origin {
        manifest: directory.join(&manifest.path),
    })
}

fn open_backing(backing: &Path) -> Result<RootDir, SetUpError> {
    RootDir::open(backing).map_err(|cause| SetUpError::Backing {
        path: backing.to_owned(),
        cause,
    })
}

/// What cannot be resolved is refused by name later on.
fn keep_apart(backing: &Path, mountpoint: &Path) -> Result<(), SetUpError> {
    match (backing.canonicalize(), mountpoint.canonicalize()) {
        (Ok(backing), Ok(mountpoint)) if backing.starts_with(&mountpoint) => {
            Err(SetUpError::BackingBelowMountpoint)
        }
        _ => Ok(()),
    }
}

/// How a worker is started: as this program, with the same words.
fn start(
    words: &[OsString],
    role: Role,
    here: bool,
) -> io::Result<impl FnMut(Program) -> Command + use<>> {
    let installed = std::env::current_exe()?;
    // Words can be paths from here, and this process may leave.
    let directory = std::env::current_dir().ok().filter(|_| here);
    let words = words.to_vec();
    Ok(move |program| {
        let mut command = Command::new(match program {
            Program::Same => Path::new("/proc/self/exe"),
            Program::Installed => &installed,
        });
        let mut words = words.iter();
        if let Some(name) = words.next() {
            command.arg0(name);
        }
        command.arg(role.word()).args(words).env_clear();
        if let Some(directory) = directory.as_deref().filter(|path| path.is_dir()) {
            command.current_dir(directory);
        }
        for name in ENVIRONMENT {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command
    })
}

/// Heeds signals: the first one unmounts, the second one ends everything.
/// SIGUSR2 lets a worker of the program that is installed by now take over.
fn heed(mut signals: Signals, control: Control, service: Service) -> io::Result<()> {
    let thread = std::thread::Builder::new().name("signals".to_owned());
    let mut asked = false;
    thread.spawn(move || {
        for signal in signals.forever() {
            if signal == SIGUSR2 {
                log::info!("event=renewed signal {signal}: another worker takes over");
                if let Err(error) = control.renew() {
                    log::error!("signal {signal}: cannot end the worker: {error}");
                }
                continue;
            }
            if asked {
                log::warn!("event=killed signal {signal} came again; ending at once");
                end_all(&control);
            }
            asked = true;
            service.stops("unmounting, when nobody uses the files any more");
            // What is not in its place any more cannot go on.
            service.forget();
            unmount(signal, &control);
        }
    })?;
    Ok(())
}

/// Unmounts, because of a signal; whoever uses the files can go on.
fn unmount(signal: i32, control: &Control) {
    match control.unmount() {
        Ok(Unmounted::Gone) => {
            log::info!("signal {signal}: unmounting; this ends when nobody uses the files any more")
        }
        Ok(Unmounted::Covered) => log::warn!(
            "event=covered signal {signal}: something else is mounted over the mount or in it; \
             this ends when that is unmounted, or at the next signal"
        ),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            log::error!(
                "event=left signal {signal}: may not unmount what somebody else has \
                 mounted; ending all the same, and it is dead from now on"
            );
            end_all(control);
        }
        Err(error) => log::error!("signal {signal}: cannot unmount: {error}"),
    }
}

/// Ends the worker, and this process.
fn end_all(control: &Control) -> ! {
    let _ = control.kill();
    std::thread::sleep(PATIENCE);
    exit()
}

/// Ends this process, as somebody wanted.
fn exit() -> ! {
    logging::finish();
    std::process::exit(1)
}
