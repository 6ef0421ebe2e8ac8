//! Readers over a source that stays silent for as long as is wanted.

use super::*;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use parking_lot::Condvar;

use crate::digest::Algorithm;
use crate::fs::Presentation;
use crate::inode::{InodeTable, RootOwner};
use crate::manifest::{Content, Form, Kind, Limits, Manifest, Metadata, Resource};
use crate::mode::FileMode;
use crate::path::ManifestPath;
use crate::source::{ContentRef, Source, SourceError, SourceFile};
use crate::verify::{Options, Verifier};

const BIG: u64 = 3 << 20;
const PATIENCE: Duration = Duration::from_secs(30);

/// A source whose file `/big` stays silent until its gate is opened.
#[derive(Clone, Debug, Default)]
struct Gated(Arc<Gate>);

#[derive(Debug, Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
    bytes: AtomicU64,
}

impl Source for Gated {
    fn open(&self, content: &ContentRef<'_>) -> Result<Box<dyn SourceFile>, SourceError> {
        Ok(Box::new(GatedFile {
            gate: Arc::clone(&self.0),
            size: content.size,
        }))
    }
}

#[derive(Debug)]
struct GatedFile {
    gate: Arc<Gate>,
    size: u64,
}

impl SourceFile for GatedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.size == BIG {
            let mut open = self.gate.open.lock();
            while !*open {
                self.gate.opened.wait(&mut open);
            }
        }
        let count = buffer.len().min((self.size - offset) as usize);
        buffer[..count].fill(7);
        self.gate.bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

fn filesystem(source: Gated, is_right: bool) -> Arc<Filesystem> {
    filesystem_with(source, is_right, None)
}

fn filesystem_with(source: Gated, is_right: bool, patience: Option<Duration>) -> Arc<Filesystem> {
    let file = |path: &[u8], size: u64, fill: u8| Resource {
        paths: vec![ManifestPath::parse(path).unwrap()],
        metadata: Metadata::new(FileMode::from_stat(0o100_644).unwrap()),
        kind: Kind::Regular(Content {
            size,
            digests: vec![Algorithm::Sha256.hash(&vec![fill; size as usize])],
            ..Content::default()
        }),
        carried: None,
    };
    let manifest = Manifest {
        resources: vec![
            file(b"/big", BIG, if is_right { 7 } else { 8 }),
            file(b"/small", 5, 7),
        ],
        ..Manifest::default()
    };
    let bytes = manifest.encode(Form::Full).unwrap();
    let table = InodeTable::build(&bytes, &Limits::default(), RootOwner::default()).unwrap();
    let options = Options {
        patience,
        ..Options::default()
    };
    let verifier = Verifier::new(Box::new(source), options).unwrap();
    Arc::new(Filesystem::new(
        table,
        verifier,
        Presentation::default(),
        None,
    ))
}

#[test]
fn a_silent_large_file_holds_up_nobody_else() {
    let source = Gated::default();
    let filesystem = filesystem(source.clone(), true);
    let big = filesystem.lookup(Ino::ROOT, b"big").unwrap().ino;
    let small = filesystem.lookup(Ino::ROOT, b"small").unwrap().ino;
    let readers = Readers::new(filesystem, Arc::default(), Arc::default(), 2).unwrap();
    let (say, hear) = mpsc::channel();
    for number in 0..64 {
        let say = say.clone();
        readers.read(big, number * 4096, 4096, move |read| {
            say.send(read.unwrap().len()).unwrap();
        });
    }
    let (say_small, hear_small) = mpsc::channel();
    readers.read(small, 0, 4096, move |read| say_small.send(read).unwrap());
    let small = hear_small.recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!(small, &[7; 5][..]);
    assert!(hear.try_recv().is_err());

    *source.0.open.lock() = true;
    source.0.opened.notify_all();
    for _ in 0..64 {
        assert_eq!(hear.recv_timeout(PATIENCE).unwrap(), 4096);
    }
    // Once in full, and then what was asked for: two blocks.
    let bytes = source.0.bytes.load(Ordering::Relaxed);
    assert_eq!(bytes, 5 + BIG + 2 * 131_072);
}

/// Each of them at its own deadline, and nobody twice.
#[test]
fn all_who_wait_hear_at_their_deadline() {
    const TIMEOUT: Duration = Duration::from_millis(400);
    let source = Gated::default();
    let filesystem = filesystem_with(source.clone(), true, Some(TIMEOUT));
    let big = filesystem.lookup(Ino::ROOT, b"big").unwrap().ino;
    let readers = Readers::new(Arc::clone(&filesystem), Arc::default(), Arc::default(), 6).unwrap();
    let (say, hear) = mpsc::channel();
    for number in 0..20 {
        let (say, begin) = (say.clone(), Instant::now());
        readers.read(big, number, 1, move |read| {
            say.send((read, begin.elapsed())).unwrap();
        });
        std::thread::sleep(Duration::from_millis(10));
    }
    for _ in 0..20 {
        let (read, took) = hear.recv_timeout(PATIENCE).unwrap();
        assert_eq!(read, Err(Errno::IO));
        assert!(took >= TIMEOUT, "{took:?}");
    }
    assert_eq!(filesystem.stalls(), 20);
    // The kernel asks again at once, and gets the same answer.
    let (say_again, again) = mpsc::channel();
    readers.read(big, 0, 1, move |read| say_again.send(read).unwrap());
    assert_eq!(again.try_recv(), Ok(Err(Errno::IO)));
    assert_eq!(readers.0.shared.owed.count(), 0);

    *source.0.open.lock() = true;
    source.0.opened.notify_all();
    let begin = Instant::now();
    let (say_late, late) = mpsc::channel();
    while {
        let say = say_late.clone();
        readers.read(big, 0, 1, move |read| say.send(read).unwrap());
        late.recv_timeout(PATIENCE).unwrap().is_err()
    } {
        assert!(begin.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(say);
    // What came late was given to nobody.
    assert!(hear.recv().is_err());
}

#[test]
fn all_who_wait_hear_of_a_refusal() {
    let source = Gated::default();
    *source.0.open.lock() = true;
    let filesystem = filesystem(source, false);
    let big = filesystem.lookup(Ino::ROOT, b"big").unwrap().ino;
    let readers = Readers::new(filesystem, Arc::default(), Arc::default(), 2).unwrap();
    let (say, hear) = mpsc::channel();
    for number in 0..20 {
        let say = say.clone();
        readers.read(big, number, 1, move |read| say.send(read).unwrap());
    }
    for _ in 0..20 {
        let read = hear.recv_timeout(PATIENCE).unwrap();
        assert_eq!(read, Err(Errno::IO));
    }
}
