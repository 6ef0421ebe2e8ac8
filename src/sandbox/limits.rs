//! Attributes of the process itself.
//!
//! There is no limit of processes (`RLIMIT_NPROC`): it counts all threads of the
//! user on the whole machine, not those of this process, and does not count for
//! root. The list of system calls lets threads be made, and no process.

use crate::sys::confine;

use super::{Cause, Confinement, State, descriptors};

pub(super) fn apply(confinement: &Confinement<'_>) -> Result<State, Cause> {
    confine::leave_place()?;
    confine::hide_memory()?;
    confine::gain_nothing()?;
    if writes_files(confinement) {
        return Ok(State::Full("no_new_privs, not dumpable".to_owned()));
    }
    confine::write_no_files()?;
    Ok(State::Full(
        "no_new_privs, not dumpable, no file can grow".to_owned(),
    ))
}

/// Whether it has a file to write to: a log, or copies. A limit of 0 would kill
/// it with the first line (SIGXFSZ).
fn writes_files(confinement: &Confinement<'_>) -> bool {
    confinement.writable.is_some()
        || descriptors::kept(confinement)
            .any(|kept| confine::writes_regular_file(kept).unwrap_or(false))
}
