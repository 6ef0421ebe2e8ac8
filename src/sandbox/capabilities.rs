//! Which rights of root are left.
//!
//! `CAP_DAC_READ_SEARCH` reads the backing's files whoever owns them. It would
//! also open any file of a filesystem by its handle, but for landlock, and for
//! open_by_handle_at(2), which is not on the list of system calls.

use std::io;

use caps::errors::CapsError;
use caps::{CapSet, Capability, CapsHashSet};

use super::{Cause, Confinement, State};

pub(super) fn drop_others(confinement: &Confinement<'_>) -> Result<State, Cause> {
    let had = caps::read(None, CapSet::Permitted).map_err(refused)?;
    let mut kept = CapsHashSet::from([Capability::CAP_DAC_READ_SEARCH]);
    if confinement.passthrough {
        kept.insert(Capability::CAP_SYS_ADMIN);
    }
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
