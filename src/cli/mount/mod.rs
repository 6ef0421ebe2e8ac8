//! `continuity mount`, and what the mount helper shares with it.

pub(super) mod background;
mod confine;
mod kept;
mod listen;
mod numbering;
pub(super) mod options;
pub(super) mod serve;
pub(super) mod service;
mod status;
pub(super) mod worker;

use std::ffi::OsString;
use std::path::PathBuf;

use crate::cli::manifest_file::ManifestFile;
use crate::sandbox;

use super::logging::Verbosity;
use super::{Failure, Outcome};
use background::Verdict;
use options::{OptionError, Options};
use serve::{End, Request};
use service::Service;
use worker::Role;

/// Mount a verified, read-only view of a tree
///
/// Names, modes, owners, times, links and attributes are those of the manifest;
/// content comes from the backing directory, and a byte that was not hashed and
/// found to match is never handed out: reading it is an I/O error, and a line
/// in the log.
///
/// Stays in the foreground until it is unmounted, or until SIGINT, SIGTERM or
/// SIGHUP. What is still in use then is unmounted lazily: nobody else gets in, and
/// the program ends when the last user is gone, or at the next signal.
///
/// A service manager that has set NOTIFY_SOCKET is told when it is mounted, and when
/// it is going to end (systemd: Type=notify). If it keeps descriptors (systemd:
/// FileDescriptorStoreMax=8) and starts this again after it was killed, the mount goes
/// on, and no reader sees it.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Serve it by FUSE; there is no other way yet
    #[arg(long)]
    fuse: bool,

    /// Go to the background, and return when it is mounted or has failed
    ///
    /// The log ends then, but for what log=FILE takes and what the journal reads.
    #[arg(short, long)]
    daemon: bool,

    /// Mount options, separated by commas; may be repeated
    #[arg(short = 'o', value_name = "OPTIONS")]
    #[arg(long_help = OPTIONS_HELP)]
    options: Vec<OsString>,

    /// The directory to mount on
    mountpoint: PathBuf,

    /// How much of the sandbox there must be: all that this program knows
    /// (required), all that this kernel has (best-effort), or none (off)
    #[arg(long, value_name = "MODE")]
    sandbox: Option<sandbox::Mode>,

    #[command(flatten)]
    manifest: ManifestFile,

    /// The directory that has the content
    backing: Option<PathBuf>,
}

pub(super) const OPTIONS_HELP: &str = "Mount options, separated by commas; may be repeated:

  backing=DIR         the directory that has the content
  digest=DIGEST, digest_file=FILE, key=KEY, allowed_signers=FILE,
  signer=PRINCIPAL, signature=FILE, require_signature
                      what the manifest must be, and who has to have signed it,
                      like --digest and so on; what both say must hold
  allow_other         let other users in; the mount helper does so for root
                      without being asked
  allow_root          let root in and nobody else: for root the same as not saying
                      allow_other; the kernel cannot do it for anybody else
  suid, dev           honour setuid bits and devices; not by default
  noexec              let no program be run
  nosymfollow         let no symlink be followed; only root can have that
  noatime, relatime, strictatime, nodiratime
                      what the table of mounts shows; no access is ever noted
  context=LABEL, fscontext=LABEL, defcontext=LABEL, rootcontext=LABEL
                      labels of SELinux, for the kernel
  max_read=BYTES      the largest read that the kernel asks for
  mtime=SECONDS       the time of files that have none in the manifest
  uid=N, gid=N        one owner, one group for everything
  uidmap=C:H:N        owners C, C+1, … become H, H+1, …, N of them
  gidmap=C:H:N        the same for groups. Both count inside ACLs too, as uidmap= does
                      for the root to whom capabilities of files belong; who is in
                      no range is nobody
  transform_symlinks  make absolute symlinks lead below the mountpoint
  no_overlay_xattrs   hide the attributes of overlayfs
  introspect          answer to the attributes user.continuity.digest,
                      .manifest_digest, .trust, .refusal (of a file, the last),
                      .refusals, .stalls, .copies and .counters, the last in
                      Prometheus' form
  cache_dir=DIR       keep verified private copies of files of 1 MiB and more
                      in DIR, for the kernel to read by itself: large reads and
                      mapped files are as fast as on DIR. The copies have no
                      names, and are gone with the mount. DIR must be root's
                      and closed to others, and its disk is trusted; only root
                      can make use of it (Linux 6.9). Opening a file then costs
                      a round trip, and waits for its copy if the file cannot
                      be read in parts or has up to 64 MiB
  cache_max=SIZE      how large the copies may be together; K, M, G or T behind
                      a number count in powers of 1024. Needed with cache_dir
  block_cache=SIZE    how much checked content to keep in memory; 32M by default
  table_cache=SIZE    the same for what is known of large files without chunks:
                      32 bytes for each 128 KiB; 16M by default. The last one
                      used is always kept; a file whose table is not is hashed
                      in full again when it is read
  sandbox=MODE        what the process that serves must have given up before it
                      reads the manifest: required (the default) is all that
                      this program knows, or nothing is mounted; best-effort is
                      what this kernel has; off is nothing. The process that
                      looks after the mount gives up what it has no use for
  errors=MODE         what follows when content is not what the manifest declares:
                      an I/O error for whoever reads it (eio, the default), or
                      that and the end of the view: nothing more is given out,
                      whoever asks for what, until it is unmounted (shutdown)
  recovery=MODE       when the process that serves dies, another one takes over,
                      and no reader sees it (auto, the default; Linux 6.9), or
                      everything is mounted anew, and who is using it gets
                      errors (remount)
  open_files=N        how many files of the backing to keep open; 128 by default
  timeout=SECONDS     how long a reader waits for the backing, 30 by default; then
                      it gets an I/O error, and the log a line. A fraction is
                      taken, and 0 lets readers wait for ever. Who waits for a
                      file that is hashed in full goes on waiting while it comes
                      with 1 MiB a second or more
  fsname=NAME         what the table of mounts shows as the source; by default the
                      manifest, behind continuity-unpinned: if nobody vouches
                      for it
  log=FILE            append the log to FILE
  log_format=FORM     how its lines look: text (the default), logfmt (key=value
                      pairs and nothing else), or json (an object a line)

A value with a comma in it is written \"in quotation marks\", or with a backslash
before the comma. In names, - and _ are the same. Of two options that contradict
each other the last one counts. The mount is always read-only, and the kernel always
checks permissions: ro, rw and default_permissions change nothing. Nor do defaults,
auto, noauto, user, users, owner, group, nofail, _netdev, async, sync, lazytime, x-*
and the like, which others heed; auto_unmount and blksize= are warned of. loop is
refused, and so is an option that is not known.";

/// `is_supervisor`: somebody waits until it is mounted.
pub(super) fn run(
    arguments: &Arguments,
    words: &[OsString],
    is_supervisor: bool,
    verbosity: Verbosity,
) -> Result<Outcome, Failure> {
    let request = request(arguments)?;
    if arguments.daemon && !is_supervisor {
        verbosity.init();
        return match background::start(words)? {
            Verdict::Ready => Ok(Outcome::Success),
            Verdict::Failed(Some(_)) => Ok(Outcome::Trouble),
            Verdict::Failed(None) => Err("the supervisor was killed".into()),
            Verdict::Interrupted => Err("interrupted; nothing is mounted".into()),
        };
    }
    let role = if is_supervisor {
        background::role()
    } else {
        Role::Foreground
    };
    Ok(
        match serve::run(&request, words, role, verbosity, Service::of_environment)? {
            End::Gone => Outcome::Success,
            End::Refused(_) => Outcome::Trouble,
        },
    )
}

/// The same as the worker of what [`run`] has started.
pub(super) fn work(
    arguments: &Arguments,
    role: Role,
    verbosity: Verbosity,
) -> Result<Outcome, Failure> {
    worker::run(&request(arguments)?, role, verbosity)?;
    Ok(Outcome::Success)
}

fn request(arguments: &Arguments) -> Result<Request, Failure> {
    let mut options = Options::default();
    for list in &arguments.options {
        options.add(list)?;
    }
    if options.remount {
        return Err(OptionError::Remount.into());
    }
    if let Some(mode) = arguments.sandbox {
        options.sandbox = mode;
    }
    let mut manifest = arguments.manifest.clone();
    manifest
        .trust
        .join(std::mem::take(&mut options.trust))
        .map_err(OptionError::Twice)?;
    let backing = arguments
        .backing
        .clone()
        .or_else(|| options.backing.clone())
        .ok_or("the directory that has the content is missing: BACKING, or -o backing=DIR")?;
    Ok(Request {
        mountpoint: arguments.mountpoint.clone(),
        manifest,
        backing,
        options,
        outside: None,
    })
}
