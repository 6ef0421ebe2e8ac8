//! How much memory one server has had when everything was done on one mount.

use crate::common::memory;
use crate::common::report::Report;
use crate::measure::Plan;
use crate::mounted::Mount;
use crate::tree::{Tree, Vouches};
use crate::works::WORKS;

pub fn report(tree: &Tree, plan: &Plan, report: &mut Report) {
    report.line("\nOne mount on which all of this was done, in one go:\n");
    report.head(&[
        "manifest",
        "most memory of the server",
        "in the end",
        "of it the table",
    ]);
    let arguments: Vec<&str> = plan.arguments.iter().map(String::as_str).collect();
    for (vouches, name) in [
        (Vouches::Chunks, "chunks"),
        (Vouches::Sha256Chunks, "SHA-256 chunks"),
        (Vouches::OneDigest, "one digest"),
    ] {
        let mount = Mount::with(&tree.manifest(vouches), &tree.root, &arguments);
        // Random reads come first, while there is something left to read.
        for work in WORKS.iter().rev() {
            (work.run)(tree, mount.path());
        }
        let [peak, now] = ["VmHWM", "VmRSS"].map(|figure| memory(mount.worker(), figure));
        report.row(&[
            name.to_owned(),
            mebibytes(peak),
            mebibytes(now),
            mebibytes(table(&mount.log())),
        ]);
        assert!(mount.unmount().success());
    }
}

/// The size of the inode table in KiB, which the server says when it has
/// mounted.
fn table(log: &str) -> u64 {
    let (before, _) = log.split_once(" KiB of memory for the table").unwrap();
    let number = before.rsplit(' ').next().unwrap();
    number.parse().unwrap()
}

pub fn mebibytes(kibibytes: u64) -> String {
    format!("{:.1} MiB", kibibytes as f64 / 1024.0)
}
