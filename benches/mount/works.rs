//! What is done on the tree itself, and on a mount of it.

use std::path::Path;
use std::time::Duration;

use crate::tree::{Part, SMALL_SIZE, Tree, Vouches};
use crate::{large, programs, small};

/// One kind of work.
pub struct Work {
    pub name: &'static str,
    pub vouches: Vouches,
    pub part: Part,
    /// Does it below a root, and tells how long it took.
    pub run: fn(&Tree, &Path) -> Duration,
    /// What it is held against, where that is not the same work on the tree
    /// itself.
    pub beside: Option<fn(&Tree, &Path) -> Duration>,
    /// How much it reads, where that says something.
    pub bytes: fn(&Tree) -> u64,
}

impl Work {
    /// Whether other filesystems do it too. It is the same for them, whatever
    /// our manifest says.
    pub fn is_for_peers(&self) -> bool {
        self.vouches == Vouches::Chunks && matches!(self.part, Part::Small | Part::Large)
    }

    pub fn native(&self, tree: &Tree) -> Duration {
        self.beside.unwrap_or(self.run)(tree, &tree.root)
    }
}

const fn nothing(_: &Tree) -> u64 {
    0
}

const fn small_bytes(tree: &Tree) -> u64 {
    tree.small.len() as u64 * SMALL_SIZE
}

const fn large_bytes(tree: &Tree) -> u64 {
    tree.large_size
}

const SMALL: Work = Work {
    name: "",
    vouches: Vouches::Chunks,
    part: Part::Small,
    run: small::stat_all,
    beside: None,
    bytes: nothing,
};

const LARGE: Work = Work {
    part: Part::Large,
    run: large::read,
    bytes: large_bytes,
    ..SMALL
};

pub const WORKS: [Work; 20] = [
    Work {
        name: "list all",
        run: small::list_all,
        ..SMALL
    },
    Work {
        name: "stat all",
        ..SMALL
    },
    Work {
        name: "`find -ls`",
        run: programs::find,
        ..SMALL
    },
    Work {
        name: "open and close all",
        run: small::open_all,
        ..SMALL
    },
    Work {
        name: "read all, found by walking",
        run: small::read_found,
        bytes: small_bytes,
        ..SMALL
    },
    Work {
        name: "`grep -r`",
        run: programs::grep,
        bytes: small_bytes,
        ..SMALL
    },
    Work {
        name: "`find \\| xargs cat`",
        run: programs::cat,
        bytes: small_bytes,
        ..SMALL
    },
    Work {
        name: "read all, from a list of paths",
        run: small::read_listed,
        bytes: small_bytes,
        ..SMALL
    },
    Work {
        name: "large file, chunks",
        ..LARGE
    },
    Work {
        name: "large file, SHA-256 chunks",
        vouches: Vouches::Sha256Chunks,
        ..LARGE
    },
    Work {
        name: "large file, one digest",
        vouches: Vouches::OneDigest,
        ..LARGE
    },
    Work {
        name: "large file, one digest, × hashing it once",
        vouches: Vouches::OneDigest,
        beside: Some(large::hash),
        ..LARGE
    },
    Work {
        name: "2 files, 2 readers, chunks",
        part: Part::Halves,
        run: large::read_halves,
        ..LARGE
    },
    Work {
        name: "2 files, 2 readers, SHA-256 chunks",
        vouches: Vouches::Sha256Chunks,
        part: Part::Halves,
        run: large::read_halves,
        ..LARGE
    },
    Work {
        name: "64 files, 64 readers, chunks",
        part: Part::Many,
        run: large::read_many,
        ..LARGE
    },
    Work {
        name: "64 files, 64 readers, one digest",
        vouches: Vouches::OneDigest,
        part: Part::Many,
        run: large::read_many,
        ..LARGE
    },
    Work {
        name: "2000 × 4 KiB at random, chunks",
        run: large::read_random,
        bytes: nothing,
        ..LARGE
    },
    Work {
        name: "2000 × 4 KiB at random, one digest",
        vouches: Vouches::OneDigest,
        run: large::read_random,
        bytes: nothing,
        ..LARGE
    },
    Work {
        name: "mapped, in order",
        run: programs::map_in_order,
        ..LARGE
    },
    Work {
        name: "mapped, 100,000 bytes at random",
        run: programs::map_at_random,
        bytes: nothing,
        ..LARGE
    },
];
