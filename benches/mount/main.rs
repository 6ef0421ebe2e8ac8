//! The mount beside the tree that it serves and beside other filesystems, in
//! wall time.
//!
//! Only ratios within one run mean something. Each round does the work by turns
//! on the tree itself, with its content in the page cache, and on mounts of it,
//! each of which is fresh once.
//!
//! `cargo bench --bench mount -- FLAGS`; each flag can also stand in the
//! environment (`BENCH_LARGE_MIB=512`):
//!
//! ```text
//! --files N              small files, of 4 KiB (100000)
//! --large-mib N          size of large files (2048); three times that is written
//! --rounds N             how often everything is done (5)
//! --peer-rounds N        how often others do it too (2; 0: they do not)
//! --only WORD            only works with this word in their names
//! --mount-options LIST   what our mount is told with -o
//! --write FILE           put the tables into this document
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark fails by panicking"
)]

mod afterwards;
#[path = "../common/mod.rs"]
mod common;
mod large;
mod measure;
#[path = "../../tests/mounted/mod.rs"]
mod mounted;
mod peers;
mod programs;
mod small;
mod tree;
mod works;

use std::time::Duration;

use afterwards::mebibytes;
use common::arguments::{number, text};
use common::machine;
use common::report::Report;
use measure::{Figure, Figures, Plan, measure};
use tree::{SMALL_SIZE, Tree};
use works::{WORKS, Work};

fn main() {
    let mut report = Report::new("mount");
    let scratch = common::scratch();
    report.line(machine::describe(scratch.path()));
    let tree = Tree::make(
        scratch.path(),
        number("--files", 100_000),
        number("--large-mib", 2048) << 20,
    );
    let mut plan = Plan {
        rounds: number("--rounds", 5),
        peer_rounds: number("--peer-rounds", 2),
        peers: Vec::new(),
        arguments: text("--mount-options")
            .map(|list| vec!["-o".to_owned(), list])
            .unwrap_or_default(),
    };
    report.line(format!(
        "{} files of {SMALL_SIZE} bytes, large files of {} MiB, medians of {} rounds{}\n",
        tree.small.len(),
        tree.large_size >> 20,
        plan.rounds,
        match text("--mount-options") {
            Some(list) => format!(", mounted with `-o {list}`"),
            None => String::new(),
        }
    ));
    if plan.peer_rounds > 0 {
        plan.peers = peers::find(&tree, scratch.path(), |line| report.line(line + "\n"));
    }
    let only = text("--only").unwrap_or_default();
    let works = || WORKS.iter().filter(|work| work.name.contains(&only));
    report.head(&[
        "work",
        "native",
        "cold",
        "× native",
        "second",
        "× native",
        "later",
        "× native",
        "memory",
    ]);
    let mut all = Vec::new();
    for work in works() {
        let figures = measure(&tree, work, &plan);
        report.row(&ours(&tree, work, &figures));
        all.push((work, figures));
    }
    if !plan.peers.is_empty() {
        beside_others(&tree, &plan, &all, &mut report);
    }
    if only.is_empty() {
        afterwards::report(&tree, &plan, &mut report);
    }
    report.finish();
}

fn ours(tree: &Tree, work: &Work, figures: &Figures) -> Vec<String> {
    let bytes = (work.bytes)(tree);
    let mut cells = vec![work.name.to_owned(), time(figures.native, bytes)];
    for figure in [figures.cold, figures.second, figures.later] {
        cells.push(time(figure.time, bytes));
        cells.push(format!("{:.2}", figure.ratio));
    }
    cells.push(mebibytes(figures.peak));
    cells
}

/// The same works, with what others take for them.
fn beside_others(tree: &Tree, plan: &Plan, all: &[(&Work, Figures)], report: &mut Report) {
    report.line(format!(
        "\nTimes native's, cold / later; others in {} rounds:\n",
        plan.peer_rounds.min(plan.rounds)
    ));
    let names = plan.peers.iter().map(|peer| peer.name);
    let columns: Vec<&str> = ["work", "native", "continuity"]
        .into_iter()
        .chain(names)
        .collect();
    report.head(&columns);
    let both = |cold: Figure, later: Figure| format!("{:.2} / {:.2}", cold.ratio, later.ratio);
    for (work, figures) in all.iter().filter(|(work, _)| work.is_for_peers()) {
        let mut cells = vec![
            work.name.to_owned(),
            time(figures.native, (work.bytes)(tree)),
            both(figures.cold, figures.later),
        ];
        cells.extend(
            figures
                .peers
                .iter()
                .map(|[cold, later]| both(*cold, *later)),
        );
        report.row(&cells);
    }
}

fn time(time: Duration, bytes: u64) -> String {
    let seconds = time.as_secs_f64();
    match bytes {
        0 => format!("{seconds:.4} s"),
        bytes => format!("{seconds:.4} s, {:.0} MB/s", bytes as f64 / 1e6 / seconds),
    }
}
