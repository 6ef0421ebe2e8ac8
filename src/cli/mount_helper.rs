//! The helper of mount(8): `mount.continuity SPEC DIR -o backing=DIR`.
//!
//! It starts itself anew as the supervisor and returns when that has mounted, or
//! has failed. The supervisor tells so on its standard output, and then gives up
//! all that it was given, so that nobody waits for it.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{ChildStdout, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use clap::{ArgAction, CommandFactory, Parser};

use crate::sys::{self, process::Process};

use super::logging::{self, Verbosity};
use super::manifest_file::ManifestFile;
use super::mount::options::{OptionError, Options};
use super::mount::serve::{self, End, Request};
use super::mount::worker;
use super::{Failure, report};

const PROGRAM: &str = "mount.continuity";
/// The first argument of the supervisor.
const SUPERVISE: &str = "--supervise";
/// What the supervisor says when it has mounted.
const READY: &str = "ready";
/// How long mounting may take. A manifest of ten million files takes seconds.
const PATIENCE: Duration = Duration::from_secs(90);

const EXIT_STATUS: &str = "Exit status: 0 mounted, 1 wrong usage, 2 system error, \
32 not mounted.";

/// Exit status of mount(8).
mod status {
    pub const USAGE: u8 = 1;
    pub const SYSTEM: u8 = 2;
    pub const FAILURE: u8 = 32;
}

/// Mount a continuity manifest, as mount(8) asks for it.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version = super::VERSION, after_help = EXIT_STATUS)]
struct Arguments {
    /// The manifest
    spec: PathBuf,

    /// The directory to mount on
    dir: PathBuf,

    /// Mount options; backing=DIR is needed. See continuity-mount(1)
    #[arg(short, value_name = "OPTIONS")]
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
}

/// The command line, for its man page.
pub(super) fn command() -> clap::Command {
    Arguments::command()
}

/// Runs the helper.
#[must_use]
pub fn main() -> ExitCode {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    let worker = worker::Role::take(&mut words);
    let is_supervisor = words.get(1).is_some_and(|word| word == SUPERVISE);
    if is_supervisor {
        words.remove(1);
    }
    let arguments = match Arguments::try_parse_from(&words) {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let request = match request(&arguments) {
        Ok(request) => request,
        Err(error) => return fail(error.as_ref(), status_of(&error)),
    };
    let verbosity = Verbosity {
        verbose: arguments.verbose + 1,
        quiet: false,
    };
    if let Some(role) = worker {
        return end(worker::run(&request, role, verbosity).map(|()| End::Gone));
    }
    verbosity.init();
    if is_supervisor {
        return end(supervise_in_background(&request, &words));
    }
    if arguments.fake {
        return end(serve::check(&request, &words));
    }
    start_supervisor(words).unwrap_or_else(|error| fail(&error, status::SYSTEM))
}

fn usage(error: &clap::Error) -> ExitCode {
    // The text of the help is no failure.
    if report::usage(PROGRAM, error) == ExitCode::SUCCESS {
        return ExitCode::SUCCESS;
    }
    ExitCode::from(status::USAGE)
}

fn end(end: Result<End, Failure>) -> ExitCode {
    logging::finish();
    match end {
        Ok(End::Gone) => ExitCode::SUCCESS,
        // The worker has said why.
        Ok(End::Refused) => ExitCode::from(status::FAILURE),
        Err(error) => fail(error.as_ref(), status::FAILURE),
    }
}

fn fail(error: &(dyn std::error::Error + 'static), status: u8) -> ExitCode {
    report::error(PROGRAM, error);
    ExitCode::from(status)
}

/// The status for what cannot be asked for.
fn status_of(error: &Failure) -> u8 {
    match error.downcast_ref() {
        Some(OptionError::Remount) => status::FAILURE,
        _ => status::USAGE,
    }
}

fn request(arguments: &Arguments) -> Result<Request, Failure> {
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
    if options.remount {
        return Err(OptionError::Remount.into());
    }
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
    })
}

/// Starts this program anew as the supervisor and waits for its word.
fn start_supervisor(words: Vec<OsString>) -> io::Result<ExitCode> {
    let mut supervisor = Command::new("/proc/self/exe")
        .arg(SUPERVISE)
        .args(words.into_iter().skip(1))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let word = supervisor.stdout.take().map(wait_for_word);
    match word {
        Some(Ok(word)) if word == READY => Ok(ExitCode::SUCCESS),
        Some(Err(mpsc::RecvTimeoutError::Timeout)) => {
            // So that it can take away what it may have mounted by now.
            Process::of(supervisor.id())?.terminate()?;
            supervisor.wait()?;
            Err(io::Error::other(format!(
                "the supervisor did not get ready within {} seconds",
                PATIENCE.as_secs()
            )))
        }
        // It has said why on standard error.
        _ => Ok(match supervisor.wait()?.code() {
            Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(status::SYSTEM)),
            None => return Err(io::Error::other("the supervisor was killed")),
        }),
    }
}

fn wait_for_word(output: ChildStdout) -> Result<String, mpsc::RecvTimeoutError> {
    let (say, hear) = mpsc::channel();
    std::thread::spawn(move || {
        let mut word = String::new();
        // Nothing at all is a word too: the supervisor has ended.
        let _ = BufReader::new(output).read_line(&mut word);
        let _ = say.send(word.trim_end().to_owned());
    });
    hear.recv_timeout(PATIENCE)
}

fn supervise_in_background(request: &Request, words: &[OsString]) -> Result<End, Failure> {
    serve::run(request, words, worker::Role::Background, || {
        // Not before: an automount point lets through to what it waits for only the
        // process group of who looks after it (fs/autofs/root.c: `autofs_d_manage`).
        sys::process::leave_session()?;
        logging::finish();
        let mut output = io::stdout();
        writeln!(output, "{READY}")?;
        output.flush()?;
        sys::process::let_go()
    })
}
