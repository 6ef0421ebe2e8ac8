//! The helper of mount(8): `mount.continuity SPEC DIR -o backing=DIR`.
//!
//! mount.fuse3(8) runs `continuity SPEC DIR -o OPTIONS`, which is the same.

mod namespace;
mod status;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgAction, CommandFactory, Parser};

use crate::sys;

use super::logging::{self, Verbosity};
use super::manifest_file::ManifestFile;
use super::mount::OPTIONS_HELP;
use super::mount::background::{self, Verdict};
use super::mount::options::Options;
use super::mount::serve::{self, End, Request};
use super::mount::service::Service;
use super::mount::worker;
use super::{Failure, remount, report};

const PROGRAM: &str = "mount.continuity";

const AFTER_HELP: &str = "Exit status: 0 mounted, 1 wrong usage or not permitted, 2 system error, \
4 internal error, 8 interrupted, 32 not mounted; then one line on standard error says what is \
wrong and why.

It returns when the mount answers or has failed, after 90 seconds at the latest, and leaves \
nobody with its standard output or error, but for a journal. If it is interrupted or killed \
before that, nothing is mounted. It needs no environment.

In /etc/fstab:

  /srv/tree.pb /mnt continuity backing=/srv/tree,digest=sha256:... 0 0
  /srv/tree.pb /mnt continuity backing=/srv/tree,nofail,x-systemd.automount 0 0
  /srv/tree.pb /mnt fuse.continuity backing=\"/srv/a,b\",key=/etc/tree.pub 0 0

mount.fuse.continuity is the same program, and so is \"continuity SPEC DIR -o OPTIONS\", which is \
what mount.fuse3(8) runs for the types fuse.continuity and fuse3.continuity; it adds dev and \
suid unless nodev and nosuid are given. With its option drop_privileges, ro and \
default_permissions must be given too.";

/// Mount a continuity manifest, as mount(8) asks for it.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version = super::VERSION, after_help = AFTER_HELP)]
struct Arguments {
    /// The manifest
    spec: PathBuf,

    /// The directory to mount on; or /dev/fd/N, the connection of a FUSE filesystem
    /// that is mounted and that nobody serves yet
    dir: PathBuf,

    /// Mount options, separated by commas; may be repeated. backing=DIR is needed
    #[arg(short, value_name = "OPTIONS", long_help = OPTIONS_HELP)]
    options: Vec<OsString>,

    /// Pass over options that are not known
    #[arg(short)]
    sloppy: bool,

    /// Check everything, but do not mount
    #[arg(short)]
    fake: bool,

    /// Nothing: there is no table of mounts to write
    #[arg(short)]
    no_mtab: bool,

    /// Say more
    #[arg(short, action = ArgAction::Count)]
    verbose: u8,

    /// The type that was asked for
    #[arg(short, value_name = "TYPE")]
    type_: Option<OsString>,

    /// Do all this in another mount namespace: one in a file, such as /proc/PID/ns/mnt,
    /// or that of a process, by its number
    #[arg(short = 'N', value_name = "NAMESPACE", overrides_with = "namespace")]
    namespace: Option<PathBuf>,

    /// Nothing: the mount is read-only
    #[arg(short, overrides_with = "write")]
    read_only: bool,

    /// Nothing: the mount is read-only all the same
    #[arg(short)]
    write: bool,
}

/// The command line, for its man page.
pub(super) fn command() -> clap::Command {
    Arguments::command()
}

/// Runs the helper.
#[must_use]
pub fn main() -> ExitCode {
    run(std::env::args_os().collect())
}

/// Whether these words are meant for the helper: it is called by one of its names,
/// or as mount.fuse3(8) calls a program, which is without a subcommand.
pub(super) fn is_meant(words: &[OsString], subcommands: &clap::Command) -> bool {
    let (Some(name), arguments) = (words.first(), words.get(1..).unwrap_or_default()) else {
        return false;
    };
    if name_of(name).is_some() {
        return true;
    }
    let mut arguments = arguments.to_vec();
    arguments.retain(|word| !background::is_role(word) && worker::Role::of(word).is_none());
    let is_subcommand =
        |word: &OsStr| word == "help" || subcommands.find_subcommand(word).is_some();
    let starts = |word: &OsStr, with: &str| word.as_encoded_bytes().starts_with(with.as_bytes());
    match arguments.as_slice() {
        [spec, _, others @ ..] => {
            !starts(spec, "-")
                && !is_subcommand(spec)
                && others.iter().any(|word| starts(word, "-o"))
        }
        _ => false,
    }
}

/// One of the names of the helper, such as `mount.fuse.continuity`.
fn name_of(path: &OsStr) -> Option<&str> {
    let name = Path::new(path).file_name()?.to_str()?;
    name.starts_with("mount.").then_some(name)
}

/// Runs the helper with these words.
pub(super) fn run(words: Vec<OsString>) -> ExitCode {
    let name = words.first().and_then(|word| name_of(word));
    let name = name.unwrap_or(PROGRAM).to_owned();
    status::guard(&name, || help(&name, words))
}

fn help(name: &str, mut words: Vec<OsString>) -> ExitCode {
    let worker = worker::Role::take(&mut words);
    let is_supervisor = background::take(&mut words);
    let arguments = match Arguments::try_parse_from(&words) {
        Ok(arguments) => arguments,
        Err(error) => return usage(name, &error),
    };
    let options = match options(&arguments) {
        Ok(options) => options,
        Err(error) => return fail(name, error.as_ref(), status::of_request(&error)),
    };
    if options.remount {
        // Other options change nothing.
        return end(name, remount::remount(&arguments.dir).map(|_| End::Gone));
    }
    let mut request = match request(&arguments, options) {
        Ok(request) => request,
        Err(error) => return fail(name, error.as_ref(), status::of_request(&error)),
    };
    let mut held = None;
    if let Some(namespace) = &arguments.namespace
        && (worker.is_some() || is_supervisor)
    {
        // First of all, while there is one thread.
        let entered = namespace::enter(namespace, is_supervisor);
        match entered {
            Ok(Some(entered)) => {
                words.extend(entered.words());
                request.outside = Some(entered.outside.clone());
                // Workers that come later find it through this process.
                held = Some(entered);
            }
            Ok(None) => {}
            Err(error) => return fail(name, error.as_ref(), status::of_namespace(&error)),
        }
    }
    let verbosity = Verbosity {
        verbose: arguments.verbose.saturating_add(1),
        quiet: false,
    };
    if let Some(role) = worker {
        return end(
            name,
            worker::run(&request, role, verbosity).map(|()| End::Gone),
        );
    }
    if is_supervisor {
        let role = background::role();
        let ended = if arguments.fake {
            serve::check(&request, &words, role, verbosity)
        } else {
            serve::run(&request, &words, role, verbosity, Service::default)
        };
        drop(held);
        return end(name, ended);
    }
    verbosity.init();
    match background::start(&words) {
        Ok(Verdict::Ready | Verdict::Failed(Some(0))) => ExitCode::SUCCESS,
        Ok(Verdict::Failed(Some(code))) => ExitCode::from(status::passed_on(Some(code))),
        Ok(Verdict::Failed(None)) => {
            report::text(name, "the supervisor was killed");
            ExitCode::from(status::SYSTEM)
        }
        Ok(Verdict::Interrupted) => {
            report::text(name, "interrupted; nothing is mounted");
            ExitCode::from(status::INTERRUPTED)
        }
        Err(error) => fail(name, &error, status::SYSTEM),
    }
}

fn usage(name: &str, error: &clap::Error) -> ExitCode {
    // The text of the help is no failure.
    if report::usage(name, error) == ExitCode::SUCCESS {
        return ExitCode::SUCCESS;
    }
    ExitCode::from(status::USAGE)
}

fn end(name: &str, end: Result<End, Failure>) -> ExitCode {
    logging::finish();
    match end {
        Ok(End::Gone) => ExitCode::SUCCESS,
        // The worker has said why.
        Ok(End::Refused(code)) => ExitCode::from(status::passed_on(code)),
        Err(error) => fail(name, error.as_ref(), status::of(&error)),
    }
}

fn fail(name: &str, error: &(dyn std::error::Error + 'static), status: u8) -> ExitCode {
    report::error(name, error);
    ExitCode::from(status)
}

/// The mount options among the words of the helper's command line.
///
/// # Errors
/// When it is no command line of the helper, or an option is refused.
pub fn mount_options(words: &[OsString]) -> Result<Options, Failure> {
    options(&Arguments::try_parse_from(words)?)
}

fn options(arguments: &Arguments) -> Result<Options, Failure> {
    let mut options = Options {
        // mount(8) mounts for everybody on the machine, if root asks.
        allow_other: sys::process::user().0 == 0,
        // It finds out what is mounted by the source.
        marks_unpinned: false,
        ..Options::default()
    };
    for list in &arguments.options {
        if arguments.sloppy {
            options.add_known(list)?;
        } else {
            options.add(list)?;
        }
    }
    Ok(options)
}

fn request(arguments: &Arguments, options: Options) -> Result<Request, Failure> {
    let backing = options
        .backing
        .clone()
        .ok_or("option backing=DIR is missing: the directory that has the content")?;
    Ok(Request {
        mountpoint: arguments.dir.clone(),
        manifest: ManifestFile {
            path: arguments.spec.clone(),
            trust: options.trust.clone(),
        },
        backing,
        options,
        outside: None,
    })
}
