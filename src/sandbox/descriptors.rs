//! Nothing stays open by accident: what a process was started with can lead out
//! of every other layer (CVE-2024-21626 was such a directory).

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use crate::sys::confine;

use super::{Cause, Confinement, State};

pub(super) fn close_others(confinement: &Confinement<'_>) -> Result<State, Cause> {
    let kept: Vec<RawFd> = kept(confinement).map(|kept| kept.as_raw_fd()).collect();
    let mut closed = 0_usize;
    for number in confine::descriptors()? {
        if !kept.contains(&number) {
            confine::close(number)?;
            closed = closed.saturating_add(1);
        }
    }
    // One of them was the listing itself.
    let closed = closed.saturating_sub(1);
    Ok(State::Full(format!("{closed} closed")))
}

/// All that stay open, if they are.
pub(super) fn kept<'a>(confinement: &Confinement<'a>) -> impl Iterator<Item = BorrowedFd<'a>> {
    confine::standard()
        .into_iter()
        .chain(confinement.readable.iter().copied())
        .chain(confinement.writable)
        .chain(confinement.keep.iter().copied())
}
