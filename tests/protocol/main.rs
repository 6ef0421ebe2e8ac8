//! The FUSE protocol without a mount: messages made by hand go in, and what
//! comes out is looked at byte by byte.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod filesystem;
mod panics;
#[path = "../requests/mod.rs"]
mod requests;

use std::collections::BTreeMap;

use continuity::source::MemorySource;
use requests::{
    BATCH_FORGET, Body, FORGET, GETATTR, GETXATTR, INTERRUPT, Kernel, LISTXATTR, LOOKUP, OPEN,
    OPENDIR, READ, READDIR, READDIRPLUS, READLINK, ROOT, STATFS, read, u16_at, u32_at, u64_at,
};
use rustix::io::Errno;

use filesystem::{MANY, MIB, big, filesystem, kernel, name};

const FUSE_DO_READDIRPLUS: u64 = 1 << 13;
const FUSE_NO_OPEN_SUPPORT: u64 = 1 << 17;
const FUSE_PARALLEL_DIROPS: u64 = 1 << 18;
const FUSE_POSIX_ACL: u64 = 1 << 20;
const FUSE_MAX_PAGES: u64 = 1 << 22;
const FUSE_CACHE_SYMLINKS: u64 = 1 << 23;
const FUSE_NO_OPENDIR_SUPPORT: u64 = 1 << 24;
const FUSE_EXPLICIT_INVAL_DATA: u64 = 1 << 25;
const FUSE_WRITEBACK_CACHE: u64 = 1 << 16;
const FUSE_ALLOW_IDMAP: u64 = 1 << 40;

/// `struct fuse_attr` from the place where it stands.
fn attr(bytes: &[u8], at: usize) -> BTreeMap<&'static str, u64> {
    let wide = ["ino", "size", "blocks", "atime", "mtime", "ctime"];
    let narrow = [
        "atimensec",
        "mtimensec",
        "ctimensec",
        "mode",
        "nlink",
        "uid",
        "gid",
        "rdev",
        "blksize",
    ];
    let wide = (at..).step_by(8).zip(wide);
    let narrow = (at + 48..).step_by(4).zip(narrow);
    wide.map(|(at, name)| (name, u64_at(bytes, at)))
        .chain(narrow.map(|(at, name)| (name, u64::from(u32_at(bytes, at)))))
        .collect()
}

#[test]
fn init_asks_for_what_makes_it_fast_and_right() {
    let kernel = kernel();
    let init = &kernel.init;
    assert_eq!(init.len(), 64);
    assert_eq!(u32_at(init, 0), 7);
    let flags = u64::from(u32_at(init, 12)) | u64::from(u32_at(init, 32)) << 32;
    for (name, flag) in [
        ("DO_READDIRPLUS", FUSE_DO_READDIRPLUS),
        ("PARALLEL_DIROPS", FUSE_PARALLEL_DIROPS),
        ("POSIX_ACL", FUSE_POSIX_ACL),
        ("MAX_PAGES", FUSE_MAX_PAGES),
        ("CACHE_SYMLINKS", FUSE_CACHE_SYMLINKS),
        ("EXPLICIT_INVAL_DATA", FUSE_EXPLICIT_INVAL_DATA),
        ("ALLOW_IDMAP", FUSE_ALLOW_IDMAP),
    ] {
        assert_ne!(flags & flag, 0, "{name}");
    }
    // Pages that were written would be served as if they had been checked.
    assert_eq!(flags & FUSE_WRITEBACK_CACHE, 0);
    assert_eq!(u32_at(init, 20), 1 << 20, "max_write");
    assert_eq!(u16_at(init, 28), 256, "max_pages");
    assert_eq!(u16_at(init, 16), 4096, "max_background");
    assert_eq!(u16_at(init, 18), 3072, "congestion_threshold");
    kernel.destroy().unwrap();
}

#[test]
fn a_kernel_that_can_do_nothing_is_asked_for_nothing() {
    let mut kernel = Kernel::new(filesystem(MemorySource::default()), 0);
    assert_eq!(u32_at(&kernel.init, 12), 0);
    assert_eq!(u32_at(&kernel.init, 32), 0);
    // It would take ENOSYS for a failure.
    let file = kernel.resolve("file");
    const FOPEN_KEEP_CACHE: u32 = 1 << 1;
    for (opcode, node) in [(OPEN, file), (OPENDIR, ROOT)] {
        let opened = kernel.ok(opcode, node, Body::new().zeros(8));
        assert_ne!(u32_at(&opened, 8) & FOPEN_KEEP_CACHE, 0);
    }
    kernel.destroy().unwrap();
}

#[test]
fn lookup_tells_everything_for_ever() {
    let mut kernel = kernel();
    let entry = kernel.ok(LOOKUP, ROOT, Body::new().name("file"));
    assert_eq!(entry.len(), 128);
    assert!(u64_at(&entry, 0) > ROOT);
    let year = 365 * 24 * 3600;
    assert!(u64_at(&entry, 16) > year && u64_at(&entry, 24) > year);
    let attr = attr(&entry, 40);
    for (name, value) in [
        ("ino", u64_at(&entry, 0)),
        ("size", 12),
        ("blocks", 1),
        ("mtime", 1_600_000_000),
        ("mtimensec", 123_456_789),
        ("ctime", 1_600_000_000),
        ("mode", 0o100_640),
        ("nlink", 1),
        ("uid", 1000),
        ("gid", 2000),
        ("rdev", 0),
        ("blksize", 4096),
    ] {
        assert_eq!(attr[name], value, "{name}");
    }

    // That there is nothing is told, and kept, like anything else.
    let nothing = kernel.ok(LOOKUP, ROOT, Body::new().name("nothing"));
    assert_eq!(u64_at(&nothing, 0), 0);
    assert!(u64_at(&nothing, 16) > year);

    let file = u64_at(&entry, 0);
    let long = "n".repeat(256);
    for (node, name, errno) in [
        (file, "x", Errno::NOTDIR),
        (ROOT, &*long, Errno::NAMETOOLONG),
        (1 << 40, "x", Errno::STALE),
        (0, "x", Errno::STALE),
    ] {
        assert_eq!(kernel.error(LOOKUP, node, Body::new().name(name)), errno);
    }
    kernel.destroy().unwrap();
}

#[test]
fn getattr() {
    let mut kernel = kernel();
    let body = || Body::new().zeros(16);
    let root = kernel.ok(GETATTR, ROOT, body());
    let root = attr(&root, 16);
    assert_eq!((root["ino"], root["mode"]), (ROOT, 0o040_755));
    assert_eq!((root["nlink"], root["uid"], root["gid"]), (3, 5, 6));
    let null = kernel.resolve("null");
    let null = kernel.ok(GETATTR, null, body());
    assert_eq!(attr(&null, 16)["rdev"], 0x103);
    for node in [0, 1 << 32, u64::MAX] {
        assert_eq!(kernel.error(GETATTR, node, body()), Errno::STALE);
    }
    kernel.destroy().unwrap();
}

#[test]
fn reads_are_whole_or_refused() {
    let mut kernel = kernel();
    let big_bytes = big();
    let [big, bad_chunk, file, bad, empty, dir, link] =
        ["big", "bad-chunk", "file", "bad", "empty", "dir", "link"]
            .map(|name| kernel.resolve(name));
    let mib = MIB as u64;
    for (offset, size) in [
        (0, 1 << 20),
        (1, 1 << 20),
        (mib - 1, 2),
        (4096, 4096),
        (2 * mib + 100, 1 << 20),
        // At the end, and beyond it.
        (3 * mib, 4096),
        (3 * mib + 4, 1),
        (3 * mib + 5, 4096),
        (1 << 50, 4096),
        (7, 0),
    ] {
        let got = kernel.ok(READ, big, read(offset, size));
        let start = big_bytes.len().min(offset as usize);
        let end = big_bytes.len().min(start + size as usize);
        assert!(got == big_bytes[start..end], "{offset} {size}");
    }
    assert_eq!(kernel.ok(READ, file, read(7, 4096)), b"world");
    assert_eq!(kernel.ok(READ, empty, read(0, 4096)), b"");

    // Whatever touches a bad byte's block fails as a whole.
    for (offset, size, refused) in [
        (0, 1 << 20, false),
        (mib - 1, 1, false),
        (mib - 1, 2, true),
        (mib / 2, 1 << 20, true),
        (mib, 4096, true),
        (2 * mib - 4096, 4096, true),
        (2 * mib - 4096, 8192, true),
        (2 * mib, 1 << 20, false),
    ] {
        let reply = kernel.call(READ, bad_chunk, read(offset, size));
        if refused {
            assert_eq!(reply.error, -Errno::IO.raw_os_error(), "{offset} {size}");
        } else {
            let start = offset as usize;
            assert_eq!(reply.error, 0);
            assert!(reply.body == big_bytes[start..start + size as usize]);
        }
    }
    for (node, errno) in [
        (bad, Errno::IO),
        (dir, Errno::ISDIR),
        (ROOT, Errno::ISDIR),
        (link, Errno::INVAL),
        (1 << 40, Errno::STALE),
    ] {
        assert_eq!(kernel.error(READ, node, read(0, 4096)), errno);
    }
    // An offset that no file has.
    let reply = kernel.call(READ, file, read(u64::MAX, 4096));
    assert!(reply.error != 0 || reply.body.is_empty());
    kernel.destroy().unwrap();
}

/// All entries of a directory, read by steps of `size` bytes: name, inode
/// number, and the kind as in `d_type`. `plus` is how much stands before each.
fn list(kernel: &mut Kernel, node: u64, opcode: u32, size: u32) -> Vec<(String, u64, u32)> {
    let plus = if opcode == READDIRPLUS { 128 } else { 0 };
    let mut entries = Vec::new();
    let mut offset = 0;
    loop {
        let part = kernel.ok(opcode, node, read(offset, size));
        assert!(part.len() <= size as usize);
        if part.is_empty() {
            return entries;
        }
        let mut rest = &part[..];
        while !rest.is_empty() {
            let dirent = &rest[plus..];
            let (ino, next) = (u64_at(dirent, 0), u64_at(dirent, 8));
            let (length, kind) = (u32_at(dirent, 16) as usize, u32_at(dirent, 20));
            let name = String::from_utf8(dirent[24..24 + length].to_vec()).unwrap();
            if plus > 0 && name != "." && name != ".." {
                assert_eq!(u64_at(rest, 0), ino);
                assert_eq!(attr(rest, 40)["mode"] >> 12, u64::from(kind));
            }
            assert_ne!(next, offset);
            offset = next;
            entries.push((name, ino, kind));
            rest = &rest[plus + (24 + length).next_multiple_of(8)..];
        }
    }
}

#[test]
fn directories_come_whole_in_steps_of_any_size() {
    let mut kernel = kernel();
    let dir = kernel.resolve("dir");
    let mut wanted = vec![(".".to_owned(), dir, 4), ("..".to_owned(), ROOT, 4)];
    for number in 0..MANY {
        let name = name(number);
        let ino = kernel.resolve(&format!("dir/{name}"));
        wanted.push((name, ino, 8));
    }
    for (opcode, sizes) in [
        (READDIR, [72, 100, 333, 4096, 1 << 20]),
        (READDIRPLUS, [200, 250, 555, 4096, 1 << 20]),
    ] {
        for size in sizes {
            assert_eq!(list(&mut kernel, dir, opcode, size), wanted);
        }
        // Going on at any entry gives those behind it.
        let behind = kernel.ok(READDIR, dir, read(MANY as u64 + 1, 4096));
        assert!(behind[24..].starts_with(wanted[MANY + 1].0.as_bytes()));
        for offset in [MANY as u64 + 2, 1 << 40, i64::MAX as u64] {
            assert_eq!(kernel.ok(opcode, dir, read(offset, 4096)), b"");
        }
    }
    let root = list(&mut kernel, ROOT, READDIR, 4096);
    let kinds: Vec<_> = root
        .iter()
        .map(|(name, _, kind)| (&**name, *kind))
        .collect();
    assert_eq!(
        kinds,
        [
            (".", 4),
            ("..", 4),
            ("bad", 8),
            ("bad-chunk", 8),
            ("big", 8),
            ("dir", 4),
            ("empty", 8),
            ("file", 8),
            ("large", 8),
            ("link", 10),
            ("null", 2)
        ]
    );
    let file = kernel.resolve("file");
    for opcode in [READDIR, READDIRPLUS] {
        assert_eq!(kernel.error(opcode, file, read(0, 4096)), Errno::NOTDIR);
    }
    kernel.destroy().unwrap();
}

#[test]
fn attributes() {
    let mut kernel = kernel();
    let file = kernel.resolve("file");
    let get = |size: u32, name: &str| Body::new().u32(size).u32(0).name(name);
    let comment = |size| get(size, "user.comment");
    let length = kernel.ok(GETXATTR, file, comment(0));
    assert_eq!((length.len(), u32_at(&length, 0)), (8, 5));
    assert_eq!(kernel.error(GETXATTR, file, comment(4)), Errno::RANGE);
    for size in [5, 6, 65536] {
        assert_eq!(kernel.ok(GETXATTR, file, comment(size)), b"value");
    }
    assert_eq!(
        kernel.ok(GETXATTR, file, get(64, "trusted.overlay.opaque")),
        b"value"
    );
    for size in [0, 64] {
        assert_eq!(
            kernel.error(GETXATTR, file, get(size, "user.none")),
            Errno::NODATA
        );
        assert_eq!(kernel.error(GETXATTR, ROOT, comment(size)), Errno::NODATA);
    }

    let names = b"trusted.overlay.opaque\0user.comment\0";
    let list = |size: u32| Body::new().u32(size).u32(0);
    let length = kernel.ok(LISTXATTR, file, list(0));
    assert_eq!(u32_at(&length, 0) as usize, names.len());
    assert_eq!(kernel.error(LISTXATTR, file, list(1)), Errno::RANGE);
    for size in [names.len() as u32, 65536] {
        assert_eq!(kernel.ok(LISTXATTR, file, list(size)), names);
    }
    assert_eq!(kernel.ok(LISTXATTR, ROOT, list(64)), b"");
    kernel.destroy().unwrap();
}

#[test]
fn readlink_and_statfs() {
    let mut kernel = kernel();
    let (link, file) = (kernel.resolve("link"), kernel.resolve("file"));
    assert_eq!(kernel.ok(READLINK, link, Body::new()), b"file");
    assert_eq!(kernel.error(READLINK, file, Body::new()), Errno::INVAL);

    let statfs = kernel.ok(STATFS, ROOT, Body::new());
    assert_eq!(statfs.len(), 80);
    let bytes = 3 * big().len() as u64 + 24;
    assert_eq!(u64_at(&statfs, 0), bytes.div_ceil(4096), "blocks");
    assert_eq!(u64_at(&statfs, 8), 0, "bfree");
    assert_eq!(u64_at(&statfs, 16), 0, "bavail");
    assert_eq!(u64_at(&statfs, 24), MANY as u64 + 10, "files");
    assert_eq!(u64_at(&statfs, 32), 0, "ffree");
    assert_eq!(u32_at(&statfs, 40), 4096, "bsize");
    assert_eq!(u32_at(&statfs, 44), 255, "namelen");
    assert_eq!(u32_at(&statfs, 48), 4096, "frsize");
    kernel.destroy().unwrap();
}

#[test]
fn the_kernel_opens_without_asking_again() {
    const O_WRONLY: u32 = 1;
    const O_RDWR: u32 = 2;
    let can = FUSE_NO_OPEN_SUPPORT | FUSE_NO_OPENDIR_SUPPORT;
    let mut kernel = Kernel::new(filesystem(MemorySource::default()), can);
    let file = kernel.resolve("file");
    let open = |flags: u32| Body::new().u32(flags).u32(0);
    // First, since the kernel would ask no more behind the first ENOSYS.
    for flags in [O_WRONLY, O_RDWR] {
        assert_eq!(kernel.error(OPEN, file, open(flags)), Errno::ROFS);
    }
    assert_eq!(kernel.error(OPEN, file, open(0)), Errno::NOSYS);
    assert_eq!(kernel.error(OPENDIR, ROOT, open(0)), Errno::NOSYS);
    kernel.destroy().unwrap();
}

#[test]
fn every_change_is_refused() {
    use requests::{
        COPY_FILE_RANGE, CREATE, FALLOCATE, LINK, MKDIR, MKNOD, REMOVEXATTR, RENAME, RENAME2,
        RMDIR, SETATTR, SETXATTR, SYMLINK, UNLINK, WRITE,
    };
    let mut kernel = kernel();
    let (file, dir) = (kernel.resolve("file"), kernel.resolve("dir"));
    let new = |zeros: usize| Body::new().zeros(zeros).name("new");
    let write = || {
        let body = Body::new().zeros(16).u32(3).zeros(20);
        body.bytes(b"abc")
    };
    for (opcode, node, body) in [
        (SETATTR, file, Body::new().zeros(88)),
        (SETATTR, file, Body::new().u32(1).zeros(84)),
        (MKNOD, ROOT, new(16)),
        (MKDIR, ROOT, new(8)),
        (UNLINK, ROOT, Body::new().name("file")),
        (RMDIR, ROOT, Body::new().name("dir")),
        (SYMLINK, ROOT, Body::new().name("new").name("target")),
        (RENAME, ROOT, Body::new().u64(dir).name("file").name("new")),
        (
            RENAME2,
            ROOT,
            Body::new().u64(dir).zeros(8).name("file").name("new"),
        ),
        (LINK, ROOT, Body::new().u64(file).name("new")),
        (WRITE, file, write()),
        (
            SETXATTR,
            file,
            Body::new().u32(1).u32(0).name("user.k").bytes(b"v"),
        ),
        (REMOVEXATTR, file, Body::new().name("user.comment")),
        (CREATE, ROOT, new(16)),
        (FALLOCATE, file, Body::new().zeros(32)),
        (
            COPY_FILE_RANGE,
            file,
            Body::new().zeros(16).u64(file).zeros(32),
        ),
    ] {
        assert_eq!(kernel.error(opcode, node, body), Errno::ROFS, "{opcode}");
    }
    assert_eq!(kernel.ok(READ, file, read(0, 4096)), b"hello, world");
    kernel.destroy().unwrap();
}

#[test]
fn the_rest_of_the_protocol() {
    use requests::{ACCESS, FLUSH, FSYNC, LSEEK, RELEASE, RELEASEDIR, STATX, SYNCFS, TMPFILE};
    let mut kernel = kernel();
    let file = kernel.resolve("file");
    // Nobody waits for an answer to these.
    kernel.send(FORGET, file, Body::new().u64(1));
    kernel.send(
        BATCH_FORGET,
        0,
        Body::new().u32(2).u32(0).u64(file).u64(1).u64(ROOT).u64(1),
    );
    // Forgotten is not gone: numbers are derived from the manifest.
    assert_eq!(kernel.ok(READ, file, read(0, 5)), b"hello");

    // The kernel stops sending what is answered so.
    let interrupt = Body::new().u64(2);
    assert_eq!(kernel.error(INTERRUPT, 0, interrupt), Errno::NOSYS);
    for (opcode, zeros) in [
        (FLUSH, 24),
        (FSYNC, 16),
        (LSEEK, 24),
        (STATX, 24),
        (SYNCFS, 8),
        (9999, 0),
    ] {
        let body = Body::new().zeros(zeros);
        assert_eq!(kernel.error(opcode, file, body), Errno::NOSYS, "{opcode}");
    }
    // It would make a file, and is not known either.
    let tmpfile = kernel.error(TMPFILE, ROOT, Body::new().zeros(16).name("/"));
    assert!([Errno::NOSYS, Errno::ROFS].contains(&tmpfile));
    kernel.ok(RELEASE, file, Body::new().zeros(24));
    kernel.ok(RELEASEDIR, ROOT, Body::new().zeros(24));
    let access = |mask: u32| Body::new().u32(mask).u32(0);
    kernel.ok(ACCESS, file, access(4));
    assert_eq!(kernel.error(ACCESS, file, access(2)), Errno::ROFS);
    kernel.destroy().unwrap();
}
