//! How many instructions the server takes for a request, by valgrind's
//! callgrind: figures that repeat on a busy machine, and show what a change
//! costs where a clock shows noise.
//!
//! The kernel's part is played by this process, over a socket; the server is
//! another one, and only it is counted, without what the kernel does for it.
//! Each operation is done N times and 2N times; their difference is N times the
//! operation, without the start and the end.
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
use counted::Counting;
use operations::{OPERATIONS, Operation};

/// Two counts of the same may differ by so much, in percent.
const TOLERANCE: f64 = 1.0;

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
    report.head(&["operation", "instructions", "two counts differ by"]);
    let only = text("--only").unwrap_or_default();
    let mut is_steady = true;
    for operation in OPERATIONS.iter().filter(|it| it.name.contains(&only)) {
        let [one, other] = [(); 2].map(|()| instructions(&counting, operation));
        let apart = 100.0 * (one - other).abs() / one.min(other);
        is_steady &= apart <= TOLERANCE;
        report.row(&[
            operation.name.to_owned(),
            grouped((one + other) / 2.0),
            format!("{apart:.2} %"),
        ]);
    }
    report.finish();
    assert!(is_steady, "two counts differ by more than {TOLERANCE} %");
}

/// Instructions of one operation.
fn instructions(counting: &Counting<'_>, operation: &Operation) -> f64 {
    let [once, twice] = [1, 2].map(|factor| {
        let times = operation.times * factor;
        counting.count(&operation.what, times)
    });
    let operations = (twice.operations - once.operations) as f64;
    (twice.instructions - once.instructions) as f64 / operations
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
