//! What 128 reads that are stuck in a dead backing cost all others, and when they are
//! answered.
//!
//! A part of the tree is another mount, whose server is stopped. By turns, on a fresh
//! mount of the whole each time: nobody is stuck; 64 files are stuck and 64 readers of
//! one more.
//!
//! `cargo bench --bench stalls -- FLAGS`, as root:
//!
//! ```text
//! --files N              small files that live, of 4 KiB (20000)
//! --large-mib N          size of large files that live (512)
//! --rounds N             how often everything is done (5)
//! --write FILE           put the table into this document
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark fails by panicking"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../../tests/mounted/mod.rs"]
mod mounted;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::arguments::number;
use common::machine;
use common::report::Report;
use common::{build_manifest, median, noise, timed};
use mounted::Mount;

const STUCK: usize = 64;
const SMALL: usize = 4096;
/// Of reads at random.
const PLACES: u64 = 2000;
/// The deadline where that is measured, in seconds.
const TIMEOUT: u64 = 5;

struct Tree {
    root: PathBuf,
    store: PathBuf,
    manifest: PathBuf,
    dead_manifest: PathBuf,
    small: usize,
    large: u64,
}

fn main() {
    let mut report = Report::new("stalls");
    let scratch = common::scratch();
    report.line(machine::describe(scratch.path()));
    let tree = Tree::make(
        scratch.path(),
        number("--files", 20_000) as usize,
        number("--large-mib", 512) << 20,
    );
    let rounds = number("--rounds", 5);
    report.line(format!(
        "{} files of {SMALL} bytes, large files of {} MiB, medians of {rounds} rounds\n",
        tree.small,
        tree.large >> 20
    ));
    report.head(&["", "nobody stuck", "128 stuck", "ratio of the medians"]);
    let mut figures: Vec<(&str, [Vec<f64>; 2])> = Vec::new();
    for _ in 0..rounds {
        for (place, is_stuck) in [false, true].into_iter().enumerate() {
            for (name, seconds) in tree.measure(is_stuck) {
                match figures.iter_mut().find(|(found, _)| *found == name) {
                    Some((_, both)) => both[place].push(seconds),
                    None => {
                        let mut both = [Vec::new(), Vec::new()];
                        both[place].push(seconds);
                        figures.push((name, both));
                    }
                }
            }
        }
    }
    for (name, both) in figures {
        let [normal, stuck] = both.map(median);
        report.row(&[
            name.to_owned(),
            in_units(normal),
            in_units(stuck),
            format!("{:.2}", stuck / normal),
        ]);
    }
    report.line(String::new());
    report.line(tree.measure_deadline());
    report.finish();
}

fn in_units(seconds: f64) -> String {
    if seconds < 0.1 {
        format!("{:.3} ms", seconds * 1000.0)
    } else {
        format!("{seconds:.3} s")
    }
}

impl Tree {
    fn make(scratch: &Path, small: usize, large: u64) -> Self {
        let tree = Self {
            root: scratch.join("tree"),
            store: scratch.join("store"),
            manifest: scratch.join("manifest"),
            dead_manifest: scratch.join("dead.manifest"),
            small,
            large,
        };
        fs::create_dir(&tree.store).unwrap();
        fs::create_dir_all(tree.root.join("dead")).unwrap();
        let mut seed = 0;
        let mut write = |path: &Path, size: u64| {
            seed += 1;
            let mut file = File::create(path).unwrap();
            let block: Vec<u8> = noise(seed).take((size as usize).min(1 << 20)).collect();
            for part in 0..size.div_ceil(1 << 20) {
                file.write_all(&block).unwrap();
                // No two blocks are the same.
                file.write_all_at(&part.to_le_bytes(), part << 20).unwrap();
            }
        };
        for number in 0..=STUCK {
            for place in [&tree.store, &tree.root.join("dead")] {
                fs::write(place.join(number.to_string()), vec![number as u8; 300_000]).unwrap();
            }
        }
        for kind in ["walked", "listed", "looked"] {
            for number in 0..small {
                let directory = tree.root.join(format!("{kind}{}", number / 1000));
                fs::create_dir_all(&directory).unwrap();
                write(&directory.join(format!("{number:06}")), SMALL as u64);
            }
        }
        for name in ["sequential", "random"] {
            write(&tree.root.join(name), large);
        }
        // Not chunks: all of it is hashed first.
        write(&tree.root.join("whole"), 3 << 20);
        build_manifest(&tree.root, &tree.manifest, &[]);
        build_manifest(&tree.store, &tree.dead_manifest, &[]);
        tree
    }

    fn mount_dead(&self) -> Mount {
        let scratch = common::scratch();
        let inner = Mount::start_at(scratch, self.root.join("dead"), |place| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_continuity"));
            command
                .args(["mount", "--fuse"])
                .args([place, &self.dead_manifest, &self.store]);
            command
        });
        inner.wait_for("INFO  mounted");
        inner
    }

    fn small(&self, kind: &str) -> Vec<PathBuf> {
        (0..self.small)
            .map(|number| PathBuf::from(format!("{kind}{}/{number:06}", number / 1000)))
            .collect()
    }

    fn measure(&self, is_stuck: bool) -> Vec<(&'static str, f64)> {
        let inner = self.mount_dead();
        let outer = Mount::with(&self.manifest, &self.root, &["-o", "timeout=600"]);
        self.warm();
        thread::scope(|scope| {
            if is_stuck {
                inner.signal_worker("STOP");
                for reader in 0..2 * STUCK {
                    let path = outer.join("dead").join(reader.min(STUCK).to_string());
                    scope.spawn(move || fs::read(path).unwrap());
                }
                thread::sleep(Duration::from_secs(2));
            }
            let figures = self.use_what_lives(&outer);
            if is_stuck {
                inner.signal_worker("CONT");
            }
            figures
        })
    }

    /// Has the source in the page cache.
    fn warm(&self) {
        for kind in ["walked", "listed"] {
            for path in self.small(kind) {
                fs::read(self.root.join(path)).unwrap();
            }
        }
        for name in ["sequential", "random", "whole"] {
            read_through(&self.root.join(name));
        }
    }

    fn use_what_lives(&self, outer: &Mount) -> Vec<(&'static str, f64)> {
        let mut figures = Vec::new();
        let mut looked: Vec<f64> = self
            .small("looked")
            .iter()
            .map(|path| {
                timed(|| fs::metadata(outer.join(path)).unwrap())
                    .0
                    .as_secs_f64()
            })
            .collect();
        looked.sort_by(f64::total_cmp);
        let at = |per_mille: usize| looked[looked.len() * per_mille / 1000];
        figures.push(("stat of a new name, median", at(500)));
        figures.push(("stat of a new name, 99th percentile", at(990)));
        figures.push(("stat of a new name, longest", looked[looked.len() - 1]));
        figures.push((
            "small files in order",
            seconds(|| {
                for directory in 0..self.small.div_ceil(1000) {
                    let directory = outer.join(format!("walked{directory}"));
                    let names = fs::read_dir(directory).unwrap();
                    let mut paths: Vec<PathBuf> =
                        names.map(|entry| entry.unwrap().path()).collect();
                    paths.sort();
                    for path in paths {
                        assert_eq!(fs::read(path).unwrap().len(), SMALL);
                    }
                }
            }),
        ));
        let mut listed = self.small("listed");
        let count = listed.len();
        for place in 0..count {
            listed.swap(place, place * 7919 % count);
        }
        listed.truncate(count / 2);
        figures.push((
            "small files in no order",
            seconds(|| {
                for path in &listed {
                    assert_eq!(fs::read(outer.join(path)).unwrap().len(), SMALL);
                }
            }),
        ));
        figures.push((
            "large file in order",
            seconds(|| read_through(&outer.join("sequential"))),
        ));
        let file = File::open(outer.join("random")).unwrap();
        figures.push((
            "4 KiB at random in a large file",
            seconds(|| {
                for step in 0..PLACES {
                    let place = step.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
                    let place = place % (self.large / SMALL as u64) * SMALL as u64;
                    file.read_exact_at(&mut [0; SMALL], place).unwrap();
                }
            }),
        ));
        figures.push((
            "3 MiB without chunks",
            seconds(|| read_through(&outer.join("whole"))),
        ));
        figures
    }

    /// When those are answered who are stuck, and when one is gone that is killed.
    fn measure_deadline(&self) -> String {
        let inner = self.mount_dead();
        let options = format!("timeout={TIMEOUT}");
        let outer = Mount::with(&self.manifest, &self.root, &["-o", &options]);
        inner.signal_worker("STOP");
        let begin = Instant::now();
        let (answered, gone) = thread::scope(|scope| {
            let stuck: Vec<_> = (0..2 * STUCK)
                .map(|reader| {
                    let path = outer.join("dead").join(reader.min(STUCK).to_string());
                    scope.spawn(move || {
                        let error = fs::read(path).unwrap_err();
                        assert_eq!(error.raw_os_error(), Some(5));
                        begin.elapsed()
                    })
                })
                .collect();
            let path = outer.join("dead").join("0");
            let mut killed = Command::new("cat")
                .arg(path)
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            thread::sleep(Duration::from_secs(1));
            killed.kill().unwrap();
            killed.wait().unwrap();
            let gone = begin.elapsed();
            let answered: Vec<Duration> = stuck
                .into_iter()
                .map(|reader| reader.join().unwrap())
                .collect();
            (answered, gone)
        });
        inner.signal_worker("CONT");
        format!(
            "With `timeout={TIMEOUT}`, 128 stuck readers had EIO after {:.2} to {:.2} s; one that was killed after 1 s was gone after {:.2} s.\n",
            answered.iter().min().unwrap().as_secs_f64(),
            answered.iter().max().unwrap().as_secs_f64(),
            gone.as_secs_f64()
        )
    }
}

fn seconds(work: impl FnOnce()) -> f64 {
    timed(work).0.as_secs_f64()
}

fn read_through(path: &Path) {
    let mut file = File::open(path).unwrap();
    let mut buffer = vec![0; 1 << 20];
    while file.read(&mut buffer).unwrap() > 0 {}
}
