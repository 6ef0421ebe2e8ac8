//! Content comes out of a mount the same by every call that reads.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod mounted;
mod tree;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use mounted::{Mount, run};
use tempfile::TempDir;
use tree::{build, scratch, sh};

/// Bytes that repeat nowhere, of a size.
fn bytes(size: usize) -> Vec<u8> {
    let mut state = size as u64 | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(&mut next)
        .take(size.div_ceil(8))
        .flatten()
        .collect();
    bytes.truncate(size);
    bytes
}

/// Files that are checked in each of the ways that there are: as a whole, by
/// the chunks that are declared, and (of 3 MiB) by a private table.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let mut sparse = vec![0; (2 << 20) + 4096];
    sparse.push(b'!');
    vec![
        ("empty", Vec::new()),
        ("one", bytes(1)),
        ("b4095", bytes(4095)),
        ("b4096", bytes(4096)),
        ("b4097", bytes(4097)),
        ("b131073", bytes(131_073)),
        ("private", bytes((3 << 20) + 17)),
        ("chunked", bytes((5 << 20) + 4099)),
        ("sparse", sparse),
    ]
}

fn mount(scratch: &TempDir) -> (PathBuf, Mount) {
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).unwrap();
    for (name, content) in files() {
        fs::write(tree.join(name), content).unwrap();
    }
    sh(&tree, "fallocate --dig-holes sparse");
    let manifest = build(scratch, &tree, &[]);
    let mount = Mount::new(&manifest, &tree);
    (tree, mount)
}

fn python(script: &str, arguments: &[&Path]) -> String {
    let script = ["-c".as_ref(), Path::new(script)];
    run("python3", script.iter().chain(arguments))
}

#[test]
fn read_whole_and_in_parts() {
    let scratch = scratch();
    let (_, mount) = mount(&scratch);
    for (name, content) in files() {
        let file = File::open(mount.join(name)).unwrap();
        // Backwards first, so that nothing was read ahead.
        for step in [65_537, 4096] {
            for start in (0..content.len()).step_by(step).rev() {
                let mut part = vec![0; step.min(content.len() - start)];
                file.read_exact_at(&mut part, start as u64).unwrap();
                assert!(part == content[start..start + part.len()], "{name} {start}");
            }
        }
        assert!(fs::read(mount.join(name)).unwrap() == content, "{name}");
        let end = content.len() as u64;
        for offset in [end, end + 1, end + 4096, 1 << 40] {
            assert_eq!(file.read_at(&mut [0; 10], offset).unwrap(), 0);
        }
    }
    assert!(mount.unmount().success());
}

#[test]
fn eight_threads_share_one_descriptor() {
    let scratch = scratch();
    let (_, mount) = mount(&scratch);
    for (name, content) in files() {
        if content.len() < 1 << 20 {
            continue;
        }
        let file = File::open(mount.join(name)).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8_u64 {
                let (file, content) = (&file, &content);
                scope.spawn(move || {
                    let mut state = thread + 1;
                    for _ in 0..200 {
                        state = state
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1);
                        let start = (state >> 33) as usize % content.len();
                        let length = 1 + (state >> 20) as usize % 40_000;
                        let mut part = vec![0; length.min(content.len() - start)];
                        file.read_exact_at(&mut part, start as u64).unwrap();
                        assert!(part == content[start..start + part.len()]);
                    }
                });
            }
        });
    }
    assert!(mount.unmount().success());
}

#[test]
fn mapped() {
    let scratch = scratch();
    let (tree, mount) = mount(&scratch);
    let script = "
import mmap, os, sys
tree, mount = sys.argv[1:]
for name in sorted(os.listdir(tree)):
    wanted = open(os.path.join(tree, name), 'rb').read()
    if not wanted: continue
    with open(os.path.join(mount, name), 'rb') as f:
        m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
        for at in range(len(wanted) - 1, 0, -99991):
            assert m[at] == wanted[at], (name, at)
        assert m[:] == wanted, name
        p = mmap.mmap(f.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        p[0] = p[0] ^ 1
        assert m[:] == wanted, name
        try:
            mmap.mmap(f.fileno(), 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_WRITE)
        except PermissionError:
            print('refused')
";
    let refused = python(script, &[&tree, mount.path()]);
    assert_eq!(refused.lines().count(), files().len() - 1);
    assert!(mount.unmount().success());
}

#[test]
fn spliced_into_pipes_and_sent_to_sockets() {
    let scratch = scratch();
    let (tree, mount) = mount(&scratch);
    let script = "
import os, socket, sys, threading
tree, mount = sys.argv[1:]

def drain(read, got):
    while part := read(1 << 16):
        got.append(part)

def through(name, send, a, b):
    got = []
    reader = threading.Thread(target=drain, args=(lambda n: os.read(b, n), got))
    reader.start()
    with open(os.path.join(mount, name), 'rb') as f:
        while send(f.fileno(), a):
            pass
    os.close(a)
    reader.join()
    os.close(b)
    return b''.join(got)

for name in sorted(os.listdir(tree)):
    wanted = open(os.path.join(tree, name), 'rb').read()
    r, w = os.pipe()
    assert through(name, lambda f, to: os.splice(f, to, 1 << 20), w, r) == wanted, 'splice ' + name
    a, b = (s.detach() for s in socket.socketpair())
    assert through(name, lambda f, to: os.sendfile(to, f, None, 1 << 20), a, b) == wanted, 'sendfile ' + name
print('all')
";
    assert_eq!(python(script, &[&tree, mount.path()]), "all\n");
    assert!(mount.unmount().success());
}

#[test]
fn by_dd_and_cp() {
    let scratch = scratch();
    let (tree, mount) = mount(&scratch);
    let copy = scratch.path().join("copy");
    for (name, content) in files() {
        for block in ["4096", "1M"] {
            let arguments = [
                format!("if={}", mount.join(name).display()),
                format!("of={}", copy.display()),
                format!("bs={block}"),
                "iflag=direct".to_owned(),
                "status=none".to_owned(),
            ];
            run("dd", arguments);
            assert!(fs::read(&copy).unwrap() == content, "{name} {block}");
        }
        for option in ["--reflink=never", "--reflink=auto", "--sparse=always"] {
            let (from, to) = (mount.join(name), copy.to_str().unwrap());
            run("cp", [option, from.to_str().unwrap(), to]);
            assert!(fs::read(&copy).unwrap() == content, "{name} {option}");
        }
        run("cmp", [&tree.join(name), &mount.join(name)]);
    }
    assert!(mount.unmount().success());
}
