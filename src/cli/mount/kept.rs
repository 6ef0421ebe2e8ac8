//! A mount that goes on when the service manager starts this program again.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use crate::supervisor::{KEPT_NAMES, Keeper, Keeping, Kept};
use crate::sys::namespace::Outside;

use super::listen;
use super::service::Service;
use super::worker::Role;

/// What a service manager has of a mount, and where it is to be kept.
#[derive(Default)]
pub(super) struct Found {
    pub(super) kept: Option<Kept>,
    pub(super) keeping: Option<Keeping>,
}

/// Looks whether the service manager, if there is one, has kept a mount of the same
/// command line. It hands that to the process that it starts, and to no other.
pub(super) fn find(service: &Service, words: &[OsString], role: Role, mounter: &Outside) -> Found {
    if !service.is_there() || role != Role::Foreground {
        return Found::default();
    }
    let request = request(words);
    let kept = kept(service, &request, mounter);
    let keeping = Keeping::new(Box::new(service.clone()), request, kept.is_some());
    Found {
        kept,
        keeping: Some(keeping),
    }
}

/// What was kept, if it is for this request. If not, nothing of it is left.
fn kept(service: &Service, request: &[u8], mounter: &Outside) -> Option<Kept> {
    let found = listen::take(&KEPT_NAMES);
    if found.is_empty() {
        return None;
    }
    let why = match Kept::open(found) {
        Ok(kept) if kept.is_for(request) => return Some(kept),
        Ok(kept) => match kept.end(Some(mounter)) {
            Ok(()) => "another mount is asked for now than the one that was kept".to_owned(),
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    };
    log::warn!("event=not_resumed error={why:?}");
    // Then nobody has it, and whoever waits for an answer gets an error.
    service.forget();
    None
}

/// What is asked for: from where, and the words but the name of the program.
fn request(words: &[OsString]) -> Vec<u8> {
    let directory = std::env::current_dir().unwrap_or_default();
    let words = words.iter().skip(1).map(|word| word.as_bytes());
    let all: Vec<_> = std::iter::once(directory.as_os_str().as_bytes())
        .chain(words)
        .collect();
    all.join(&0)
}
