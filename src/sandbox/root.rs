//! Where paths begin. Landlock says what can be opened, and not what can be looked at
//! (stat(2), and open(2) with `O_PATH`): so the backing becomes the root, above which
//! there is nothing. No directory outside of it may be open then.

use std::io;

use crate::sys::confine;

use super::{Cause, Confinement, State};

pub(super) fn change(confinement: &Confinement<'_>) -> Result<State, Cause> {
    let Some(directory) = confinement.root else {
        return Ok(State::Partial("as it was".to_owned()));
    };
    match confine::make_root(directory) {
        Ok(()) => Ok(State::Full("the backing".to_owned())),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let why = "as it was, for want of CAP_SYS_CHROOT";
            Ok(State::Partial(why.to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}
