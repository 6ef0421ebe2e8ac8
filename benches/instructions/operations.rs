//! What is counted.

use continuity::digest::Algorithm;

use super::requests::{Body, GETATTR, GETXATTR, Kernel, LOOKUP, READ, READDIRPLUS, read, u32_at};
use super::tree::{CHUNKED_SIZE, CHUNKS, WHOLE_SIZE, chunked};

/// One line of the table.
pub struct Operation {
    pub name: &'static str,
    /// Done so many times, and twice as many times.
    pub times: u64,
    pub what: What,
}

/// What is done.
pub enum What {
    /// Requests to a server; tells how many operations they were.
    Requests(fn(&mut Kernel, u64) -> u64),
    /// Hashing alone.
    Hash(Algorithm, u64),
}

pub const OPERATIONS: [Operation; 15] = [
    requests("GETATTR", 20_000, getattr),
    requests("LOOKUP", 20_000, lookup),
    requests("LOOKUP of a name that is not there", 20_000, lookup_nothing),
    requests("GETXATTR", 20_000, getxattr),
    requests("READDIRPLUS, each entry", 200, readdirplus),
    requests("READ of 4 KiB, at hand", 20_000, read_hit),
    requests("READ of a file of 4 KiB", 500, read_whole),
    requests(
        "READ of 4 KiB, chunk of 8 KiB, BLAKE3",
        2000,
        |kernel, times| read_chunks(kernel, times, Algorithm::Blake3, CHUNKS[0]),
    ),
    requests(
        "READ of 4 KiB, chunk of 128 KiB, BLAKE3",
        400,
        |kernel, times| read_chunks(kernel, times, Algorithm::Blake3, CHUNKS[1]),
    ),
    requests(
        "READ of 4 KiB, chunk of 128 KiB, SHA-256",
        50,
        |kernel, times| read_chunks(kernel, times, Algorithm::Sha256, CHUNKS[1]),
    ),
    hash("SHA-256 of 4 KiB alone", 500, Algorithm::Sha256, 4 << 10),
    hash("SHA-256 of 128 KiB alone", 50, Algorithm::Sha256, 128 << 10),
    hash("BLAKE3 of 8 KiB alone", 500, Algorithm::Blake3, 8 << 10),
    hash("BLAKE3 of 128 KiB alone", 100, Algorithm::Blake3, 128 << 10),
    hash("BLAKE3 of nothing", 20_000, Algorithm::Blake3, 0),
];

const fn requests(name: &'static str, times: u64, ask: fn(&mut Kernel, u64) -> u64) -> Operation {
    Operation {
        name,
        times,
        what: What::Requests(ask),
    }
}

const fn hash(name: &'static str, times: u64, algorithm: Algorithm, size: u64) -> Operation {
    Operation {
        name,
        times,
        what: What::Hash(algorithm, size),
    }
}

fn getattr(kernel: &mut Kernel, times: u64) -> u64 {
    let file = kernel.resolve("many/file-0500");
    for _ in 0..times {
        kernel.ok(GETATTR, file, Body::new().zeros(16));
    }
    times
}

/// In a directory of a thousand names.
fn lookup(kernel: &mut Kernel, times: u64) -> u64 {
    let directory = kernel.resolve("many");
    for number in 0..times {
        let name = format!("file-{:04}", number * 7 % 1000);
        kernel.ok(LOOKUP, directory, Body::new().name(&name));
    }
    times
}

fn lookup_nothing(kernel: &mut Kernel, times: u64) -> u64 {
    let directory = kernel.resolve("many");
    for number in 0..times {
        let name = format!("none-{:04}", number * 7 % 1000);
        kernel.ok(LOOKUP, directory, Body::new().name(&name));
    }
    times
}

fn getxattr(kernel: &mut Kernel, times: u64) -> u64 {
    let file = kernel.resolve("many/file-0500");
    for _ in 0..times {
        let body = Body::new().u32(64).u32(0).name("user.comment");
        assert_eq!(kernel.ok(GETXATTR, file, body), b"value");
    }
    times
}

/// Each reply is full; each entry has its part of what a request costs.
fn readdirplus(kernel: &mut Kernel, times: u64) -> u64 {
    let directory = kernel.resolve("many");
    let mut entries = 0;
    for _ in 0..times {
        let reply = kernel.ok(READDIRPLUS, directory, read(2, 32 << 10));
        // struct fuse_direntplus: an entry, and a name padded to 8 bytes.
        let mut at = 0;
        while at < reply.len() {
            let name = u32_at(&reply, at + 128 + 16) as usize;
            at += 128 + 24 + name.next_multiple_of(8);
            entries += 1;
        }
    }
    entries
}

/// A page of a file whose other page was read before.
fn read_hit(kernel: &mut Kernel, times: u64) -> u64 {
    let file = kernel.resolve("whole");
    for number in 0..times {
        let offset = 4096 + number * 4096 % (WHOLE_SIZE - 4096);
        assert_eq!(kernel.ok(READ, file, read(offset, 4096)).len(), 4096);
    }
    times
}

/// Opened, read, hashed by SHA-256, and replied.
fn read_whole(kernel: &mut Kernel, times: u64) -> u64 {
    let file = kernel.resolve("many/file-0500");
    for _ in 0..times {
        assert_eq!(kernel.ok(READ, file, read(0, 4096)).len(), 4096);
    }
    times
}

/// One page of each chunk, over and over: the cache of the server holds fewer
/// chunks than there are. The chunk is stored in the kernel then.
fn read_chunks(kernel: &mut Kernel, times: u64, algorithm: Algorithm, chunk: u64) -> u64 {
    let file = kernel.resolve(&chunked(algorithm, chunk));
    for number in 0..times {
        let offset = (number * chunk) % CHUNKED_SIZE + 4096;
        assert_eq!(kernel.ok(READ, file, read(offset, 4096)).len(), 4096);
    }
    times
}
