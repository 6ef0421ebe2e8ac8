//! Threads that do what may take long, or for ever.
//!
//! Jobs are on files, and the files take turns, so that one with many readers does
//! not hold up the others; nor can it have all threads. A thread that is stuck in a
//! job is replaced, up to a bound. When it comes back, there is one too many, and it
//! ends.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::inode::Ino;

use super::seats::STUCK_AFTER;

/// How often jobs that nobody waits for are looked for, while threads are stuck.
const CLEAR_EVERY: u32 = 10;

/// What a thread has to do.
pub(super) trait Job: Send + 'static {
    /// Does it.
    fn run(self);

    /// Whether anybody waits for it. If not, it is not begun.
    fn is_wanted(&self) -> bool {
        true
    }

    /// Something that counts on as long as it gets on, if it may take long.
    fn pulse(&self) -> Option<Arc<AtomicU64>> {
        None
    }
}

/// How many threads there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// That are not stuck.
    pub usual: usize,
    /// That may be stuck, and are replaced.
    pub stuck: usize,
}

/// Threads that sleep while there is nothing to do. Threads that first look about
/// for work, as those of rayon do, use processor time that the reader could have.
/// When this is dropped no more jobs are taken; those that have begun go on.
pub(super) struct Pool<J: Job>(Arc<Shared<J>>);

struct Shared<J> {
    name: &'static str,
    size: Size,
    state: Mutex<State<J>>,
    changed: Condvar,
    /// As the state has it, for those who do not want to wait for its lock.
    stuck: AtomicUsize,
    lost: AtomicUsize,
}

struct State<J> {
    files: HashMap<Ino, File<J>>,
    /// The files whose turn comes: jobs wait, and not too many threads are at it.
    turns: VecDeque<Ino>,
    running: HashMap<u64, Running>,
    threads: usize,
    /// How many there have been, for their names.
    started: u64,
    stuck: usize,
    ticks: u32,
    closed: bool,
}

/// The jobs on one file.
struct File<J> {
    waiting: VecDeque<J>,
    running: usize,
    /// Whether its turn comes.
    has_turn: bool,
}

struct Running {
    file: Ino,
    /// When it last gave a sign of life.
    alive: Instant,
    pulse: Option<Arc<AtomicU64>>,
    beats: u64,
    is_stuck: bool,
}

/// How a pool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    /// Whether anything is being done, or waits.
    pub is_busy: bool,
    /// How many threads are stuck.
    pub stuck: usize,
}

impl<J: Job> Pool<J> {
    /// Starts threads with this name.
    pub(super) fn new(name: &'static str, size: Size) -> io::Result<Self> {
        let pool = Self(Arc::new(Shared {
            name,
            size,
            state: Mutex::new(State {
                files: HashMap::new(),
                turns: VecDeque::new(),
                running: HashMap::new(),
                threads: 0,
                started: 0,
                stuck: 0,
                ticks: 0,
                closed: false,
            }),
            changed: Condvar::new(),
            stuck: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
        }));
        let state = pool.0.state.lock();
        pool.0.start(state, size.usual)?;
        Ok(pool)
    }

    /// Has a job on a file done.
    pub(super) fn spawn(&self, file: Ino, job: J) {
        let mut state = self.0.state.lock();
        let share = self.0.share(&state);
        state.add(file, job, share);
        drop(state);
        self.0.changed.notify_one();
    }

    /// Whether as many threads as may be are stuck for longer than anybody waits.
    pub(super) fn is_lost(&self) -> bool {
        self.0.lost.load(Ordering::Relaxed) >= self.0.size.stuck
    }

    /// How many threads are stuck.
    pub(super) fn stuck(&self) -> usize {
        self.0.stuck.load(Ordering::Relaxed)
    }

    /// Looks after stuck threads; to be called every now and then while anything
    /// goes on. Nobody waits for anything longer than `patience`.
    pub(super) fn look_after(&self, now: Instant, patience: Option<Duration>) -> Condition {
        let mut state = self.0.state.lock();
        let lost = state.look_at_running(now, patience);
        if state.stuck > 0 {
            state.ticks = state.ticks.wrapping_add(1);
            if state.ticks.is_multiple_of(CLEAR_EVERY) {
                state.clear();
            }
        }
        self.0.stuck.store(state.stuck, Ordering::Relaxed);
        self.0.lost.store(lost, Ordering::Relaxed);
        let condition = Condition {
            is_busy: !state.running.is_empty() || !state.files.is_empty(),
            stuck: state.stuck,
        };
        let more = self.0.more(&state);
        if more > 0
            && let Err(error) = self.0.start(state, more)
        {
            log::error!(
                "event=no_thread {} threads are stuck, and no more can be started: {error}",
                condition.stuck
            );
        }
        condition
    }
}

impl<J: Job> Shared<J> {
    /// How many threads are at one file at the most: not all, and few where many
    /// are stuck.
    fn share(&self, state: &State<J>) -> usize {
        if state.stuck >= self.size.stuck / 4 {
            1
        } else {
            self.size.usual.saturating_sub(1).max(1)
        }
    }

    /// How many threads to start. Those that are stuck are replaced, and where all
    /// that replaced them got stuck as well, twice as many, until what waits is not
    /// behind what is stuck.
    fn more(&self, state: &State<J>) -> usize {
        let live = state.threads.saturating_sub(state.stuck);
        let wanted = self.size.usual.max(state.stuck).saturating_sub(live);
        let room = (self.size.usual + self.size.stuck).saturating_sub(state.threads);
        let waiting = state.turns.len();
        let replaced = self.size.usual.saturating_sub(live);
        wanted.min(waiting.max(replaced)).min(room)
    }

    fn start(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State<J>>,
        count: usize,
    ) -> io::Result<()> {
        let first = state.started;
        state.started += count as u64;
        state.threads += count;
        drop(state);
        for number in (first..).take(count) {
            let shared = Arc::clone(self);
            let started = std::thread::Builder::new()
                .name(format!("{}-{number}", self.name))
                .spawn(move || shared.work(number));
            if let Err(error) = started {
                let missing = first + count as u64 - number;
                self.state.lock().threads -= missing as usize;
                return Err(error);
            }
        }
        Ok(())
    }

    fn work(&self, number: u64) {
        while let Some(job) = self.next(number) {
            // A panic has been printed; it ends its job and not the thread.
            let _ = catch_unwind(AssertUnwindSafe(|| job.run()));
        }
    }

    fn next(&self, number: u64) -> Option<J> {
        let mut state = self.state.lock();
        let share = self.share(&state);
        state.finish(number, share);
        loop {
            let live = state.threads.saturating_sub(state.stuck);
            let is_surplus = live > self.size.usual && state.turns.is_empty();
            if state.closed || is_surplus {
                state.threads -= 1;
                return None;
            }
            let share = self.share(&state);
            if let Some(job) = state.begin(number, share) {
                return Some(job);
            }
            self.changed.wait(&mut state);
        }
    }
}

impl<J: Job> State<J> {
    fn add(&mut self, number: Ino, job: J, share: usize) {
        let file = self.files.entry(number).or_insert_with(|| File {
            waiting: VecDeque::new(),
            running: 0,
            has_turn: false,
        });
        file.waiting.push_back(job);
        if !file.has_turn && file.running < share {
            file.has_turn = true;
            self.turns.push_back(number);
        }
    }

    /// Takes the next job, if there is one.
    fn begin(&mut self, thread: u64, share: usize) -> Option<J> {
        while let Some(number) = self.turns.pop_front() {
            let Some(file) = self.files.get_mut(&number) else {
                continue;
            };
            file.has_turn = false;
            if file.running >= share {
                // It gets a turn again when one of its jobs is done.
                continue;
            }
            while let Some(job) = file.waiting.pop_front() {
                if !job.is_wanted() {
                    continue;
                }
                file.running += 1;
                if file.running < share && !file.waiting.is_empty() {
                    file.has_turn = true;
                    self.turns.push_back(number);
                }
                let now = Instant::now();
                let pulse = job.pulse();
                let running = Running {
                    file: number,
                    alive: now,
                    beats: pulse
                        .as_ref()
                        .map_or(0, |pulse| pulse.load(Ordering::Relaxed)),
                    pulse,
                    is_stuck: false,
                };
                self.running.insert(thread, running);
                return Some(job);
            }
            if file.running == 0 {
                self.files.remove(&number);
            }
        }
        None
    }

    /// Takes notice that a thread is done with its job.
    fn finish(&mut self, thread: u64, share: usize) {
        let Some(Running {
            file: number,
            is_stuck,
            ..
        }) = self.running.remove(&thread)
        else {
            return;
        };
        if is_stuck {
            self.stuck -= 1;
        }
        let Some(file) = self.files.get_mut(&number) else {
            return;
        };
        file.running -= 1;
        if file.waiting.is_empty() {
            if file.running == 0 {
                self.files.remove(&number);
            }
        } else if !file.has_turn && file.running < share {
            file.has_turn = true;
            self.turns.push_back(number);
        }
    }

    /// Sees which jobs are stuck, and counts those that have been for longer than
    /// anybody waits.
    fn look_at_running(&mut self, now: Instant, patience: Option<Duration>) -> usize {
        let mut lost = 0;
        let mut stuck = 0;
        for running in self.running.values_mut() {
            if let Some(pulse) = &running.pulse {
                let beats = pulse.load(Ordering::Relaxed);
                if beats != running.beats {
                    running.beats = beats;
                    running.alive = now;
                }
            }
            let silent = now.saturating_duration_since(running.alive);
            running.is_stuck = silent >= STUCK_AFTER;
            stuck += usize::from(running.is_stuck);
            lost += usize::from(patience.is_some_and(|patience| silent >= patience));
        }
        self.stuck = stuck;
        lost
    }

    /// Drops the jobs that nobody waits for.
    fn clear(&mut self) {
        for file in self.files.values_mut() {
            file.waiting.retain(Job::is_wanted);
        }
        self.files
            .retain(|_, file| file.running > 0 || !file.waiting.is_empty());
    }
}

impl<J: Job> std::fmt::Debug for Pool<J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("name", &self.0.name)
            .field("size", &self.0.size)
            .field("stuck", &self.stuck())
            .finish_non_exhaustive()
    }
}

impl<J: Job> Drop for Pool<J> {
    fn drop(&mut self) {
        self.0.state.lock().closed = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc::{Receiver, Sender, channel};

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
        pool.0.state.lock().threads
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
        assert!(pool.0.state.lock().files.is_empty());
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
        assert_eq!(pool.0.state.lock().files[&Ino(2)].waiting.len(), 5);
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
        while pool.0.state.lock().running.is_empty() {
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
}
