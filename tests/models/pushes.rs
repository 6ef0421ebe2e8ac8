//! Files on their way to the kernel: each goes one way, and none stays behind while it
//! could go.

use std::sync::Arc;

use bytes::Bytes;
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::thread;
use shuttle::thread::JoinHandle;

use super::known::Known;
use super::push_queue::{Caught, Step};
use super::pushes::Pushes;
use crate::inode::Ino;
use crate::try_orders;

/// How often each file has gone, by its number.
type Gone = Arc<[AtomicUsize; 6]>;

fn count(gone: &Gone, ino: Ino) {
    let count = gone.get(ino.0 as usize).unwrap();
    count.fetch_add(1, Ordering::SeqCst);
}

fn content(ino: Ino) -> Bytes {
    Bytes::from(vec![ino.0 as u8; 4])
}

/// A thread that reads files and stores them, as those of the pusher do.
fn pushing(pushes: &Arc<Pushes>, known: &Arc<Known>, gone: &Gone) -> JoinHandle<()> {
    let (pushes, known, gone) = (Arc::clone(pushes), Arc::clone(known), Arc::clone(gone));
    thread::spawn(move || {
        while let Some(step) = pushes.wait() {
            let (ino, content) = match step {
                Step::Store(ino, content) => (ino, content),
                Step::StorePart(..) => panic!("{step:?}"),
                Step::Read(ino) => {
                    thread::yield_now();
                    match pushes.checked(ino, content(ino)) {
                        Some(content) => (ino, content),
                        None => continue,
                    }
                }
            };
            assert!(known.has(ino));
            assert!(content.iter().all(|byte| u64::from(*byte) == ino.0));
            count(&gone, ino);
        }
    })
}

/// The kernel gets to know the files at any time, and somebody reads one after the other.
/// Once one of them had not been stored yet, all others are, without anything else
/// happening.
#[test]
fn each_file_goes_one_way() {
    try_orders(|| {
        let known = Arc::new(Known::new(10));
        let pushes = Arc::new(Pushes::new(Arc::clone(&known)));
        let gone = Gone::default();
        let threads = [(); 2].map(|()| pushing(&pushes, &known, &gone));
        let reader = {
            let (pushes, known, gone) =
                (Arc::clone(&pushes), Arc::clone(&known), Arc::clone(&gone));
            thread::spawn(move || {
                known.announce((2..6).map(Ino).collect());
                known.settle();
                for ino in [3, 2, 4, 5].map(Ino) {
                    match pushes.catch(ino) {
                        // Somebody is at it, or has stored it, or it is to come yet.
                        Caught::No => continue,
                        Caught::Waiting => {}
                        Caught::Ready(found) => assert_eq!(found, content(ino)),
                    }
                    return count(&gone, ino);
                }
            })
        };
        pushes.add(vec![Ino(2), Ino(3)]);
        pushes.add(vec![Ino(4), Ino(5)]);
        reader.join().unwrap();
        let all = |gone: &Gone| {
            let counts = gone.iter().map(|count| count.load(Ordering::SeqCst));
            counts.collect::<Vec<_>>()
        };
        while all(&gone).iter().sum::<usize>() < 4 {
            thread::yield_now();
        }
        pushes.close();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(all(&gone), [0, 0, 1, 1, 1, 1]);
        assert!(pushes.next().is_none());
    });
}

/// Threads end when nobody asks for more, whatever is left.
#[test]
fn who_sleeps_is_woken_to_end() {
    try_orders(|| {
        let known = Arc::new(Known::new(10));
        let pushes = Arc::new(Pushes::new(Arc::clone(&known)));
        let gone = Gone::default();
        let threads = [(); 3].map(|()| pushing(&pushes, &known, &gone));
        pushes.add(vec![Ino(2)]);
        pushes.close();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(gone.iter().all(|count| count.load(Ordering::SeqCst) == 0));
    });
}

/// What comes next may be stuck as well: what waits is forgotten, and what was read by
/// then goes on.
#[test]
fn what_waits_is_forgotten_and_nothing_else() {
    try_orders(|| {
        let known = Arc::new(Known::new(10));
        let pushes = Arc::new(Pushes::new(Arc::clone(&known)));
        let gone = Gone::default();
        let thread = pushing(&pushes, &known, &gone);
        (2..6).for_each(|ino| known.add(Ino(ino)));
        pushes.add(vec![Ino(2), Ino(3)]);
        pushes.forget_waiting();
        pushes.add(vec![Ino(4)]);
        while gone.get(4).unwrap().load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
        pushes.close();
        thread.join().unwrap();
        assert!(gone.iter().all(|count| count.load(Ordering::SeqCst) <= 1));
    });
}
