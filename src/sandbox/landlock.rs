//! Which files can be reached, whatever the user could reach otherwise.
//!
//! What is open already stays usable. A rule is about a directory and all below
//! it, what is mounted there included.

use std::os::fd::BorrowedFd;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, PathBeneath, RestrictionStatus,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
};

use super::{Cause, Confinement, State};

/// The newest that is asked for. What the kernel does not know is left out.
const NEWEST: ABI = ABI::V10;
/// From this on it forbids everything that serving does not need: of what came
/// later, sockets, nothing can be made at all, for want of a system call.
const WHOLE: ABI = ABI::V6;

pub(super) fn restrict(confinement: &Confinement<'_>) -> Result<State, Cause> {
    let status = try_restrict(confinement).map_err(|error| unavailable(&error))?;
    match status.landlock {
        LandlockStatus::NotEnabled => Err(Cause::Unavailable(
            "this kernel has it, and it is not enabled (lsm= on the kernel's command line)"
                .to_owned(),
        )),
        LandlockStatus::NotImplemented => Err(Cause::Unavailable(
            "this kernel does not have it (Linux 5.13 has)".to_owned(),
        )),
        LandlockStatus::Available { effective_abi, .. } if effective_abi >= WHOLE => {
            Ok(State::Full(format!("abi {effective_abi}")))
        }
        // Network (4), devices (5) and signals (6) are forbidden by the list of
        // system calls as well.
        LandlockStatus::Available { effective_abi, .. } => {
            Ok(State::Partial(format!("abi {effective_abi}, files only")))
        }
    }
}

fn try_restrict(confinement: &Confinement<'_>) -> Result<RestrictionStatus, RulesetError> {
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    for directory in confinement.readable {
        // A directory that took the place of a file is told from one that may not
        // be read.
        let access = AccessFs::ReadFile | AccessFs::ReadDir;
        rules = rules.add_rule(rule(*directory, access))?;
    }
    if let Some(directory) = confinement.writable {
        rules = rules.add_rule(rule(directory, for_copies()))?;
    }
    rules.restrict_self()
}

fn rule(directory: BorrowedFd<'_>, access: BitFlags<AccessFs>) -> PathBeneath<BorrowedFd<'_>> {
    PathBeneath::new(directory, access)
}

/// To make a file without a name (`O_TMPFILE`), fill it, and open it again for
/// reading. No right to give it one. The kernel opens it in our name when a
/// program is run that is one of these; we ourselves have no call to run any.
fn for_copies() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::Execute
}

fn unavailable(error: &RulesetError) -> Cause {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = cause.to_string();
        source = cause.source();
    }
    Cause::Unavailable(text)
}
