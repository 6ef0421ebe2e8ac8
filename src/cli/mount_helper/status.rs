//! Exit statuses of mount(8).

use std::panic::{PanicHookInfo, catch_unwind};
use std::process::ExitCode;

use crate::cli::Failure;
use crate::cli::mount::options::OptionError;
use crate::cli::report;
use crate::fuse::MountError;
use crate::supervisor::SupervisorError;

use super::namespace::NamespaceError;

/// Wrong usage, or not permitted.
pub(super) const USAGE: u8 = 1;
/// The system has not what is needed: memory, processes, /dev/fuse.
pub(super) const SYSTEM: u8 = 2;
/// A bug of ours.
pub(super) const INTERNAL: u8 = 4;
/// Somebody pressed ^C.
pub(super) const INTERRUPTED: u8 = 8;
/// Not mounted.
pub(super) const FAILURE: u8 = 32;

/// For what was asked for.
pub(super) fn of_request(error: &Failure) -> u8 {
    match error.downcast_ref() {
        Some(OptionError::Remount) => FAILURE,
        _ => USAGE,
    }
}

/// For why a namespace cannot be entered.
pub(super) fn of_namespace(error: &Failure) -> u8 {
    let error = error.downcast_ref::<NamespaceError>();
    match error.map(|error| error.cause.kind()) {
        Some(std::io::ErrorKind::PermissionDenied) => USAGE,
        _ => FAILURE,
    }
}

/// For why there is no mount.
pub(super) fn of(error: &Failure) -> u8 {
    match error.downcast_ref() {
        Some(SupervisorError::Mount(error)) => of_mount(error),
        Some(SupervisorError::Worker(_)) => SYSTEM,
        _ => FAILURE,
    }
}

fn of_mount(error: &MountError) -> u8 {
    let (MountError::Device(cause)
    | MountError::Refused(cause)
    | MountError::Mountpoint { source: cause, .. }) = error
    else {
        return FAILURE;
    };
    match (cause.kind(), error) {
        (std::io::ErrorKind::PermissionDenied, _) => USAGE,
        (std::io::ErrorKind::OutOfMemory, _) | (_, MountError::Device(_)) => SYSTEM,
        _ => FAILURE,
    }
}

/// What a supervisor or a worker ended with, if it is one of ours.
pub(super) fn passed_on(code: Option<i32>) -> u8 {
    let code = code.and_then(|code| u8::try_from(code).ok());
    code.filter(|code| [USAGE, SYSTEM, INTERNAL, INTERRUPTED].contains(code))
        .unwrap_or(FAILURE)
}

/// Does the work of `program`. A panic is told in one line, and has a status of
/// its own.
pub(super) fn guard(program: &str, work: impl FnOnce() -> ExitCode) -> ExitCode {
    let name = program.to_owned();
    std::panic::set_hook(Box::new(move |panic| tell(&name, panic)));
    catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|_| ExitCode::from(INTERNAL))
}

fn tell(program: &str, panic: &PanicHookInfo<'_>) {
    let what = panic.payload_as_str().unwrap_or("no message");
    let place = panic.location().map_or_else(String::new, |place| {
        format!(" at {}:{}", place.file(), place.line())
    });
    report::text(program, &format!("internal error{place}: {what}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::io;

    #[test]
    fn a_panic_has_a_status() {
        let status = guard("test", || std::panic::panic_any("a panic of a test"));
        assert_eq!(status, ExitCode::from(INTERNAL));
        let status = guard("test", || ExitCode::from(FAILURE));
        assert_eq!(status, ExitCode::from(FAILURE));
        let _ = std::panic::take_hook();
    }

    #[test]
    fn causes_have_statuses() {
        let mount = |error| of(&Failure::from(SupervisorError::Mount(error)));
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        assert_eq!(mount(MountError::Device(missing())), SYSTEM);
        assert_eq!(mount(MountError::Device(denied())), USAGE);
        assert_eq!(mount(MountError::Refused(denied())), USAGE);
        assert_eq!(mount(MountError::Refused(missing())), FAILURE);
        assert_eq!(mount(MountError::Silent(denied())), FAILURE);
        assert_eq!(of(&SupervisorError::Worker(missing()).into()), SYSTEM);
        assert_eq!(of(&"else".into()), FAILURE);
        assert_eq!(of_request(&OptionError::Remount.into()), FAILURE);
        assert_eq!(of_request(&"else".into()), USAGE);
        for (code, status) in [
            (4, INTERNAL),
            (101, FAILURE),
            (0, FAILURE),
            (8, INTERRUPTED),
        ] {
            assert_eq!(passed_on(Some(code)), status);
        }
        assert_eq!(passed_on(None), FAILURE);
    }
}
