//! Panics that end one operation and nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::fs::FsError;
use crate::sys::Errno;

/// Runs an operation; a panic in it becomes an error of this operation, and
/// ends neither its thread nor the mount. Where it was is on standard error,
/// which a mount in the background does not have; so it is in the log as well.
pub(super) fn guard<T>(operation: impl FnOnce() -> Result<T, FsError>) -> Result<T, Errno> {
    catch_unwind(AssertUnwindSafe(operation))
        .unwrap_or_else(|panic| {
            let message = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied());
            log::error!("event=panic {}", message.unwrap_or("of an unknown kind"));
            Err(FsError::Panicked)
        })
        .map_err(|error| error.errno())
}
