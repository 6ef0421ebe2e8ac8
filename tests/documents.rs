//! The documents keep up with the program: what it can say is explained, what they show
//! is what is installed, and their links lead somewhere.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use continuity::verify::Word;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn every_event_and_reason_is_explained() {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let mut words = BTreeSet::new();
    for file in files {
        let text = read(&file);
        let code = text.split("#[cfg(test)]").next().unwrap();
        for rest in code.split("event=").skip(1) {
            let is_word = |c: char| c.is_ascii_lowercase() || c == '_';
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            words.insert(rest.split_at(end).0.to_owned());
        }
    }
    assert!(words.contains("refused") && words.contains("stalled"));
    words.extend(Word::ALL.map(|word| word.to_string()));
    let document = read("docs/troubleshooting.md");
    words.retain(|word| !document.contains(&format!("\n| `{word}` |")));
    words.remove("");
    assert!(words.is_empty(), "docs/troubleshooting.md lacks {words:?}");
}

/// Without its comments, and in as far as a document would show it.
#[test]
fn examples_are_those_that_are_installed() {
    let document = read("docs/mounting.md");
    for entry in fs::read_dir(root().join("packaging/examples")).unwrap() {
        let path = entry.unwrap().path();
        let shown: String = read(&path)
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                if line.is_empty() {
                    "\n".to_owned()
                } else {
                    format!("    {line}\n")
                }
            })
            .collect();
        assert!(
            document.contains(&shown),
            "docs/mounting.md has another {path:?}"
        );
    }
}

#[test]
fn links_lead_somewhere() {
    let mut documents = vec![root().join("README.md")];
    sources(&root().join("docs"), &mut documents);
    for document in documents {
        let text = read(&document);
        for rest in text.split("](").skip(1) {
            let target = rest.split([')', '#']).next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let path = document.parent().unwrap().join(target);
            assert!(path.exists(), "{document:?} leads to {target}");
        }
    }
}
