//! What a process that reads untrusted bytes gives up before it reads them.
//!
//! [`enter`] takes everything from the process that serving a manifest does not
//! need, in six layers, and for good. Whoever takes the process over by a flaw
//! in it can then lie to those who read the mount, and nothing else: read no
//! file but those of the backing, write none, run no program, reach no network
//! and no other process.
//!
//! | layer | what goes | file |
//! |---|---|---|
//! | descriptors | all that are open and were not named | `descriptors.rs` |
//! | process | working directory, core dumps, new privileges, files that grow | `limits.rs` |
//! | root | names outside of the backing | `root.rs` |
//! | landlock | every file outside of the backing, network, signals to others | `landlock.rs` |
//! | capabilities | all but `CAP_DAC_READ_SEARCH` | `capabilities.rs` |
//! | seccomp | every system call that is not on a list | `seccomp.rs` |
//!
//! [`supervise`] takes less, from the process that looks after a mount.
//!
//! The layers overlap on purpose: a file outside cannot be written to because
//! landlock says so, and because no call that could is on the list.

mod allowed;
mod capabilities;
mod descriptors;
mod forbidden;
mod landlock;
mod limits;
mod report;
mod root;
mod seccomp;
mod supervise;

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;

use crate::sys::confine;

pub use report::{LayerState, Report, State};
pub use seccomp::Purpose;
pub use supervise::{Supervision, supervise};

/// What the process may still do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Confinement<'a> {
    /// Directories below which files can be opened for reading.
    pub readable: &'a [BorrowedFd<'a>],
    /// A directory that becomes the root; it has to answer. What leads out of it by any
    /// other directory that is open is not found out.
    pub root: Option<BorrowedFd<'a>>,
    /// A directory in which files without names can be made, for private
    /// copies.
    pub writable: Option<BorrowedFd<'a>>,
    /// Whether private copies are given to the kernel, which takes
    /// `CAP_SYS_ADMIN` (`FUSE_DEV_IOC_BACKING_OPEN`); of all that it permits, the
    /// list of system calls leaves this one command.
    pub passthrough: bool,
    /// Other descriptors that stay open, beside standard input, output and
    /// error and those above.
    pub keep: &'a [BorrowedFd<'a>],
}

/// How much of it must work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Every layer, or it is an error.
    #[default]
    Required,
    /// What this kernel has. The report tells what is missing.
    BestEffort,
    /// Nothing happens.
    Off,
}

/// A word that is no [`Mode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it is required, best-effort or off")]
pub struct UnknownMode;

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(word: &str) -> Result<Self, UnknownMode> {
        match word {
            "required" => Ok(Self::Required),
            "best-effort" => Ok(Self::BestEffort),
            "off" => Ok(Self::Off),
            _ => Err(UnknownMode),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Required => "required",
            Self::BestEffort => "best-effort",
            Self::Off => "off",
        })
    }
}

/// One of the things that confine the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// Nothing is open but what was named.
    Descriptors,
    /// Limits and attributes of the process.
    Process,
    /// Which names it can look at.
    Root,
    /// Which files it can reach.
    Landlock,
    /// Which rights of root it has.
    Capabilities,
    /// Which system calls it can make.
    Seccomp,
}

impl Layer {
    /// In the order in which they are entered: each works under those before.
    pub const ALL: [Self; 6] = [
        Self::Descriptors,
        Self::Process,
        Self::Root,
        Self::Landlock,
        Self::Capabilities,
        Self::Seccomp,
    ];
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Descriptors => "descriptors",
            Self::Process => "process",
            Self::Root => "root",
            Self::Landlock => "landlock",
            Self::Capabilities => "capabilities",
            Self::Seccomp => "seccomp",
        })
    }
}

/// What becomes of a process that makes a call which is not on the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Violation {
    /// It is killed at once, by SIGSYS.
    #[default]
    Kill,
    /// The call fails with `EPERM`. For tests, which go on to the next call.
    Refuse,
}

/// Why the process is not confined.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// A thread that exists already would stay outside.
    #[error("the sandbox can only be entered before there are threads; there are {0}")]
    Threads(usize),
    /// The threads cannot be counted.
    #[error("the sandbox cannot be entered: the threads cannot be counted: {0}")]
    Uncounted(#[source] io::Error),
    /// A layer cannot be put in place.
    #[error("the layer {layer} of the sandbox cannot be put in place: {cause}")]
    Layer {
        /// Which.
        layer: Layer,
        /// Why.
        cause: Cause,
    },
}

/// Why a layer cannot be put in place.
#[derive(Debug, Error)]
pub enum Cause {
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The kernel does not have it, or whoever started us forbids it.
    #[error("{0}")]
    Unavailable(String),
}

/// Confines the process, or says why not. It must have one thread only, and
/// must not have been given anything untrusted yet.
///
/// Descriptors that nobody named are closed whoever has them: call it before
/// anything but what is named is opened.
///
/// # Errors
/// See [`SandboxError`]. What had been given up by then stays so: the process is
/// to end.
pub fn enter(confinement: &Confinement<'_>, mode: Mode) -> Result<Report, SandboxError> {
    enter_layers(confinement, mode, &Layer::ALL, Violation::Kill)
}

/// Some layers only, and what becomes of violations: for tests, which show that
/// each layer stands by itself.
///
/// # Errors
/// As [`enter`].
pub fn enter_layers(
    confinement: &Confinement<'_>,
    mode: Mode,
    layers: &[Layer],
    violation: Violation,
) -> Result<Report, SandboxError> {
    let mut report = Report::new(mode);
    if mode == Mode::Off {
        return Ok(report);
    }
    match confine::threads() {
        Ok(1) => {}
        Ok(more) => return Err(SandboxError::Threads(more)),
        Err(error) => return Err(SandboxError::Uncounted(error)),
    }
    for layer in Layer::ALL {
        if !layers.contains(&layer) {
            continue;
        }
        let state = match layer {
            Layer::Descriptors => descriptors::close_others(confinement),
            Layer::Process => limits::apply(confinement),
            Layer::Root => root::change(confinement),
            Layer::Landlock => landlock::restrict(confinement),
            Layer::Capabilities => capabilities::drop_others(confinement),
            Layer::Seccomp => seccomp::install(confinement, violation),
        };
        report.enter(layer, state)?;
    }
    Ok(report)
}

/// Which system calls a confined process can make, by what each is for; some of
/// them only with certain arguments.
///
/// # Errors
/// When the list cannot be made; it can.
pub fn calls(confinement: &Confinement<'_>) -> Result<Vec<Purpose>, SandboxError> {
    seccomp::calls(confinement).map_err(|cause| SandboxError::Layer {
        layer: Layer::Seccomp,
        cause,
    })
}

/// Names and numbers of the system calls that fail where [`supervise`] was called; some
/// of them only with certain arguments.
///
/// # Errors
/// When the list cannot be made; it can.
pub fn forbidden(supervision: &Supervision) -> Result<Vec<(&'static str, i64)>, SandboxError> {
    seccomp::not_allowed(supervision).map_err(|cause| SandboxError::Layer {
        layer: Layer::Seccomp,
        cause,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_three_words() {
        for mode in [Mode::Required, Mode::BestEffort, Mode::Off] {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        for word in ["", "Required", "best_effort", "on", "off "] {
            assert_eq!(word.parse::<Mode>(), Err(UnknownMode), "{word:?}");
        }
    }

    #[test]
    fn a_process_with_threads_is_refused_and_unchanged() {
        // The test runner has at least one more.
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || stopped.recv());
        for mode in [Mode::Required, Mode::BestEffort] {
            let error = enter(&Confinement::default(), mode).unwrap_err();
            assert!(matches!(error, SandboxError::Threads(count) if count > 1));
        }
        let report = enter(&Confinement::default(), Mode::Off).unwrap();
        assert_eq!(report.to_string(), "sandbox=off");
        drop(stop);
        let _ = other.join();
        std::fs::read("/proc/self/status").unwrap();
    }
}
