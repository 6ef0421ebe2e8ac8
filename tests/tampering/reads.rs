//! Reads, and what must come of them.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use rustix::fs::Advice;

use crate::mounted::{Mount, in_time};
use crate::scene::Scene;
use crate::{EIO, PAGE};

/// Makes the kernel forget the pages of a file.
pub fn forget(file: &File) {
    rustix::fs::fadvise(file, 0, None, Advice::DontNeed).unwrap();
}

/// Reads a range, and holds it against what is declared: whether it was given,
/// or refused. Anything else fails.
pub fn is_given(name: &str, file: &File, declared: &[u8], offset: u64, length: u64) -> bool {
    let wanted = &declared[offset as usize..declared.len().min((offset + length) as usize)];
    let mut found = vec![0; length as usize];
    match in_time(name, || file.read_at(&mut found, offset)) {
        // The first of these pages may be given without the others.
        Ok(count) => {
            assert!(count > 0, "{name}: nothing at {offset}");
            assert!(
                found[..count] == wanted[..count],
                "{name}: wrong bytes at {offset}"
            );
            count == wanted.len()
        }
        Err(error) => {
            assert_eq!(
                error.raw_os_error(),
                Some(EIO),
                "{name}: at {offset}: {error}"
            );
            false
        }
    }
}

/// Reads some pages and longer pieces; whether all of them were given.
pub fn are_given(name: &str, file: &File, declared: &[u8]) -> bool {
    let size = declared.len() as u64;
    let last = (size - 1) / PAGE * PAGE;
    let ranges = [
        (last, PAGE),
        (0, PAGE),
        (size / 2 / PAGE * PAGE, PAGE),
        (0, 1 << 17),
        (0, size + 1),
    ];
    let mut all = true;
    for (offset, length) in ranges {
        all &= is_given(name, file, declared, offset, length);
    }
    all
}

pub fn assert_reads_again(name: &str, scene: &Scene, mount: &Mount) {
    scene.repair();
    let content = in_time(name, || fs::read(mount.join("dir/file"))).unwrap();
    assert!(content == scene.declared, "{name}: not repaired");
}

/// The line in the log that names the file and the reason.
pub fn assert_logged(name: &str, mount: &Mount, reason: &str) {
    let wanted = format!("event=refused reason={reason} path=\"/dir/file\" ino=");
    mount.wait_for(&wanted);
    let log = mount.log();
    let line = log.lines().find(|line| line.contains(&wanted)).unwrap();
    let tells = match reason {
        "digest_mismatch" if line.contains("want=blake3:") => [" want=blake3:", " got=blake3:"],
        "digest_mismatch" => [" want=sha256:", " got=sha256:"],
        "size_mismatch" => ["want=", "got="],
        _ => ["len=", "error=\""],
    };
    for part in tells {
        assert!(line.contains(part), "{name}: no {part} in {line}");
    }
}
