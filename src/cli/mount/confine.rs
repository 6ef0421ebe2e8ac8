//! What the process gives up that looks after a mount, before anything else.

use crate::cli::Failure;
use crate::sandbox::{self, SandboxError, Supervision};
use crate::supervisor::Mounter;
use crate::sys::confine;

use super::serve::Request;

/// What is left.
pub(super) struct Confined {
    pub(super) mounter: Mounter,
    pub(super) report: sandbox::Report,
}

/// Gives it up on each thread that there is: this one, from which all others come, and
/// the one outside of the mount's namespace. The one that mounts does later.
pub(super) fn confine(request: &Request) -> Result<Confined, Failure> {
    let mode = request.options.sandbox;
    let mounter = Mounter::stay(mode)?;
    let known = 2 + usize::from(request.outside.is_some());
    match confine::threads() {
        Ok(count) if count == known => {}
        Ok(count) => return Err(SandboxError::Threads(count).into()),
        Err(error) => return Err(SandboxError::Uncounted(error).into()),
    }
    let supervision = Supervision {
        mounts: false,
        enters: request.outside.is_some(),
        log: request.options.log.clone(),
    };
    let report = sandbox::supervise(&supervision, mode)?;
    if let Some(outside) = &request.outside {
        outside.run(move || sandbox::supervise(&supervision, mode))??;
    }
    Ok(Confined { mounter, report })
}

/// Says what was given up.
pub(super) fn announce(report: &sandbox::Report) {
    if report.is_missing_any() {
        log::warn!("event=sandbox supervisor {report}");
    } else {
        log::info!("supervisor {report}");
    }
}
