//! `export` of a large file without a chunk table reads it twice: once to match its
//! digest, and again to write it. What changes between the two is not written.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use continuity::archive::{self, WHOLE_MAX, WriteError, WriteOptions};
use continuity::digest::Algorithm;
use continuity::manifest::{Content, Form, Kind, Manifest, Metadata, Resource};
use continuity::mode::FileMode;
use continuity::path::ManifestPath;
use continuity::progress::Progress;
use continuity::source::{ContentRef, Source, SourceError, SourceFile};
use continuity::verify::{self, Verifier};

const SIZE: usize = 9 << 20;

/// How the file changes once every byte of it was read.
#[derive(Clone, Copy, Debug)]
enum Change {
    Nothing,
    /// A bit of this byte.
    Flip(usize),
    /// Two parts of 128 KiB that the private table has one tag for each.
    Exchange(usize, usize),
    /// It ends here.
    Shorter(usize),
    /// All of it.
    Zeros,
}

#[derive(Clone, Debug)]
struct Fickle {
    content: Arc<Vec<u8>>,
    change: Change,
    read: Arc<AtomicU64>,
}

impl Source for Fickle {
    fn open(&self, _: &ContentRef<'_>) -> Result<Box<dyn SourceFile>, SourceError> {
        Ok(Box::new(self.clone()))
    }
}

impl SourceFile for Fickle {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let begin = (offset as usize).min(SIZE);
        let count = buffer.len().min(SIZE - begin);
        let before = self.read.fetch_add(count as u64, Ordering::SeqCst);
        let part = &mut buffer[..count];
        part.copy_from_slice(&self.content[begin..begin + count]);
        if before < SIZE as u64 {
            return Ok(count);
        }
        match self.change {
            Change::Nothing => {}
            Change::Zeros => part.fill(0),
            Change::Shorter(end) => return Ok(count.min(end.saturating_sub(begin))),
            Change::Flip(at) => {
                if let Some(byte) = at.checked_sub(begin).and_then(|at| part.get_mut(at)) {
                    *byte ^= 1;
                }
            }
            Change::Exchange(one, two) => {
                for (at, byte) in (begin..).zip(part) {
                    let block = at >> 17;
                    let other = match block {
                        _ if block == one => two,
                        _ if block == two => one,
                        _ => continue,
                    };
                    *byte = self.content[(other << 17) + (at & 0x1_ffff)];
                }
            }
        }
        Ok(count)
    }
}

fn export(content: &Arc<Vec<u8>>, change: Change) -> (Vec<u8>, Result<u64, WriteError>, u64) {
    let manifest = Manifest {
        resources: vec![Resource {
            paths: vec![ManifestPath::parse(b"/large").unwrap()],
            metadata: Metadata::new(FileMode::from_stat(0o100_644).unwrap()),
            kind: Kind::Regular(Content {
                size: SIZE as u64,
                digests: vec![Algorithm::Sha256.hash(content)],
                ..Content::default()
            }),
            carried: None,
        }],
        ..Manifest::default()
    };
    let source = Fickle {
        content: Arc::clone(content),
        change,
        read: Arc::default(),
    };
    let read = Arc::clone(&source.read);
    // As the command has it.
    let sizes = verify::Options {
        small_file_max: WHOLE_MAX,
        ..verify::Options::default()
    };
    let verifier = Verifier::new(Box::new(source), sizes).unwrap();
    let mut out = Vec::new();
    let written = archive::write(
        &manifest.encode(Form::Full).unwrap(),
        &verifier,
        &WriteOptions::default(),
        &Progress::default(),
        &mut out,
    );
    (
        out,
        written.map(|written| written.content),
        read.load(Ordering::SeqCst),
    )
}

#[test]
fn what_changes_between_the_two_readings_is_not_written() {
    let content: Vec<u8> = (0..SIZE as u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let content = Arc::new(content);
    let (right, written, read) = export(&content, Change::Nothing);
    assert_eq!(written.unwrap(), SIZE as u64);
    // Twice, and the test is of something.
    assert_eq!(read, 2 * SIZE as u64);
    for (change, first) in [
        (Change::Flip(0), 0),
        (Change::Flip(SIZE - 1), SIZE - 1),
        (Change::Flip(5_000_000), 5_000_000),
        (Change::Flip((1 << 17) - 1), (1 << 17) - 1),
        (Change::Exchange(3, 60), 3 << 17),
        (Change::Shorter(SIZE - 1), SIZE - 1),
        (Change::Shorter(1 << 20), 1 << 20),
        (Change::Zeros, 0),
    ] {
        let (out, written, _) = export(&content, change);
        assert!(
            matches!(written, Err(WriteError::Refused(_))),
            "{change:?}: {written:?}"
        );
        assert!(right.starts_with(&out), "{change:?}");
        let headers = right.len() - SIZE - 1024;
        assert!(out.len() <= headers + first, "{change:?}");
    }
}
