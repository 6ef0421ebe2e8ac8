//! What the kernel is asked to do for this mount, and what it can.

use fuser::{InitFlags, KernelConfig};

/// Largest read that the kernel may ask for, in bytes.
const MAX_READ: u32 = 1 << 20;
/// How many reads ahead of a reader may be under way, of all readers together. The
/// kernel reads in no other way unless the reader says so (`O_DIRECT`), and holds up
/// everybody when there are more, also those whose source is not stuck.
const MAX_BACKGROUND: u16 = 4096;
/// How many may be under way before the kernel no longer reads far ahead.
const CONGESTION_THRESHOLD: u16 = MAX_BACKGROUND / 4 * 3;

/// What the kernel should do, where it can.
const WISHES: [InitFlags; 6] = [
    // Attributes come with the names of a directory.
    InitFlags::FUSE_DO_READDIRPLUS,
    InitFlags::FUSE_PARALLEL_DIROPS,
    InitFlags::FUSE_CACHE_SYMLINKS,
    // The kernel enforces ACLs, and keeps them.
    InitFlags::FUSE_POSIX_ACL,
    // Pages are kept until we say otherwise, which we never do.
    InitFlags::FUSE_EXPLICIT_INVAL_DATA,
    // Mounts of this mount may map owners.
    InitFlags::FUSE_ALLOW_IDMAP,
];

/// What the kernel does.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Agreed {
    /// Whether it opens files without asking, once it was told to.
    pub opens_itself: bool,
    /// The same of directories.
    pub opens_directories_itself: bool,
    /// Whether it reads private copies by itself, if there are any.
    pub reads_copies: bool,
}

/// Answers the first message of the kernel.
pub(super) fn agree(config: &mut KernelConfig, has_copies: bool) -> Agreed {
    for wish in WISHES {
        // Without it things are slower, not wrong.
        let _ = config.add_capabilities(wish);
    }
    // fuser asks for reads as large as writes may be.
    let _ = config.set_max_write(MAX_READ);
    let _ = config.set_max_background(MAX_BACKGROUND);
    let _ = config.set_congestion_threshold(CONGESTION_THRESHOLD);
    let can = config.capabilities();
    Agreed {
        opens_itself: can.contains(InitFlags::FUSE_NO_OPEN_SUPPORT),
        opens_directories_itself: can.contains(InitFlags::FUSE_NO_OPENDIR_SUPPORT),
        reads_copies: has_copies && agree_on_copies(config),
    }
}

/// One more filesystem, such as overlayfs, can be on top of this one then, and none
/// below the copies (fs/fuse/passthrough.c).
fn agree_on_copies(config: &mut KernelConfig) -> bool {
    let wished = config.add_capabilities(InitFlags::FUSE_PASSTHROUGH);
    let agreed = wished.is_ok() && config.set_max_stack_depth(1).is_ok();
    if !agreed {
        log::warn!("event=copies_off the kernel reads no private copies (Linux 6.9 does)");
    }
    agreed
}
