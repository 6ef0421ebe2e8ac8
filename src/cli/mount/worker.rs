//! The worker: the process that reads the manifest, and serves.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Seek};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use thiserror::Error;

use crate::cli::Failure;
use crate::cli::logging::{self, Verbosity};
use crate::cli::manifest_file::{LoadError, ManifestFile};
use crate::cli::report;
use crate::digest::{Algorithm, Digest};
use crate::escape::Escaped;
use crate::fs::{CopyCache, Filesystem};
use crate::fuse::{Connection, Forgetting, Session, Turn};
use crate::inode::{Change, InodeTable, RootOwner, Statistics};
use crate::manifest::Limits;
use crate::sandbox::{self, Confinement, SandboxError};
use crate::source::DirectorySource;
use crate::supervisor::{Backing, FromWorker, Link, Numbers, ToWorker};
use crate::sys::process::{self, Nothing};
use crate::sys::{KnownIds, PrivateDirectory, PrivateDirectoryError, RootDir, known_ids};
use crate::trust::{Moment, Policy, Vouched, Voucher};
use crate::verify::Verifier;

use super::numbering;
use super::options::Options;
use super::serve::Request;
use super::status::Facts;

/// How the supervisor of a worker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Role {
    /// Somebody looks at standard error.
    Foreground,
    /// Whoever waits for standard error to be closed goes on when it is mounted.
    Background,
    /// The same, but the journal reads standard error, and waits for nothing.
    Journal,
}

impl Role {
    /// The first argument of a worker.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Foreground => "--worker",
            Self::Background => "--background-worker",
            Self::Journal => "--journal-worker",
        }
    }

    /// Whose first argument this is.
    pub(in crate::cli) fn of(word: &OsStr) -> Option<Self> {
        [Self::Foreground, Self::Background, Self::Journal]
            .into_iter()
            .find(|role| word == role.word())
    }

    /// Takes that argument away, if it is there.
    pub(in crate::cli) fn take(words: &mut Vec<OsString>) -> Option<Self> {
        let role = Self::of(words.get(1)?)?;
        words.remove(1);
        Some(role)
    }
}

/// Why there is nothing to serve.
#[derive(Debug, Error)]
enum WorkerError {
    #[error("cannot keep copies in the directory {:?}", Escaped(path.as_os_str().as_encoded_bytes()))]
    Cache {
        path: PathBuf,
        #[source]
        cause: PrivateDirectoryError,
    },
    #[error("mount options cache_dir=DIR and cache_max=SIZE go together, and one is missing")]
    HalfACache,
    #[error("this is started by \"continuity mount\", and by nobody else")]
    Alone(#[source] io::Error),
    #[error("the manifest is another one now: wanted {}, found {}", .0.0, .0.1)]
    Changed(Box<(Digest, Digest)>),
    #[error("cannot take over the connection to the kernel")]
    Connection(#[source] io::Error),
}

/// Serves what a supervisor wants to be served, until it is gone.
pub(in crate::cli) fn run(
    request: &Request,
    role: Role,
    verbosity: Verbosity,
) -> Result<(), Failure> {
    process::die_with_parent(true)?;
    // Nothing that is typed at the terminal reaches it.
    process::leave_session()?;
    let link = Arc::new(Link::from(io::stdin().as_fd().try_clone_to_owned()?));
    let begin = link.hear_supervisor().map_err(WorkerError::Alone)?;
    let Some(ToWorker::Begin {
        pin,
        manifest,
        backing,
        numbers,
    }) = begin
    else {
        return Err(WorkerError::Alone(io::ErrorKind::UnexpectedEof.into()).into());
    };
    let follows = matches!(numbers, Numbers::Following(_));
    let readied = ready(request, verbosity, &link, pin, (manifest, backing), numbers);
    let ready = match readied {
        Err(error) if follows => {
            // Whoever asked for it is told.
            let reason = report::chain(error.as_ref());
            link.tell_supervisor(&FromWorker::Refused(reason))?;
            return Err(error);
        }
        readied => readied?,
    };
    serve(ready, role, &link)
}

/// A worker that has read the manifest.
struct Ready {
    filesystem: Filesystem,
    digest: Digest,
    /// What the kernel must forget before this is what it shows.
    changes: Option<Vec<Change>>,
    cache: Option<Cache>,
    confined: sandbox::Report,
    nothing: Nothing,
}

/// Where private copies are kept, and how large they may be together, in bytes.
struct Cache {
    directory: PrivateDirectory,
    max_bytes: u64,
}

/// Gives up all that is not needed, and reads the manifest.
fn ready(
    request: &Request,
    verbosity: Verbosity,
    link: &Link,
    pin: Option<Digest>,
    (manifest, backing): (OwnedFd, Backing),
    numbers: Numbers,
) -> Result<Ready, Failure> {
    let cache = open_cache(&request.options)?;
    let log = request.options.log.as_deref().map(logging::open);
    let log = log.transpose()?;
    let trust = Trust::open(&request.manifest, pin)?;
    let known = known_ids()?;
    let nothing = Nothing::open()?;
    nothing.be_input()?;
    process::leave_directory()?;
    // All that follows is done inside; the log is written on a thread.
    let confined = confine(
        request,
        cache.as_ref(),
        &backing,
        [
            Some(link.as_fd()),
            Some(manifest.as_fd()),
            Some(nothing.as_fd()),
            log.as_ref().map(File::as_fd),
        ]
        .into_iter()
        .flatten()
        .chain(numbering::descriptors(&numbers))
        .collect(),
    )?;
    logging::set_form(request.options.log_form);
    verbosity.init();
    if let Some(log) = log {
        logging::redirect(log);
    }

    let (filesystem, digest, changes) = load(
        request,
        File::from(manifest),
        RootDir::from_descriptor(backing.directory),
        &trust,
        &known,
        (numbers, link),
    )?;
    Ok(Ready {
        filesystem,
        digest,
        changes,
        cache,
        confined,
        nothing,
    })
}

/// Serves what a worker has read.
fn serve(ready: Ready, role: Role, link: &Arc<Link>) -> Result<(), Failure> {
    let Ready {
        filesystem,
        digest,
        changes,
        cache,
        confined,
        nothing,
    } = ready;
    link.tell_supervisor(&FromWorker::Loaded(digest))?;
    let Some(ToWorker::Serve {
        turn,
        device_number,
        init,
        counts,
        is_kept,
        supervisor,
        connection,
        status,
        copies,
    }) = link.hear_supervisor()?
    else {
        // It only wanted to know whether that is possible.
        return Ok(());
    };
    let filesystem = match cache.zip(copies) {
        Some((
            Cache {
                directory,
                max_bytes,
            },
            ledger,
        )) => filesystem.with_cache(CopyCache::new(directory, ledger.into(), max_bytes)),
        None => filesystem,
    };
    announce(filesystem.statistics(), &confined);
    if filesystem.voucher().is_nobody() && turn == Turn::First {
        log::warn!(
            "event=unpinned the manifest is taken as it is; to hold the next mount to it: --digest {digest}"
        );
    }
    filesystem.mounted(device_number);
    let told = Arc::clone(link);
    filesystem.when_shut_down(move || {
        if let Err(error) = told.tell_supervisor(&FromWorker::ShutDown) {
            log::warn!("event=shutdown_untold error={:?}", error.to_string());
        }
    });
    let connection = Connection::from(connection);
    let filesystem = Arc::new(filesystem);
    let session = Session::adopt(&connection, &init, turn, Arc::clone(&filesystem))
        .map_err(WorkerError::Connection)?;
    drop(connection);
    if let Some(socket) = status {
        let facts = Facts {
            filesystem,
            requests: session.requests(),
            sandbox: confined,
            supervisor: serde_json::from_str(&supervisor)?,
            restarts: counts.restarts,
            reloads: counts.reloads,
            lost: counts.lost.into(),
            since: Instant::now(),
        };
        facts.tell(UnixListener::from(socket))?;
    }
    if !is_kept {
        process::die_with_parent(false)?;
    }
    if role == Role::Background {
        logging::finish();
        nothing.be_error()?;
    }
    match changes {
        None => link.tell_supervisor(&FromWorker::Serving)?,
        Some(changes) => {
            let link = Link::from(link.as_fd().try_clone_to_owned()?);
            forget(session.forgetting(), changes, link)?;
        }
    }
    session.serve()?;
    Ok(())
}

/// Has the kernel forget what is different, while it is served, and then says so.
fn forget(forgetting: Forgetting, changes: Vec<Change>, link: Link) -> io::Result<()> {
    let thread = std::thread::Builder::new().name("forget".to_owned());
    thread.spawn(move || {
        let told = forgetting
            .forget(&changes)
            .and_then(|()| link.tell_supervisor(&FromWorker::Serving));
        if let Err(error) = told {
            // Another worker begins from the beginning.
            log::error!("event=not_forgotten the kernel does not forget: {error}");
            logging::finish();
            std::process::exit(1);
        }
    })?;
    Ok(())
}

/// Gives up what is not needed to serve. The system calls for private copies are
/// among what is kept where they are wanted.
fn confine(
    request: &Request,
    cache: Option<&Cache>,
    backing: &Backing,
    keep: Vec<BorrowedFd<'_>>,
) -> Result<sandbox::Report, SandboxError> {
    let confinement = Confinement {
        readable: &[backing.as_fd()],
        // The directory of copies leads out, and a silent backing would hold us up.
        root: (cache.is_none() && backing.answers).then(|| backing.as_fd()),
        writable: cache.map(|cache| cache.directory.as_fd()),
        passthrough: cache.is_some(),
        keep: &keep,
    };
    sandbox::enter(&confinement, request.options.sandbox)
}

/// Reads the manifest. That is all that can be refused.
fn load(
    request: &Request,
    mut manifest: File,
    backing: RootDir,
    trust: &Trust,
    known: &KnownIds,
    (numbers, link): (Numbers, &Link),
) -> Result<(Filesystem, Digest, Option<Vec<Change>>), Failure> {
    // The one before has read it, too.
    let _ = manifest.rewind();
    let file: &ManifestFile = &request.manifest;
    let bytes = file.read_from(manifest)?;
    let (bytes, voucher, digest) = trust.judge(file, bytes)?;
    let (uid, gid) = process::user();
    let table = InodeTable::build(&bytes, &Limits::default(), RootOwner { uid, gid })
        .map_err(|error| file.refused(error))?;
    drop(bytes);
    let can_be_asked = request.options.presentation.introspect;
    let (table, changes) = numbering::apply(table, numbers, can_be_asked, |numbers| {
        link.tell_numbers(numbers)
    })?;
    let source = Box::new(DirectorySource::new(backing));
    let verifier = Verifier::new(source, request.options.verifier)?;
    let presentation = request.options.presentation.within(known);
    let filesystem =
        Filesystem::new(table, verifier, presentation, Some(digest)).with_voucher(voucher);
    let filesystem = filesystem.with_errors(request.options.errors);
    Ok((filesystem, digest, changes))
}

/// What the manifest has to be.
enum Trust {
    /// What was demanded of it.
    First(Policy),
    /// What the worker before has found. By now signatures and keys can have gone, or
    /// be out of date, but that does not end a mount: the bytes are the same.
    Again {
        pin: Digest,
        asks_somebody: bool,
        policy: Option<Policy>,
    },
}

impl Trust {
    /// Reads keys and signatures.
    fn open(manifest: &ManifestFile, pin: Option<Digest>) -> Result<Self, LoadError> {
        Ok(match pin {
            None => Self::First(manifest.policy()?),
            Some(pin) => Self::Again {
                pin,
                asks_somebody: manifest.trust.asks_somebody(),
                policy: manifest.policy().ok(),
            },
        })
    }

    /// Gives the bytes back, with who vouches for them and their digest.
    fn judge(
        &self,
        manifest: &ManifestFile,
        bytes: Vec<u8>,
    ) -> Result<(Vouched, Voucher, Digest), Failure> {
        match self {
            Self::First(policy) => {
                let vouched = manifest.vouch(policy, bytes)?;
                let voucher = vouched.by().clone();
                let digest = voucher.pin;
                let digest = digest.unwrap_or_else(|| Algorithm::Sha256.hash(&vouched));
                Ok((vouched, voucher, digest))
            }
            Self::Again {
                pin,
                asks_somebody,
                policy,
            } => {
                let found = pin.algorithm().hash(&bytes);
                if found != *pin {
                    return Err(WorkerError::Changed(Box::new((*pin, found))).into());
                }
                let by_policy = policy
                    .as_ref()
                    .and_then(|policy| policy.check(&bytes, Moment::now()).ok());
                let voucher = by_policy.unwrap_or_else(|| Voucher {
                    pin: asks_somebody.then_some(*pin),
                    ..Voucher::default()
                });
                Ok((Vouched::by_nobody(bytes), voucher, found))
            }
        }
    }
}

fn open_cache(options: &Options) -> Result<Option<Cache>, WorkerError> {
    match (&options.cache_dir, options.cache_max) {
        (None, None) => Ok(None),
        (Some(path), Some(max_bytes)) => match PrivateDirectory::open(path) {
            Ok(directory) => Ok(Some(Cache {
                directory,
                max_bytes,
            })),
            Err(cause) => Err(WorkerError::Cache {
                path: path.clone(),
                cause,
            }),
        },
        _ => Err(WorkerError::HalfACache),
    }
}

fn announce(statistics: &Statistics, confined: &sandbox::Report) {
    if confined.is_missing_any() {
        log::warn!("event=sandbox {confined}");
    } else {
        log::info!("{confined}");
    }
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
        "the manifest has {} inodes, {} files, {} bytes; {} KiB of memory for the table",
        statistics.inodes,
        statistics.files,
        statistics.bytes,
        statistics.memory / 1024
    );
}
