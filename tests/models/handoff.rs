//! A file is stored in the kernel unless it is being asked for.

use std::sync::Arc;

use bytes::Bytes;
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::thread;

use super::handoff::Handoff;
use crate::inode::Ino;
use crate::{by_itself, try_orders};

#[test]
fn a_file_is_read_or_stored() {
    by_itself(|| {
        let handoff = Handoff::default();
        let content = Bytes::from_static(b"content");
        assert_eq!(handoff.begin_read(Ino(2)), None);
        assert_eq!(handoff.begin_read(Ino(2)), None);
        handoff.end_read(Ino(2));
        handoff.store(Ino(2), &content, || panic!("stored while it is read"));
        handoff.end_read(Ino(2));
        let mut stored = false;
        handoff.store(Ino(2), &content, || {
            stored = true;
            assert_eq!(handoff.begin_read(Ino(2)), Some(content.clone()));
            assert_eq!(handoff.begin_read(Ino(3)), None);
        });
        assert!(stored);
        assert_eq!(handoff.begin_read(Ino(2)), None);
    });
}

/// Storing would wait in the kernel for the page that is being read, and the read for
/// whoever stores.
#[test]
fn no_file_is_stored_while_it_is_read() {
    try_orders(|| {
        let handoff = Arc::new(Handoff::default());
        let content = Bytes::from_static(b"content");
        let reads = Arc::new(AtomicUsize::new(0));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (handoff, reads) = (Arc::clone(&handoff), Arc::clone(&reads));
                thread::spawn(move || match handoff.begin_read(Ino(2)) {
                    Some(content) => assert_eq!(content, "content"),
                    None => {
                        reads.fetch_add(1, Ordering::SeqCst);
                        thread::yield_now();
                        reads.fetch_sub(1, Ordering::SeqCst);
                        handoff.end_read(Ino(2));
                    }
                })
            })
            .collect();
        let still = Arc::clone(&reads);
        handoff.store(Ino(2), &content, || {
            assert_eq!(still.load(Ordering::SeqCst), 0);
            thread::yield_now();
            assert_eq!(still.load(Ordering::SeqCst), 0);
        });
        for reader in readers {
            reader.join().unwrap();
        }
        // Nobody reads or stores it any more.
        assert_eq!(handoff.begin_read(Ino(2)), None);
    });
}
