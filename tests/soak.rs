//! Everything goes wrong, one thing after the other, for as long as is wanted, and the
//! worker is killed now and then: nobody gets a wrong byte, nobody waits for ever, and
//! in the end nothing has grown.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod figures;
mod mounted;
mod scene;
mod tree;

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use figures::{Dice, Run, amount, grouped, is_long};
use mounted::{Mount, child_of, read_cold, run, wait_until};
use scene::Scene;
use tree::flip;

const FILES: usize = 60;

struct Soak {
    scene: Scene,
    contents: Vec<Vec<u8>>,
    mount: Mount,
}

/// What processes have in memory, in MiB.
#[derive(Clone, Copy)]
struct Memory {
    supervisor: f64,
    worker: f64,
}

type Fault = (&'static str, fn(&Path));

/// What happens to a file of the backing.
const FAULTS: [Fault; 7] = [
    ("flip", |path| flip(path, 0)),
    ("shorter", |path| {
        let file = File::options().write(true).open(path).unwrap();
        file.set_len(10).unwrap();
    }),
    ("longer", |path| {
        let file = File::options().write(true).open(path).unwrap();
        file.set_len(file.metadata().unwrap().len() + 1).unwrap();
    }),
    ("gone", |path| fs::remove_file(path).unwrap()),
    ("pipe", |path| {
        fs::remove_file(path).unwrap();
        run("mkfifo", [path]);
    }),
    ("link", |path| {
        fs::remove_file(path).unwrap();
        symlink("/etc/passwd", path).unwrap();
    }),
    ("directory", |path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    }),
];

impl Soak {
    fn new() -> Self {
        let mut dice = Dice(1);
        let contents: Vec<_> = (0..FILES)
            .map(|number| match number % 20 {
                0 => dice.bytes(3 << 20),
                1 => dice.bytes(300_000),
                _ => dice.bytes(6000),
            })
            .collect();
        let scene = Scene::new(|tree| {
            for (number, content) in contents.iter().enumerate() {
                fs::write(tree.join(number.to_string()), content).unwrap();
            }
        });
        Self {
            mount: scene.mount(&[]),
            scene,
            contents,
        }
    }

    fn backing(&self, number: usize) -> PathBuf {
        self.scene.tree().join(number.to_string())
    }

    /// A file as it was, made anew.
    fn repair(&self, number: usize) {
        let (path, anew) = (self.backing(number), self.backing(FILES));
        fs::write(&anew, &self.contents[number]).unwrap();
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir(&path).unwrap();
        }
        fs::rename(anew, path).unwrap();
    }

    /// Reads a file that the kernel may not have; whether it was refused.
    fn read(&self, number: usize) -> bool {
        let content = &self.contents[number];
        match read_cold(&self.mount.join(number.to_string()), content.len()) {
            Ok(bytes) => {
                assert!(bytes == *content, "wrong bytes");
                false
            }
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(5));
                true
            }
        }
    }

    /// Memory of both processes; nothing while there is only one.
    fn memory(&self) -> Option<Memory> {
        let of = |pid: u32| -> Option<f64> {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
            let kibibytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
            Some(kibibytes / 1024.0)
        };
        Some(Memory {
            supervisor: of(self.mount.pid())?,
            worker: of(child_of(self.mount.pid())?)?,
        })
    }
}

/// How much more an hour, by least squares, of what was measured after so many seconds.
fn slope(samples: &[(f64, f64)]) -> f64 {
    let count = samples.len().max(1) as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (at, value) = (mean(|sample| sample.0), mean(|sample| sample.1));
    let (mut up, mut down) = (0.0, 0.0);
    for sample in samples {
        up += (sample.0 - at) * (sample.1 - value);
        down += (sample.0 - at).powi(2);
    }
    if down == 0.0 { 0.0 } else { up / down * 3600.0 }
}

#[test]
fn everything_goes_wrong_and_nothing_grows() {
    let told = Run::begin("soak: 64 readers, a fault a second, a kill a minute");
    let seconds = amount(3600, 5);
    let kill_each = Duration::from_secs(if is_long() { 60 } else { 2 });
    let soak = Soak::new();
    let readers = if is_long() { 64 } else { 8 };
    let done = AtomicBool::new(false);
    let (reads, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    let longest = AtomicU64::new(0);
    let (mut faults, mut kills) = (0_u64, 0_u64);
    // Of the supervisor always, and of each worker at the end of its time.
    let (mut supervisor, mut workers) = (Vec::new(), Vec::new());
    let (mut peak, mut last) = (0.0_f64, None);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..readers)
            .map(|reader| {
                let (soak, done) = (&soak, &done);
                let (reads, refused, longest) = (&reads, &refused, &longest);
                scope.spawn(move || {
                    let mut dice = Dice(reader);
                    while !done.load(Ordering::Relaxed) {
                        let begin = Instant::now();
                        let is_refused = soak.read(dice.below(FILES as u64) as usize);
                        longest.fetch_max(begin.elapsed().as_millis() as u64, Ordering::Relaxed);
                        reads.fetch_add(1, Ordering::Relaxed);
                        refused.fetch_add(u64::from(is_refused), Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let begin = Instant::now();
        let mut killed = begin;
        while begin.elapsed() < Duration::from_secs(seconds)
            && !readers.iter().any(thread::ScopedJoinHandle::is_finished)
        {
            let number = (faults as usize * 7) % FILES;
            let (_, fault) = FAULTS[faults as usize % FAULTS.len()];
            fault(&soak.backing(number));
            faults += 1;
            thread::sleep(Duration::from_millis(if is_long() { 500 } else { 100 }));
            soak.repair(number);
            thread::sleep(Duration::from_millis(if is_long() { 500 } else { 100 }));
            if let Some(memory) = soak.memory() {
                let now = begin.elapsed().as_secs_f64();
                supervisor.push((now, memory.supervisor));
                peak = peak.max(memory.supervisor + memory.worker);
                last = Some((now, memory.worker));
            }
            if killed.elapsed() >= kill_each {
                workers.extend(last.take());
                soak.mount.replace_worker("KILL");
                kills += 1;
                killed = Instant::now();
            }
        }
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().unwrap();
        }
    });
    // All is well again.
    for number in 0..FILES {
        assert!(!soak.read(number), "{number}");
    }
    let in_flight = || soak.mount.status()["requests_in_flight"].clone();
    wait_until(
        || in_flight() == 0,
        || format!("in flight: {:?}", in_flight()),
    );
    let open = fs::read_dir(format!("/proc/{}/fd", soak.mount.worker())).unwrap();
    let open = open.count();
    assert!(open <= 256, "{open} descriptors");
    assert!(kills > 0 || is_long());
    // The first minutes, in which everything is filled, do not count.
    let settled = |samples: &[(f64, f64)]| slope(samples.get(samples.len() / 6..).unwrap());
    let (supervisor, workers) = (settled(&supervisor), settled(&workers));
    if seconds >= 1800 {
        assert!(
            supervisor <= 1.0,
            "the supervisor: {supervisor} MiB an hour"
        );
        // Each one is new; how far it fills its caches hangs on how fast it may work.
        assert!(peak <= 128.0, "at most {peak} MiB");
    }
    assert!(soak.mount.unmount().success());
    told.tell(format!(
        "{seconds} s, {} faults, {} kills, {} reads: {} EIO, none wrong; longest read {} ms, memory of the supervisor {supervisor:+.2} MiB/h, of workers {workers:+.2} MiB/h, at most {peak:.0} MiB, {open} descriptors, 0 in flight",
        grouped(faults),
        grouped(kills),
        grouped(reads.into_inner()),
        grouped(refused.into_inner()),
        longest.into_inner(),
    ));
}
