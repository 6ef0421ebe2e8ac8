//! The forms of the log, as programs read them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod mounted;
mod tree;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

use mounted::{Mount, wait_until};
use serde_json::Value;
use tree::{build, scratch, text};

/// What a mount logs from its beginning to its end.
fn log(form: &str) -> String {
    let scratch = scratch();
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let name = OsStr::from_bytes(b"a\n\"b\\\x1b[2J\xff");
    fs::write(tree.join(name), "content").unwrap();
    let manifest = build(&scratch, &tree, &[]);
    fs::write(tree.join(name), "CONTENT").unwrap();
    let option = format!("log_format={form}");
    let mut mount = Mount::start(&manifest, &tree, &["-o", &option]);
    wait_until(|| mount.is_mounted(), || mount.log());
    fs::read(mount.join(name)).unwrap_err();
    wait_until(|| mount.log().contains("digest_mismatch"), || mount.log());
    mount.signal_worker("KILL");
    wait_until(|| mount.log().contains("worker_died"), || mount.log());
    // The next one has to answer this.
    fs::metadata(mount.join("none")).unwrap_err();
    mount.signal("TERM");
    assert!(mount.wait().success());
    mount.log()
}

#[test]
fn each_line_is_an_object() {
    let log = log("json");
    let objects: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let find = |event: &str| objects.iter().find(|object| object["event"] == event);
    let refused = find("refused").unwrap();
    assert_eq!(refused["level"], "error");
    assert_eq!(refused["reason"], "digest_mismatch");
    assert_eq!(refused["path"], r#"/a\n"b\\\x1b[2J\xff"#);
    assert_eq!((&refused["off"], &refused["len"]), (&0.into(), &7.into()));
    assert!(refused["ino"].is_u64());
    assert!(refused["want"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(find("worker_died").unwrap()["next"], "again");
    let unpinned = find("unpinned").unwrap();
    assert!(unpinned["message"].as_str().unwrap().contains("--digest"));
    for object in &objects {
        assert!(object["time"].as_str().unwrap().ends_with('Z'), "{object}");
    }
    // As others read it.
    let mut jq = Command::new("python3");
    jq.args(["-c", "import json,sys\nfor l in sys.stdin: json.loads(l)"]);
    let mut jq = jq
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut jq.stdin.take().unwrap(), log.as_bytes()).unwrap();
    let output = jq.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn each_line_is_pairs() {
    let log = log("logfmt");
    for line in log.lines() {
        assert!(line.starts_with("time="), "{line}");
        // key=word or key="text", and nothing else.
        let mut rest = line;
        while !rest.is_empty() {
            let (key, behind) = rest.split_once('=').unwrap();
            assert!(!key.is_empty() && !key.contains(' '), "{line}");
            rest = match behind.strip_prefix('"') {
                Some(quoted) => {
                    let mut escaped = false;
                    let end = quoted.find(|c| {
                        let is_end = c == '"' && !escaped;
                        escaped = c == '\\' && !escaped;
                        is_end
                    });
                    &quoted[end.unwrap() + 1..]
                }
                None => &behind[behind.find(' ').unwrap_or(behind.len())..],
            };
            assert!(rest.is_empty() || rest.starts_with(' '), "{line}");
            rest = rest.trim_start_matches(' ');
        }
    }
    assert!(log.contains(
        r#" level=error event=refused reason=digest_mismatch path="/a\n\"b\\\x1b[2J\xff" ino="#
    ));
    assert!(log.contains(" level=info message=\"mounted "), "{log}");
}
