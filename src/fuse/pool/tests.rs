use super::shared::CLEAR_EVERY;
use super::*;

use crate::fuse::seats::STUCK_AFTER;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use parking_lot::Mutex;

const PATIENCE: Duration = Duration::from_secs(30);
const SIZE: Size = Size {
    usual: 4,
    stuck: 16,
};

/// Runs a closure, if it is wanted.
struct Task {
    run: Box<dyn FnOnce() + Send>,
    wanted: Arc<AtomicBool>,
}

impl Job for Task {
    fn run(self) {
        (self.run)();
    }

    fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }
}

fn task(run: impl FnOnce() + Send + 'static) -> Task {
    Task {
        run: Box::new(run),
        wanted: Arc::new(AtomicBool::new(true)),
    }
}

/// Jobs that wait until the sender is gone, and tell when they begin.
fn stuck(file: u64, say: &Sender<u64>, gate: &Arc<Mutex<Receiver<()>>>) -> Task {
    let (say, gate) = (say.clone(), Arc::clone(gate));
    task(move || {
        say.send(file).unwrap();
        let _ = gate.lock().recv();
    })
}

fn gate() -> (Sender<()>, Arc<Mutex<Receiver<()>>>) {
    let (open, gate) = channel();
    (open, Arc::new(Mutex::new(gate)))
}

/// Looks after a pool as if so much time had gone by, until it is as it should
/// be.
fn look_until(pool: &Pool<Task>, is_so: impl Fn(Condition) -> bool) {
    let begin = Instant::now();
    let later = STUCK_AFTER * 2;
    while !is_so(pool.look_after(Instant::now() + later, Some(PATIENCE))) {
        assert!(begin.elapsed() < PATIENCE, "{pool:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn threads(pool: &Pool<Task>) -> usize {
    pool.shared.state.lock().threads
}

#[test]
fn a_panic_ends_its_job_and_no_more() {
    let pool = Pool::new("test", Size { usual: 1, stuck: 1 }).unwrap();
    let (say, hear) = channel();
    pool.spawn(Ino(2), task(|| panic!("as planned")));
    pool.spawn(Ino(2), task(move || say.send(1).unwrap()));
    assert_eq!(hear.recv(), Ok(1));
}

#[test]
fn one_file_does_not_have_all_threads() {
    let pool = Pool::new("test", SIZE).unwrap();
    let (open, gate) = gate();
    let (say, hear) = channel();
    for _ in 0..64 {
        pool.spawn(Ino(2), stuck(2, &say, &gate));
    }
    pool.spawn(Ino(3), stuck(3, &say, &gate));
    let begun: Vec<u64> = (0..4)
        .map(|_| hear.recv_timeout(PATIENCE).unwrap())
        .collect();
    assert_eq!(begun.iter().filter(|file| **file == 2).count(), 3);
    drop(open);
    assert_eq!(hear.iter().take(61).filter(|file| *file == 2).count(), 61);
    look_until(&pool, |condition| !condition.is_busy);
    assert!(pool.shared.state.lock().turns.is_empty());
}

#[test]
fn stuck_threads_are_replaced_and_come_back() {
    let pool = Pool::new("test", SIZE).unwrap();
    let (open, gate) = gate();
    let (say, hear) = channel();
    for file in 2..18 {
        pool.spawn(Ino(file), stuck(file, &say, &gate));
    }
    look_until(&pool, |condition| condition.stuck == 16);
    assert!(!pool.is_lost());
    let (say_done, done) = channel();
    for file in 18..1000 {
        let say = say_done.clone();
        pool.spawn(Ino(file), task(move || say.send(file).unwrap()));
    }
    for _ in 18..1000 {
        done.recv_timeout(PATIENCE).unwrap();
    }
    // Nobody waits for so long.
    pool.look_after(Instant::now() + 2 * PATIENCE, Some(PATIENCE));
    assert!(pool.is_lost());
    assert!(threads(&pool) <= 20);

    drop(open);
    drop(say);
    assert_eq!(hear.iter().count(), 16);
    look_until(&pool, |condition| !condition.is_busy && threads(&pool) == 4);
    assert!(!pool.is_lost() && pool.stuck() == 0);
}

#[test]
fn there_is_a_bound_to_threads() {
    let pool = Pool::new("test", SIZE).unwrap();
    let (open, gate) = gate();
    let (say, hear) = channel();
    for file in 2..102 {
        pool.spawn(Ino(file), stuck(file, &say, &gate));
    }
    look_until(&pool, |condition| condition.stuck == 20);
    assert_eq!(threads(&pool), 20);
    drop(open);
    drop(say);
    assert_eq!(hear.iter().count(), 100);
}

#[test]
fn what_nobody_waits_for_is_not_begun() {
    let pool = Pool::new("test", Size { usual: 1, stuck: 4 }).unwrap();
    let (open, gate) = gate();
    let (say, hear) = channel();
    let (say_wanted, hear_wanted) = channel();
    pool.spawn(Ino(2), stuck(2, &say, &gate));
    hear.recv_timeout(PATIENCE).unwrap();
    for number in 0..10 {
        let job = task({
            let say = say_wanted.clone();
            move || say.send(number).unwrap()
        });
        job.wanted.store(number % 2 == 0, Ordering::Relaxed);
        pool.spawn(Ino(2), job);
    }
    for _ in 0..CLEAR_EVERY {
        pool.look_after(Instant::now() + STUCK_AFTER, Some(PATIENCE));
    }
    assert_eq!(pool.shared.state.lock().turns.waiting_on(Ino(2)), 5);
    drop(open);
    drop(say_wanted);
    assert_eq!(hear_wanted.iter().collect::<Vec<_>>(), [0, 2, 4, 6, 8]);
}

/// What counts on is not stuck, however long it takes.
#[test]
fn a_pulse_is_a_sign_of_life() {
    struct Beating(Arc<AtomicU64>, Arc<Mutex<Receiver<()>>>);
    impl Job for Beating {
        fn run(self) {
            let _ = self.1.lock().recv();
        }
        fn pulse(&self) -> Option<Arc<AtomicU64>> {
            Some(Arc::clone(&self.0))
        }
    }
    let pool = Pool::new("test", SIZE).unwrap();
    let (open, gate) = gate();
    let pulse = Arc::new(AtomicU64::new(7));
    pool.spawn(Ino(2), Beating(Arc::clone(&pulse), gate));
    while pool.shared.state.lock().at_work.is_empty() {
        std::thread::yield_now();
    }
    let mut now = Instant::now();
    for _ in 0..10 {
        now += 2 * STUCK_AFTER;
        pulse.fetch_add(1, Ordering::Relaxed);
        assert_eq!(pool.look_after(now, None).stuck, 0);
    }
    assert_eq!(pool.look_after(now + STUCK_AFTER, None).stuck, 1);
    pulse.fetch_add(1, Ordering::Relaxed);
    assert_eq!(pool.look_after(now + STUCK_AFTER, None).stuck, 0);
    drop(open);
}
