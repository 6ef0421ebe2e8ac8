//! A mount that somebody waits for until it is there, and no longer: the mount
//! helper, and `continuity mount --daemon`.
//!
//! Whoever waits starts this program anew as the supervisor, with a socket between
//! the two as its standard output. The supervisor says there that it has mounted,
//! and then gives up all that it was given, so that nobody waits for it. When the
//! other end of the socket is closed before that, whoever waited is gone, and the
//! supervisor gives up the mount.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use parking_lot::Mutex;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::cli::logging;
use crate::supervisor::Control;
use crate::sys::{
    descriptor,
    process::{self, Process},
};

use super::worker::Role;

/// The first argument of the supervisor.
const SUPERVISE: &str = "--supervise";
/// What the supervisor says when it has mounted.
const READY: &str = "ready";
/// How long mounting may take. A manifest of ten million files takes seconds.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long it may take to give that up.
const PATIENCE_AT_END: Duration = Duration::from_secs(10);
/// How long a mount that nobody wants any more may take to be taken away.
const PATIENCE_TO_UNDO: Duration = Duration::from_secs(2);
/// Where systemd says which file the journal reads (systemd.exec(5)).
const JOURNAL: &str = "JOURNAL_STREAM";

/// How waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Verdict {
    /// It is mounted.
    Ready,
    /// It is not, and the supervisor, which ended with this status, has said why.
    Failed(Option<i32>),
    /// Somebody did not want to wait any more.
    Interrupted,
}

/// Whether this is the first argument of a supervisor.
pub(in crate::cli) fn is_role(word: &OsStr) -> bool {
    word == SUPERVISE
}

/// Takes the first argument of a supervisor away, if it is there.
pub(in crate::cli) fn take(words: &mut Vec<OsString>) -> bool {
    let is_there = words.get(1).is_some_and(|word| is_role(word));
    if is_there {
        words.remove(1);
    }
    is_there
}

/// Starts this program anew as the supervisor and waits for its word.
///
/// # Errors
/// When it cannot be started, or says nothing for too long.
pub(in crate::cli) fn start(words: &[OsString]) -> io::Result<Verdict> {
    let signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new("/proc/self/exe");
    if let Some(name) = words.first() {
        command.arg0(name);
    }
    command
        .arg(SUPERVISE)
        .args(words.iter().skip(1))
        .stdout(Stdio::from(OwnedFd::from(theirs)));
    let mut supervisor = command.spawn()?;
    // It holds their end.
    drop(command);
    match wait(ours.try_clone()?, signals) {
        Ok(Some(word)) if word == READY => Ok(Verdict::Ready),
        Ok(Some(_)) => Ok(Verdict::Failed(supervisor.wait()?.code())),
        Ok(None) => {
            end(&mut supervisor, &ours)?;
            Ok(Verdict::Interrupted)
        }
        Err(_) => {
            end(&mut supervisor, &ours)?;
            Err(io::Error::other(format!(
                "the supervisor did not get ready within {} seconds",
                PATIENCE.as_secs()
            )))
        }
    }
}

/// Waits for the word of the supervisor; nothing when a signal comes first.
fn wait(stream: UnixStream, mut signals: Signals) -> Result<Option<String>, RecvTimeoutError> {
    let (say, hear) = mpsc::channel();
    let interrupt = say.clone();
    std::thread::spawn(move || {
        let mut word = String::new();
        // Nothing at all is a word too: the supervisor has ended.
        let _ = BufReader::new(stream).read_line(&mut word);
        let _ = say.send(Some(word.trim_end().to_owned()));
    });
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            let _ = interrupt.send(None);
        }
    });
    hear.recv_timeout(PATIENCE)
}

/// Lets the supervisor take away what it may have mounted by now.
fn end(supervisor: &mut Child, stream: &UnixStream) -> io::Result<()> {
    let process = Process::of(supervisor.id())?;
    // That it is closed is a sign, too.
    stream.shutdown(std::net::Shutdown::Both)?;
    if !process.ends_within(PATIENCE_AT_END)? {
        process.kill()?;
    }
    supervisor.wait().map(drop)
}

/// Whoever waits, as the supervisor sees it.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    word: Word,
    /// What is to be ended when nobody waits any more.
    control: Option<Control>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Word {
    #[default]
    Awaited,
    /// Whoever waits was told that all is well.
    Said,
    /// There is nobody to say it to.
    Unwanted,
}

impl Waiting {
    /// Watches whether anybody waits. If not, all that was done is undone, and this
    /// process ends, even if it is caught in a file that does not open.
    pub(super) fn watch() -> io::Result<Self> {
        let waiting = Self::default();
        let mut stream = UnixStream::from(io::stdout().as_fd().try_clone_to_owned()?);
        let watcher = std::thread::Builder::new().name("waiting".to_owned());
        let state = Arc::clone(&waiting.0);
        watcher.spawn(move || {
            // Nobody ever says anything there.
            let _ = stream.read(&mut [0]);
            if !give_up(&mut state.lock()) {
                return;
            }
            log::warn!("event=unwanted whoever waited for the mount is gone; giving up");
            std::thread::sleep(PATIENCE_TO_UNDO);
            logging::finish();
            std::process::exit(1)
        })?;
        Ok(waiting)
    }

    /// From now on there is something to be ended.
    pub(super) fn ends(&self, control: Control) {
        let mut state = self.0.lock();
        if state.word == Word::Unwanted {
            let _ = control.kill();
        }
        state.control = Some(control);
    }

    /// Says that it is mounted, and lets go of what was given.
    pub(super) fn tell(&self, role: Role) -> io::Result<()> {
        let mut state = self.0.lock();
        if state.word == Word::Unwanted {
            return Err(io::Error::other("whoever waited for the mount is gone"));
        }
        state.word = Word::Said;
        logging::finish();
        // Not before: an automount point lets through to what it waits for only the
        // process group of who looks after it (fs/autofs/root.c: `autofs_d_manage`).
        process::leave_session()?;
        let mut output = io::stdout();
        writeln!(output, "{READY}")?;
        output.flush()?;
        process::let_go(role == Role::Background)
    }
}

/// Ends what is going on, unless whoever waited was told that all is well.
fn give_up(state: &mut State) -> bool {
    if state.word != Word::Awaited {
        return false;
    }
    state.word = Word::Unwanted;
    if let Some(control) = &state.control {
        let _ = control.kill();
    }
    true
}

/// How the worker of a supervisor in the background runs: the journal takes what is
/// logged, and whoever else has standard error waits for it to be closed.
pub(in crate::cli) fn role() -> Role {
    let journal = std::env::var(JOURNAL).unwrap_or_default();
    let is_journal = descriptor::file_number(io::stderr())
        .is_ok_and(|(device, inode)| journal == format!("{device}:{inode}"));
    if is_journal {
        Role::Journal
    } else {
        Role::Background
    }
}
