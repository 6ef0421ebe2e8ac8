//! What the process gives up that looks after a mount. It reads nothing that others
//! wrote, and so keeps more than the one that serves; but of root's rights only those
//! that it has a use for.

use std::path::PathBuf;

use crate::sys::{confine, process};

use super::{Cause, Layer, Mode, Report, SandboxError, State, capabilities, seccomp};

/// What a supervisor goes on doing, beside what all of them do: unmount, make the mount
/// read-only again, read the manifest anew, and start workers.
#[derive(Clone, Debug, Default)]
pub struct Supervision {
    /// It mounts.
    pub mounts: bool,
    /// Its workers enter a mount namespace, which they find through it.
    pub enters: bool,
    /// A file that is written to, by name.
    pub log: Option<PathBuf>,
}

/// Confines this thread, and all that it starts from now on; threads that are there
/// already stay as they are. The process layer is that of the whole process.
///
/// # Errors
/// See [`SandboxError`].
pub fn supervise(supervision: &Supervision, mode: Mode) -> Result<Report, SandboxError> {
    let mut report = Report::new(mode);
    if mode == Mode::Off {
        return Ok(report);
    }
    if process::user().0 != 0 {
        // fusermount3(1) has to become root, and unmounts.
        let state = State::Partial("a plain user's, who has nothing to give up".to_owned());
        report.set(Layer::Process, state);
        return Ok(report);
    }
    for layer in [Layer::Process, Layer::Capabilities, Layer::Seccomp] {
        let state = match layer {
            Layer::Process => attributes(supervision),
            Layer::Capabilities => capabilities::drop_unneeded(supervision),
            _ => seccomp::forbid(supervision),
        };
        report.enter(layer, state)?;
    }
    Ok(report)
}

fn attributes(supervision: &Supervision) -> Result<State, Cause> {
    confine::gain_nothing()?;
    confine::dump_no_core()?;
    if supervision.enters {
        // Without CAP_SYS_PTRACE workers would not find the namespace.
        return Ok(State::Partial("no_new_privs, dumpable".to_owned()));
    }
    confine::hide_memory()?;
    Ok(State::Full("no_new_privs, not dumpable".to_owned()))
}
