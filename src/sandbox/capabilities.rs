//! Which rights of root are left.
//!
//! `CAP_DAC_READ_SEARCH` reads the backing's files whoever owns them. It would
//! also open any file of a filesystem by its handle, but for landlock, and for
//! open_by_handle_at(2), which is not on the list of system calls.

use std::io;
use std::path::Path;

use caps::errors::CapsError;
use caps::{CapSet, Capability, CapsHashSet};

use crate::sys::confine;

use super::{Cause, Confinement, State, Supervision};

pub(super) fn drop_others(confinement: &Confinement<'_>) -> Result<State, Cause> {
    let mut kept = CapsHashSet::from([Capability::CAP_DAC_READ_SEARCH]);
    if confinement.passthrough {
        kept.insert(Capability::CAP_SYS_ADMIN);
    }
    keep(kept)
}

/// What a supervisor has no use for. It unmounts and makes read-only (`CAP_SYS_ADMIN`)
/// and opens manifests and keys (`CAP_DAC_READ_SEARCH`); its workers have no more than it
/// has, make the backing their root (`CAP_SYS_CHROOT`), and give up the rest of that
/// (`CAP_SETPCAP`). To look into processes of somebody else's (`CAP_SYS_PTRACE`) is over
/// when it is mounted.
pub(super) fn drop_unneeded(supervision: &Supervision) -> Result<State, Cause> {
    let mut kept = CapsHashSet::from([
        Capability::CAP_SYS_ADMIN,
        Capability::CAP_DAC_READ_SEARCH,
        Capability::CAP_SETPCAP,
        Capability::CAP_SYS_CHROOT,
    ]);
    if overrides(supervision)? {
        kept.insert(Capability::CAP_DAC_OVERRIDE);
    }
    keep(kept)
}

/// Whether a worker can be run, or write its log, only by overriding what is
/// permitted to others.
fn overrides(supervision: &Supervision) -> Result<bool, Cause> {
    let capability = Capability::CAP_DAC_OVERRIDE;
    if !caps::has_cap(None, CapSet::Effective, capability).map_err(refused)? {
        return Ok(false);
    }
    caps::drop(None, CapSet::Effective, capability).map_err(refused)?;
    let can_do_without = confine::can_run(Path::new("/proc/self/exe"))
        && supervision.log.as_deref().is_none_or(confine::can_write);
    caps::raise(None, CapSet::Effective, capability).map_err(refused)?;
    Ok(!can_do_without)
}

/// Keeps these, as far as they are there.
fn keep(mut kept: CapsHashSet) -> Result<State, Cause> {
    let had = caps::read(None, CapSet::Permitted).map_err(refused)?;
    kept.retain(|capability| had.contains(capability));

    let has_bounds = drop_bounds(&kept)?;
    // An older kernel has no ambient set, and nothing in it.
    let _ = caps::clear(None, CapSet::Ambient);
    caps::clear(None, CapSet::Inheritable).map_err(refused)?;
    caps::set(None, CapSet::Effective, &kept).map_err(refused)?;
    caps::set(None, CapSet::Permitted, &kept).map_err(refused)?;
    for set in [CapSet::Effective, CapSet::Permitted] {
        if caps::read(None, set).map_err(refused)? != kept {
            return Err(Cause::Unavailable("they are still there".to_owned()));
        }
    }
    Ok(State::Full(describe(&kept, has_bounds)))
}

/// Takes all others out of the bounding set, which programs could get them from
/// again. Only who has `CAP_SETPCAP` may; whoever has it not can gain nothing
/// either, without new privileges.
fn drop_bounds(kept: &CapsHashSet) -> Result<bool, Cause> {
    let may = caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).map_err(refused)?;
    if !may {
        return Ok(false);
    }
    for capability in caps::read(None, CapSet::Bounding).map_err(refused)? {
        if !kept.contains(&capability) {
            caps::drop(None, CapSet::Bounding, capability).map_err(refused)?;
        }
    }
    Ok(true)
}

fn describe(kept: &CapsHashSet, has_bounds: bool) -> String {
    let mut names: Vec<String> = kept
        .iter()
        .map(|capability| capability.to_string().to_lowercase())
        .collect();
    names.sort();
    if names.is_empty() {
        names.push("none".to_owned());
    }
    let names = names.join(" and ");
    if has_bounds {
        names
    } else {
        format!("{names}, bounding set kept")
    }
}

fn refused(error: CapsError) -> Cause {
    Cause::Io(io::Error::other(error.to_string()))
}
