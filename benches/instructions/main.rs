//! How many instructions the server takes for a request, by valgrind's
//! callgrind: figures that repeat on a busy machine, and show what a change
//! costs where a clock shows noise.
//!
//! The kernel's part is played by this process, over a socket; the server is
//! another one, and only it is counted, without what the kernel does for it.
//! Each operation is done N times and 2N times; their difference is N times the
//! operation, without the start and the end. On a busy machine a thread now and then
//! looks once more whether there is something to do, which only adds; so the lowest
//! counts are taken of several.
//!
//! `cargo bench --bench instructions -- FLAGS`, as root, for the size of the
//! socket's messages:
//!
//! ```text
//! --only WORD            only operations with this word in their names
//! --profile FILE         what callgrind_annotate(1) reads, of the last count
//! --write FILE           put the table into this document
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark fails by panicking"
)]

#[path = "../common/mod.rs"]
mod common;
mod counted;
mod operations;
#[path = "../../tests/requests/mod.rs"]
mod requests;
mod tree;

use common::arguments::{has, text};
use common::machine;
use common::report::Report;
use counted::{Count, Counting};
use operations::{OPERATIONS, Operation};

/// The two lowest counts of the same may differ by so much, in percent.
const TOLERANCE: f64 = 1.0;
/// How often the same is counted at the most, until they do not differ by more.
const COUNTS_MAX: usize = 8;

fn main() {
    if has(counted::SERVE) {
        return counted::serve();
    }
    if has(counted::HASH) {
        return counted::hash();
    }
    if has(counted::FEATURES) {
        return counted::print_features();
    }
    let scratch = common::scratch();
    tree::make(scratch.path());
    let counting = Counting::new(scratch.path());
    let mut report = Report::new("instructions");
    report.line(machine::describe(scratch.path()));
    report.line(format!(
        "{}; the processor that it shows has {}\n",
        counting.valgrind(),
        counting.features()
    ));
    report.head(&[
        "operation",
        "instructions",
        "the two lowest counts differ by",
    ]);
    let only = text("--only").unwrap_or_default();
    let mut is_steady = true;
    for operation in OPERATIONS.iter().filter(|it| it.name.contains(&only)) {
        let (lowest, apart) = instructions(&counting, operation);
        is_steady &= apart <= TOLERANCE;
        report.row(&[
            operation.name.to_owned(),
            grouped(lowest),
            format!("{apart:.2} %"),
        ]);
    }
    report.finish();
    assert!(
        is_steady,
        "the two lowest of {COUNTS_MAX} counts differ by more than {TOLERANCE} %"
    );
}

/// Instructions of one operation, by the lowest counts, and by how many percent the
/// next ones differ from these.
fn instructions(counting: &Counting<'_>, operation: &Operation) -> (f64, f64) {
    let mut counts = [Vec::new(), Vec::new()];
    loop {
        for (counts, factor) in counts.iter_mut().zip(1..) {
            counts.push(counting.count(&operation.what, operation.times * factor));
            counts.sort_by_key(|count: &Count| count.instructions);
        }
        let [once, twice] = &counts;
        if once.len() < 2 {
            continue;
        }
        let [lowest, next] = [0, 1].map(|place| {
            let (once, twice) = (&once[place], &twice[place]);
            let operations = (twice.operations - once.operations) as f64;
            (twice.instructions as f64 - once.instructions as f64) / operations
        });
        let apart = 100.0 * (next - lowest).abs() / lowest;
        if apart <= TOLERANCE || once.len() == COUNTS_MAX {
            return (lowest, apart);
        }
    }
}

/// 1234567 as 1,234,567.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
