//! Files that the kernel reads for a FUSE connection by itself.

use fuser::{BackingId, ReplyOpen};

/// A file that was given to the kernel before, under this number, for the connection on
/// which a request came. Whoever drops it has the kernel let go of the file.
#[allow(
    unsafe_code,
    reason = "only who gave the kernel a file knows whether the number is of one"
)]
pub fn given_before(request: &ReplyOpen, number: u32) -> BackingId {
    // SAFETY: no memory depends on it. The kernel looks each number up, and says
    // ENOENT where it has none (fs/fuse/backing.c).
    unsafe { request.wrap_backing(number) }
}
