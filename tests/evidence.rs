//! What a million refused reads leave behind: few lines, each harmless, and
//! counters that miss none.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::sync::Mutex;

use continuity::fs::{Filesystem, Presentation};
use continuity::inode::{Ino, InodeTable, RootOwner};
use continuity::manifest::Limits;
use continuity::source::MemorySource;
use continuity::verify::{self, Verifier, Word};
use log::{LevelFilter, Log, Metadata, Record};

/// Keeps what is logged.
struct Kept(Mutex<Vec<String>>);

static KEPT: Kept = Kept(Mutex::new(Vec::new()));

impl Log for Kept {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        self.0.lock().unwrap().push(record.args().to_string());
    }

    fn flush(&self) {}
}

/// Names that do something to a terminal, or look like the end of a line.
const NAMES: [&str; 4] = [
    "\x1b[2J",
    "a\nb level=info",
    "c\" reason=none \"",
    "d\u{202e}",
];
const READS: u64 = 1_000_000;

#[test]
fn a_million_refused_reads_are_at_most_a_thousand_lines() {
    log::set_logger(&KEPT).unwrap();
    log::set_max_level(LevelFilter::Trace);
    let tree = tempfile::tempdir().unwrap();
    for name in NAMES {
        std::fs::write(tree.path().join(name), "content").unwrap();
    }
    let built = continuity::build::build(tree.path(), &continuity::build::Options::default());
    let manifest = built.unwrap().encode();
    let table = InodeTable::build(&manifest, &Limits::default(), RootOwner::default()).unwrap();
    // There is nothing.
    let source = Box::new(MemorySource::default());
    let verifier = Verifier::new(source, verify::Options::default()).unwrap();
    let filesystem = Filesystem::new(table, verifier, Presentation::default(), None);
    let files: Vec<Ino> = NAMES
        .iter()
        .map(|name| filesystem.lookup(Ino::ROOT, name.as_bytes()).unwrap().ino)
        .collect();
    for (_, file) in (0..READS).zip(files.iter().cycle()) {
        filesystem.read(*file, 0, 7).unwrap_err();
    }
    let lines = KEPT.0.lock().unwrap();
    assert!(
        (NAMES.len()..=1000).contains(&lines.len()),
        "{}",
        lines.len()
    );
    for line in &*lines {
        assert!(
            line.starts_with("event=refused reason=backing_missing path=\"/"),
            "{line}"
        );
        assert!(
            !line.contains(char::is_control) && !line.contains('\u{202e}'),
            "{line:?}"
        );
    }
    let counters = filesystem.counters();
    assert_eq!(counters.refused.get(&Word::BackingMissing), Some(&READS));
    assert_eq!(counters.refused.len(), 1);
    assert_eq!(counters.log_suppressed + lines.len() as u64, READS);
    let text = counters.to_string();
    assert_eq!(text.lines().count(), Word::ALL.len() + 1);
}
