//! What is fuzzed: each takes any bytes and must not panic. `tests/corpus.rs` runs
//! the same over the corpus, and over changes of it, in every `make test`.
#![allow(dead_code, reason = "each program takes one of them")]

mod differential;
mod independent;
mod mount_options;

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;
use std::time::Duration;

use continuity::attributes::{AttributeList, AttributeSet};
use continuity::cli::source::SourceSpec;
use continuity::digest::{Algorithm, Digest};
use continuity::escape::{Escaped, OneLine};
use continuity::fs::{Filesystem, IdMap, Presentation};
use continuity::fuse::Session;
use continuity::inode::{Inode, InodeTable, RootOwner};
use continuity::list::{self, Names, Stats};
use continuity::manifest::{
    Content, Form, Kind, Limits, Manifest, Metadata, PathIndex, Records, Resource, check_wire,
    read_text, write_json, write_text,
};
use continuity::mode::FileMode;
use continuity::path::ManifestPath;
use continuity::sandbox::Mode;
use continuity::source::MemorySource;
use continuity::tar::{Reader, Stream, Tree};
use continuity::verify::{Options, Verifier};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, recv, send, shutdown,
    socketpair, sockopt,
};

pub use differential::differential;
pub use mount_options::mount_options;

/// Something that takes any bytes.
pub type Target = fn(&[u8]);

/// All targets by their names, which are those of the directories of the corpus.
pub const ALL: [(&str, Target); 10] = [
    ("decode", decode),
    ("differential", differential),
    ("digest", digest),
    ("escape", escape),
    ("index", index),
    ("mount_options", mount_options),
    ("options", options),
    ("requests", requests),
    ("tar", tar),
    ("text", text),
];

/// Few resources: what is looked for are wrong steps, not large numbers.
const LIMITS: Limits = Limits {
    resources: 10_000,
    depth: 1024,
    links: 1000,
    digests: 16,
};

/// A manifest, by every reader. What is accepted can be written, and what was
/// written is read as the same.
pub fn decode(bytes: &[u8]) {
    let is_wire = check_wire(bytes).is_ok();
    for record in Records::new(bytes) {
        let Ok((_, record)) = record else { break };
        let _ = record.paths().count() + record.digests().count();
        let _ = record.xattrs().count() + record.ads().count();
    }
    let mut out = Vec::new();
    let _ = list::ls(bytes, Names::Escaped, &mut out);
    let _ = list::dump(bytes, &mut out);
    let _ = write_json(bytes, &mut out);
    let _ = Stats::of(bytes).map(|statistics| statistics.write_text(&mut out));
    let Ok(manifest) = Manifest::read(bytes, &LIMITS) else {
        return;
    };
    assert!(is_wire, "what the wire format forbids was accepted");
    let Ok(written) = manifest.encode(Form::Full) else {
        return;
    };
    let again = Manifest::read(&written, &LIMITS).expect("what was written is refused");
    assert_eq!(again.encode(Form::Full).expect("not again"), written);
}

/// A manifest, as a table of inodes; every one is reached, and says where it is.
pub fn index(bytes: &[u8]) {
    if let Ok(paths) = PathIndex::new(bytes, &LIMITS) {
        for entry in paths.entries() {
            // Whether all of it is right shows only now.
            if let Ok((path, _)) = paths.read(*entry) {
                assert!(paths.contains(&path));
            }
        }
    }
    let Ok(table) = InodeTable::build(bytes, &LIMITS, RootOwner::default()) else {
        return;
    };
    let mut waiting: Vec<Inode<'_>> = table
        .get(continuity::inode::Ino::ROOT)
        .into_iter()
        .collect();
    while let Some(directory) = waiting.pop() {
        for (place, dirent) in table.entries(directory, 0).enumerate() {
            let found = table.lookup(directory, dirent.name).expect("it is listed");
            assert_eq!(found.ino(), dirent.inode.ino());
            let rest = table.entries(directory, place).next();
            assert_eq!(rest.map(|rest| rest.name), Some(dirent.name));
            let _ = (found.mode(), found.uid(), found.gid(), found.device());
            let _ = (found.path(), found.digests(), found.parent());
            for xattr in found.xattrs() {
                assert!(found.xattr(&xattr.name).is_some());
            }
            if found.mode().file_type() == continuity::mode::FileType::Directory {
                waiting.push(found);
            }
        }
    }
}

/// A digest's text form.
pub fn digest(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(digest) = Digest::parse(text)
    {
        assert_eq!(digest.to_string(), text);
        let raw = Digest::from_raw(digest.algorithm(), digest.as_raw());
        assert_eq!(raw.as_ref(), Some(&digest));
    }
}

/// The words of options that have a form of their own.
pub fn options(bytes: &[u8]) {
    let _ = SourceSpec::parse(OsString::from_vec(bytes.to_vec()));
    if let Ok(path) = ManifestPath::parse(bytes) {
        assert!(path.as_bytes().starts_with(b"/"));
        assert!(!path.relative().as_encoded_bytes().starts_with(b"/"));
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let _ = text.parse::<Mode>();
    let mut ids = IdMap::default();
    if ids.add(text).is_ok() {
        let _ = (ids.map(0), ids.map(u32::MAX));
    }
    let _ = text.parse::<AttributeSet>();
    let _ = text.parse::<AttributeList>();
}

/// Nothing in it acts on a terminal.
fn is_harmless(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// A name and a message, as they come into the log.
pub fn escape(bytes: &[u8]) {
    assert!(is_harmless(&Escaped(bytes).to_string()));
    assert!(is_harmless(&format!("{:?}", Escaped(bytes))));
    let text = String::from_utf8_lossy(bytes);
    assert!(is_harmless(&OneLine(&text).to_string()));
}

/// An archive, packed or not, to its end.
pub fn tar(bytes: &[u8]) {
    let Ok(stream) = Stream::open(bytes) else {
        return;
    };
    let mut reader = Reader::new(stream, None);
    let mut tree = Tree::default();
    let mut buffer = vec![0; 4096];
    for _ in 0..1000 {
        let Ok(Some(entry)) = reader.next_entry() else {
            return;
        };
        if let Ok(path) = Tree::<()>::path(&entry) {
            let _ = tree.put(path, &entry, ());
        }
        let mut left = 1 << 20;
        while let Ok(count @ 1..) = reader.read_content(&mut buffer) {
            left -= count.min(left);
            if left == 0 {
                break;
            }
        }
    }
}

/// What `dump` prints, read again.
pub fn text(bytes: &[u8]) {
    if let Ok(manifest) = read_text(bytes) {
        check_wire(&manifest).expect("a wrong manifest was made");
        let mut printed = Vec::new();
        write_text(&manifest, &mut printed).expect("what was made cannot be printed");
        let again = read_text(&printed).expect("what was printed cannot be read");
        // Only so: of a field that stood there twice the last one is printed.
        let mut printed_again = Vec::new();
        write_text(&again, &mut printed_again).expect("not again");
        assert_eq!(printed_again, printed);
    }
}

/// Messages of the kernel, or of who has its place: after a good INIT, each
/// with a length of two bytes before it. If the first byte is odd, each has a
/// right header, and its opcode and node are two more bytes.
pub fn requests(bytes: &[u8]) {
    // Who writes to a socket that is gone; the test runner does it too.
    let flag = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let _ = signal_hook::flag::register(signal_hook::consts::SIGPIPE, flag);
    let Some((first, mut rest)) = bytes.split_first() else {
        return;
    };
    let (kernel, device) = pair().expect("no sockets");
    let _ = send(&kernel, &init(), SendFlags::empty());
    let session = Session::start(device, Arc::new(filesystem())).expect("INIT is right");
    let server = std::thread::spawn(move || session.serve());
    let mut unique = 2_u64;
    for _ in 0..64 {
        let Some((length, behind)) = rest.split_at_checked(2) else {
            break;
        };
        let length = usize::from(u16::from_le_bytes([length[0], length[1]])) % 4096;
        let (body, behind) = behind.split_at(length.min(behind.len()));
        rest = behind;
        unique += 2;
        let message = match (first & 1, body) {
            (1, [opcode, node, body @ ..]) => {
                header(u32::from(*opcode), unique, u64::from(*node), body)
            }
            _ => with_its_length(body),
        };
        // fuser panics where a message is not as long as it says, these three in
        // their bodies. Linux says so right, and can do worse.
        if [WRITE, SETXATTR, BATCH_FORGET]
            .iter()
            .any(|opcode| message.get(4..8) == Some(opcode))
        {
            continue;
        }
        if send(&kernel, &message, SendFlags::NOSIGNAL | SendFlags::DONTWAIT).is_err() {
            break;
        }
        drain(&kernel);
    }
    let _ = shutdown(&kernel, Shutdown::Both);
    drop(kernel);
    // It ends with an error, for its other end is gone; by a panic it may not.
    let _ = server.join().expect("the server panicked");
}

const WRITE: [u8; 4] = 16_u32.to_ne_bytes();
const SETXATTR: [u8; 4] = 21_u32.to_ne_bytes();
const BATCH_FORGET: [u8; 4] = 42_u32.to_ne_bytes();

fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (kernel, device) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let patience = Some(Duration::from_millis(500));
    sockopt::set_socket_timeout(&kernel, sockopt::Timeout::Recv, patience)?;
    Ok((kernel, device))
}

/// Takes what is there, so that answers have room.
fn drain(kernel: &OwnedFd) {
    let mut buffer = vec![0; 256 << 10];
    while let Ok((1.., _)) = recv(kernel, buffer.as_mut_slice(), RecvFlags::DONTWAIT) {}
}

fn header(opcode: u32, unique: u64, node: u64, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 40).expect("it is short");
    let mut message = Vec::new();
    message.extend_from_slice(&length.to_ne_bytes());
    message.extend_from_slice(&opcode.to_ne_bytes());
    message.extend_from_slice(&unique.to_ne_bytes());
    message.extend_from_slice(&node.to_ne_bytes());
    // uid, gid, pid, and what pads it
    message.extend_from_slice(&[0; 16]);
    message.extend_from_slice(body);
    message
}

/// A message of which only the length is right.
fn with_its_length(body: &[u8]) -> Vec<u8> {
    let mut message = body.to_vec();
    message.resize(message.len().max(40), 0);
    let length = u32::try_from(message.len()).expect("it is short");
    message.splice(..4, length.to_ne_bytes());
    message
}

fn init() -> Vec<u8> {
    let mut body = Vec::new();
    for word in [7_u32, 43, 128 << 10, u32::MAX, u32::MAX] {
        body.extend_from_slice(&word.to_ne_bytes());
    }
    body.extend_from_slice(&[0; 44]);
    header(26, 2, 0, &body)
}

/// A file, a directory, a link, and a file that is not as declared.
fn filesystem() -> Filesystem {
    let resource = |path: &str, st_mode, kind| Resource {
        paths: vec![ManifestPath::parse(path.as_bytes()).expect("a path")],
        metadata: Metadata::new(FileMode::from_stat(st_mode).expect("a mode")),
        kind,
        carried: None,
    };
    let content = |bytes: &[u8]| {
        Kind::Regular(Content {
            size: bytes.len() as u64,
            digests: vec![Algorithm::Sha256.hash(bytes)],
            ..Content::default()
        })
    };
    let manifest = Manifest {
        resources: vec![
            resource("/bad", 0o100_644, content(b"good content")),
            resource("/dir", 0o040_755, Kind::Directory),
            resource("/dir/file", 0o100_644, content(b"content")),
            resource("/link", 0o120_777, Kind::Symlink(Box::from(*b"dir/file"))),
        ],
        ..Manifest::default()
    };
    let bytes = manifest.encode(Form::Full).expect("it can be written");
    let table = InodeTable::build(&bytes, &Limits::default(), RootOwner::default());
    let source = MemorySource::default();
    for (path, content) in [("/bad", &b"evil content"[..]), ("/dir/file", b"content")] {
        let path = ManifestPath::parse(path.as_bytes()).expect("a path");
        source.write(path, content.to_vec());
    }
    let verifier = Verifier::new(Box::new(source), Options::default()).expect("random bytes");
    Filesystem::new(
        table.expect("it is right"),
        verifier,
        Presentation::default(),
        None,
    )
}
