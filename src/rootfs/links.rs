//! Where symlinks lead.

use crate::inode::{Ino, Inode, InodeKind, InodeTable};

/// As many as the kernel follows (`MAXSYMLINKS` in `include/linux/namei.h`).
const LINKS_MAX: usize = 40;

/// A name on the way.
struct Step<'t> {
    name: &'t [u8],
    /// Whether the symlink in question says it, and not another one that it
    /// leads through, of which that is told.
    own: bool,
}

/// Whether a symlink goes up from the root. Inside, that leads nowhere else; a
/// program that follows it from outside leaves the tree. An absolute target
/// means the root inside, and every tool for images knows that.
pub(super) fn leave(table: &InodeTable, link: Inode<'_>, target: &[u8]) -> bool {
    let Some(root) = table.get(Ino::ROOT) else {
        return false;
    };
    let mut place = if target.starts_with(b"/") {
        root
    } else {
        link.parent()
    };
    // Names behind the last one that is there: they may be made some day.
    let mut beyond = 0_usize;
    let mut links = 0;
    // The next one last.
    let mut rest: Vec<_> = steps(target, true).collect();
    while let Some(Step { name, own }) = rest.pop() {
        match name {
            b"" | b"." => {}
            b".." if beyond > 0 => beyond -= 1,
            b".." if place.ino() == Ino::ROOT => {
                if own {
                    return true;
                }
            }
            b".." => place = place.parent(),
            _ if beyond > 0 => beyond += 1,
            _ => match table.lookup(place, name).map(|next| (next, next.kind())) {
                Some((next, InodeKind::Directory(_))) => place = next,
                Some((_, InodeKind::Symlink(through))) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return false;
                    }
                    if through.starts_with(b"/") {
                        place = root;
                    }
                    rest.extend(steps(through, false));
                }
                _ => beyond = 1,
            },
        }
    }
    false
}

/// From the last to the first.
fn steps(target: &[u8], own: bool) -> impl Iterator<Item = Step<'_>> {
    target
        .rsplit(|byte| *byte == b'/')
        .map(move |name| Step { name, own })
}
