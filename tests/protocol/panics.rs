//! What panics, and what waits, holds up nothing else.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::requests::{Body, EVERYTHING, GETATTR, Kernel, READ, ROOT, read};
use continuity::fuse::Session;
use continuity::source::{ContentRef, MemorySource, Source, SourceError, SourceFile};
use rustix::io::Errno;

use crate::filesystem::filesystem_over;

/// A source that panics while `bombs` are left.
#[derive(Clone, Debug)]
struct Explosive {
    source: MemorySource,
    in_open: bool,
    bombs: Arc<AtomicU32>,
}

impl Explosive {
    fn new(in_open: bool) -> Self {
        Self {
            source: MemorySource::default(),
            in_open,
            bombs: Arc::default(),
        }
    }

    fn tick(&self) {
        let left = |bombs: u32| bombs.checked_sub(1);
        let took = self
            .bombs
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, left);
        if took.is_ok() {
            // Time for others to come and wait for the same block.
            std::thread::sleep(Duration::from_millis(300));
            panic!("as planned");
        }
    }

    fn kernel(&self) -> Kernel {
        let filesystem = filesystem_over(Box::new(self.clone()), &self.source);
        Kernel::new(filesystem, EVERYTHING)
    }
}

impl Source for Explosive {
    fn open(&self, content: &ContentRef<'_>) -> Result<Box<dyn SourceFile>, SourceError> {
        if self.in_open {
            self.tick();
        }
        let file = self.source.open(content)?;
        Ok(Box::new(ExplosiveFile(self.clone(), file)))
    }
}

#[derive(Debug)]
struct ExplosiveFile(Explosive, Box<dyn SourceFile>);

impl SourceFile for ExplosiveFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if !self.0.in_open {
            self.0.tick();
        }
        self.1.read_at(buffer, offset)
    }
}

#[test]
fn a_panic_fails_one_request_and_no_other() {
    for in_open in [true, false] {
        let source = Explosive::new(in_open);
        let mut kernel = source.kernel();
        for (name, size) in [("file", 12), ("big", 4096), ("large", 4096)] {
            let node = kernel.resolve(name);
            source.bombs.store(1, Ordering::SeqCst);
            assert_eq!(kernel.error(READ, node, read(0, size)), Errno::IO);
            assert_eq!(kernel.ok(READ, node, read(0, size)).len(), size as usize);
        }
        kernel.ok(GETATTR, ROOT, Body::new().zeros(16));
        kernel.destroy().unwrap();
    }
}

#[test]
fn a_panic_frees_those_who_wait_for_the_same_block() {
    // One that is checked as a whole, and one that needs a private table first.
    for (name, in_open) in [
        ("file", true),
        ("file", false),
        ("large", true),
        ("large", false),
    ] {
        let source = Explosive::new(in_open);
        let mut kernel = source.kernel();
        let node = kernel.resolve(name);
        source.bombs.store(1, Ordering::SeqCst);
        for _ in 0..4 {
            kernel.send_read(node, 0, 12);
        }
        let mut refused = 0;
        for _ in 0..4 {
            let reply = kernel.receive();
            if reply.error == 0 {
                assert_eq!(reply.body.len(), 12);
            } else {
                assert_eq!(reply.error, -Errno::IO.raw_os_error());
                refused += 1;
            }
        }
        // Reads that were set aside fail with what they were waiting for.
        let most = if name == "large" { 4 } else { 1 };
        assert!((1..=most).contains(&refused), "{refused} {name}");
        assert_eq!(source.bombs.load(Ordering::SeqCst), 0);
        assert_eq!(kernel.ok(READ, node, read(0, 12)).len(), 12);
        kernel.destroy().unwrap();
    }
}

/// What was logged in this process.
static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LOG.lock().unwrap().push(record.args().to_string());
    }

    fn flush(&self) {}
}

#[test]
fn a_panic_is_in_the_log() {
    log::set_logger(&Logger).unwrap();
    log::set_max_level(log::LevelFilter::Error);
    let source = Explosive::new(true);
    let mut kernel = source.kernel();
    let file = kernel.resolve("file");
    source.bombs.store(1, Ordering::SeqCst);
    assert_eq!(kernel.error(READ, file, read(0, 12)), Errno::IO);
    let logged = LOG.lock().unwrap().clone();
    assert!(
        logged.contains(&"event=panic as planned".to_owned()),
        "{logged:?}"
    );
    kernel.destroy().unwrap();
}

#[test]
fn metadata_does_not_wait_for_content() {
    let source = Explosive::new(true);
    let mut kernel = source.kernel();
    let [file, big, bad] = ["file", "big", "bad"].map(|name| kernel.resolve(name));
    source.bombs.store(3, Ordering::SeqCst);
    let reads = [file, big, bad].map(|node| kernel.send_read(node, 0, 4096));
    for _ in 0..20 {
        let unique = kernel.send(GETATTR, file, Body::new().zeros(16));
        assert_eq!(kernel.receive().unique, unique);
    }
    for _ in reads {
        let reply = kernel.receive();
        assert!(reads.contains(&reply.unique) && reply.error != 0);
    }
    kernel.destroy().unwrap();
}

#[test]
fn requests_are_in_flight_until_they_are_answered() {
    let source = Explosive::new(true);
    let filesystem = filesystem_over(Box::new(source.clone()), &source.source);
    let (say, hear) = std::sync::mpsc::channel();
    let mut kernel = Kernel::with(EVERYTHING, |device| {
        let session = Session::start(device, Arc::new(filesystem)).unwrap();
        say.send(session.requests()).unwrap();
        std::thread::spawn(|| session.serve())
    });
    let requests = hear.recv().unwrap();
    let nodes = ["file", "big", "bad"].map(|name| kernel.resolve(name));
    assert_eq!((requests.count(), requests.in_flight()), (3, 0));
    source.bombs.store(3, Ordering::SeqCst);
    for node in nodes {
        kernel.send_read(node, 0, 4096);
    }
    let until = |wanted| {
        while requests.in_flight() != wanted {
            std::thread::yield_now();
        }
    };
    until(3);
    for _ in nodes {
        assert_ne!(kernel.receive().error, 0);
    }
    until(0);
    assert_eq!(requests.count(), 6);
    kernel.destroy().unwrap();
}
