//! Very many files in one directory, through all that read or make trees.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod tree;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use tree::{scratch, text};

const FILES: usize = 200_000;

#[test]
#[ignore = "takes a minute: make wide"]
fn two_hundred_thousand_files_in_a_directory_are_borne() {
    let scratch = scratch();
    let at = |name: &str| scratch.path().join(name);
    fs::create_dir_all(at("tree/wide")).unwrap();
    for number in 0..FILES {
        fs::write(at(&format!("tree/wide/{number:06}")), number.to_string()).unwrap();
    }
    let run = |line: &str, status: i32| -> Vec<u8> {
        let begin = Instant::now();
        let done = Command::new(env!("CARGO_BIN_EXE_continuity"))
            .args(line.split(' '))
            .current_dir(scratch.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(
            done.status.code(),
            Some(status),
            "{line}: {}",
            text(&done.stderr)
        );
        let seconds = begin.elapsed().as_secs_f64();
        println!("{line}: {seconds:.2} s");
        done.stdout
    };
    run("build -o manifest tree", 0);
    run("verify tree manifest", 0);
    run("verify --strict tree manifest", 0);
    run("diff tree manifest", 0);
    run("apply --source=dir:tree applied manifest", 0);
    run("apply --delete --source=dir:tree applied manifest", 0);
    run("copy -o copied.pb tree copied", 0);
    assert!(fs::read(at("manifest")).unwrap() == fs::read(at("copied.pb")).unwrap());
    run("diff applied copied", 0);
    run("export --tar --source dir:tree -o tree.tar manifest", 0);
    let built = run("build --from-tar tree.tar", 0);
    assert!(!built.is_empty());
    run("verify --tar tree.tar manifest", 0);
    run("stats manifest", 0);
    let dump = run("dump manifest", 0);
    fs::write(at("dump"), dump).unwrap();
    assert!(run("build --from-dump dump", 0) == fs::read(at("manifest")).unwrap());
    let listed = run("ls manifest", 0);
    assert_eq!(listed.split(|byte| *byte == b'\n').count(), FILES + 2);
    let last = FILES - 1;
    let content = run(
        &format!("cat --source dir:tree manifest /wide/{last:06}"),
        0,
    );
    assert_eq!(text(&content), last.to_string());
    // One more, one less, one other: each of them is found.
    change(&at("copied/wide"));
    let found = text(&run("diff manifest copied", 1));
    for name in ["/wide/0", "/wide/000007", "/wide/000008"] {
        assert!(found.contains(name), "{found}");
    }
    assert!(found.lines().count() < 10, "{found}");
}

fn change(wide: &Path) {
    fs::write(wide.join("0"), "more").unwrap();
    fs::remove_file(wide.join("000007")).unwrap();
    fs::write(wide.join("000008"), "other").unwrap();
}
