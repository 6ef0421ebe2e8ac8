//! Manifests that are made to cost much: reading them takes memory in proportion to
//! their size and no more, whatever is in them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod figures;

use std::fs;
use std::time::{Duration, Instant};

use continuity::inode::{InodeTable, RootOwner};
use continuity::manifest::Limits;

use figures::{Run, amount};

const MIB: u64 = 1 << 20;
/// A length-delimited field.
fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut field = varint(u64::from(number << 3 | 2));
    field.extend(varint(bytes.len() as u64));
    field.extend_from_slice(bytes);
    field
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A resource with a path, and what follows.
fn resource(path: &[u8], rest: &[u8]) -> Vec<u8> {
    // mode: 0644
    let parts = [&field(1, path), &[0x30, 0xa4, 0x03][..], rest].concat();
    field(1, &parts)
}

/// So many pieces that they have `size` bytes.
fn pieces(size: usize, mut piece: impl FnMut(u32) -> Vec<u8>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + 4096);
    for number in 0.. {
        if bytes.len() >= size {
            break;
        }
        bytes.extend(piece(number));
    }
    bytes
}

/// Names in the order of their bytes, as few as there can be.
fn name(number: u32) -> Vec<u8> {
    format!("/{number:07x}").into_bytes()
}

/// Numbers that are all different, in no order.
fn scattered(number: u32) -> u32 {
    number.wrapping_mul(0x9e37_79b1)
}

/// Four letters of sixty-two, and not in order.
fn short_name(number: u32) -> Vec<u8> {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let digits = [1, 62, 62 * 62, 62 * 62 * 62];
    let letters = digits.map(|digit| LETTERS[(number / digit % 62) as usize]);
    [&b"/"[..], &letters].concat()
}

/// One value of `/proc/self/status`, in bytes.
fn status(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    let value = line.split_whitespace().nth(1).unwrap();
    value.parse::<u64>().unwrap() * 1024
}

/// The most memory that this process has beside what it has already, in bytes.
fn measure(work: impl FnOnce()) -> u64 {
    let before = status("VmRSS");
    // VmHWM begins anew (proc_pid_clear_refs(5)).
    fs::write("/proc/self/clear_refs", "5").unwrap();
    work();
    status("VmHWM").saturating_sub(before)
}

type Bomb = (&'static str, fn(usize) -> Vec<u8>);

const BOMBS: [Bomb; 16] = [
    ("empty resources", |size| [0x0a, 0].repeat(size / 2)),
    ("small files", |size| {
        pieces(size, |number| resource(&name(number), &[]))
    }),
    ("smallest files", |size| {
        // No mode: a file that nobody may read.
        pieces(size, |number| field(1, &field(1, &short_name(number))))
    }),
    ("one name again and again", |size| {
        field(1, &field(1, b"/a")).repeat(size / 6)
    }),
    ("two names again and again", |size| {
        let two = [b"/a", b"/b"].map(|name| field(1, &field(1, name)));
        two.concat().repeat(size / 12)
    }),
    // With any shorter names there would be too many of them.
    ("as many names as may be", |size| {
        pieces(size, |number| {
            let name = format!("/{:0>41x}", scattered(number));
            field(1, &field(1, name.as_bytes()))
        })
    }),
    ("as many directories as may be", |size| {
        pieces(size, |number| {
            let name = format!("/{:0>88x}/a", scattered(number));
            field(1, &field(1, name.as_bytes()))
        })
    }),
    ("directories through which paths lead", |size| {
        pieces(size, |number| {
            resource(&[&name(number)[..], b"/a"].concat(), &[])
        })
    }),
    ("empty directories", |size| {
        pieces(size, |number| {
            // mode: ModeDir | 0755
            let parts = [
                &field(1, &name(number))[..],
                &[0x30, 0xed, 0x83, 0x80, 0x80, 0x08],
            ];
            field(1, &parts.concat())
        })
    }),
    ("names of one file", |size| {
        let paths = pieces(size, |number| field(1, &name(number)));
        field(1, &[&paths[..], &[0x30, 0xa4, 0x03]].concat())
    }),
    ("extended attributes", |size| {
        let xattrs = pieces(size, |number| field(12, &field(1, &name(number))));
        resource(b"/f", &xattrs)
    }),
    ("empty attributes", |size| {
        resource(b"/f", &[0x62, 0].repeat(size / 2))
    }),
    ("digests", |size| {
        let digest = format!("sha256:{}", "0".repeat(64));
        resource(b"/f", &pieces(size, |_| field(8, digest.as_bytes())))
    }),
    ("one long path", |size| {
        resource(&[b"/"[0], b'a'].repeat(size / 2), &[])
    }),
    ("deep paths", |size| {
        let deep = "/a".repeat(2000);
        pieces(size, |number| {
            resource(format!("{deep}/{number:07x}").as_bytes(), &[])
        })
    }),
    ("unknown groups", |size| {
        resource(
            b"/f",
            &[[0x83, 0x7d], [0x84, 0x7d]].concat().repeat(size / 4),
        )
    }),
];

#[test]
fn memory_follows_from_the_size() {
    let run = Run::begin("manifests made to cost much, in process");
    let size = amount(64 * MIB, 2 * MIB) as usize;
    let mut slowest = (Duration::ZERO, "");
    let mut largest = (0.0, "");
    for (kind, make) in BOMBS {
        let bomb = make(size);
        let begin = Instant::now();
        let mut inodes = 0;
        let used = measure(|| {
            let limits = Limits::default();
            let built = InodeTable::build(&bomb, &limits, RootOwner::default());
            inodes = built.map_or(0, |table| table.statistics().inodes);
        });
        let took = begin.elapsed();
        let (input, memory) = (bomb.len() as u64, used + bomb.len() as u64);
        // The manifest itself is in it.
        assert!(
            memory <= 64 * MIB + 4 * input,
            "{kind}: {memory} bytes of memory for {input}"
        );
        slowest = slowest.max((took, kind));
        let ratio = memory as f64 / input as f64;
        if ratio > largest.0 {
            largest = (ratio, kind);
        }
        println!(
            "{kind}: {:.2} s, {ratio:.2} x its {} MiB, {inodes} inodes",
            took.as_secs_f64(),
            input / MIB
        );
    }
    run.tell(format!(
        "{} kinds of {} MiB: at most {:.2} s ({}), {:.2} x the input ({})",
        BOMBS.len(),
        size as u64 / MIB,
        slowest.0.as_secs_f64(),
        slowest.1,
        largest.0,
        largest.1
    ));
}
