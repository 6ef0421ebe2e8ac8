//! The architecture, held by a test: a module names only modules of lower
//! layers, and what belongs behind one module stays there.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// The modules of each layer, from the lowest.
const LAYERS: [&[&str]; 13] = [
    &["sys"],
    &["escape", "progress", "sandbox"],
    &["acl", "attributes", "digest", "mode", "path"],
    &["manifest", "trust"],
    &["tar"],
    &["source", "tree"],
    &["verify"],
    &["inode"],
    &["fs"],
    &["apply", "audit", "build", "cat", "fuse", "list", "rootfs"],
    &["archive", "check"],
    &["supervisor"],
    &["cli"],
];

/// Crates that one module alone may name.
const BEHIND: [(&str, &[&str]); 19] = [
    // `sys` for the one call of it that is unsafe.
    ("fuser", &["fuse", "sys"]),
    ("rustix", &["sys"]),
    ("nix", &["sys"]),
    ("landlock", &["sandbox"]),
    ("caps", &["sandbox"]),
    ("seccompiler", &["sandbox"]),
    ("libc", &["sandbox"]),
    ("prost", &["manifest"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("strsim", &["cli"]),
    ("indicatif", &["cli"]),
    ("sha2", &["digest"]),
    ("base64ct", &["trust"]),
    ("minisign_verify", &["trust"]),
    ("ssh_key", &["trust"]),
    ("flate2", &["tar"]),
    ("ruzstd", &["tar"]),
    ("lzma_rust2", &["tar"]),
];

fn layer(module: &str) -> usize {
    LAYERS
        .iter()
        .position(|modules| modules.contains(&module))
        .unwrap_or_else(|| panic!("module {module} is in no layer"))
}

/// Every source file and the module it belongs to.
fn sources() -> Vec<(String, PathBuf)> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files
        .into_iter()
        .filter(|file| !file.ends_with("src/lib.rs") && !file.ends_with("src/main.rs"))
        .map(|file| {
            let inner = file.strip_prefix(&root).unwrap();
            let module = inner.iter().next().unwrap().to_str().unwrap();
            (module.trim_end_matches(".rs").to_owned(), file)
        })
        .collect()
}

/// The lines of a file, without comments and without its unit tests.
fn code(file: &Path) -> Vec<String> {
    fs::read_to_string(file)
        .unwrap()
        .lines()
        .take_while(|line| *line != "#[cfg(test)]")
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(str::to_owned)
        .collect()
}

/// The words that follow a prefix such as `crate::`, also in braces.
fn named_after<'a>(line: &'a str, prefix: &str) -> Vec<&'a str> {
    line.match_indices(prefix)
        .flat_map(|(place, _)| {
            let rest = line.split_at(place + prefix.len()).1;
            let list = match rest.strip_prefix('{') {
                Some(list) => list.split('}').next().unwrap(),
                None => rest,
            };
            list.split(',')
                .take(if rest.starts_with('{') { 99 } else { 1 })
        })
        .map(|path| {
            path.trim()
                .split(|c: char| !(c.is_alphanumeric() || c == '_'))
                .next()
                .unwrap()
        })
        .filter(|word| !word.is_empty())
        .collect()
}

#[test]
fn modules_name_only_lower_layers() {
    let mut wrong = Vec::new();
    for (module, file) in sources() {
        for line in code(&file) {
            for named in named_after(&line, "crate::") {
                if named != module && layer(named) >= layer(&module) {
                    wrong.push(format!("{}: {module} names {named}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whether a line has `name::` as a word of its own, and not one of our modules.
fn names_crate(line: &str, name: &str) -> bool {
    line.match_indices(&format!("{name}::")).any(|(place, _)| {
        let before = line.split_at(place).0;
        let is_part = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        !is_part && !before.ends_with("crate::")
    })
}

#[test]
fn crates_stay_behind_their_module() {
    let mut wrong = Vec::new();
    for (module, file) in sources() {
        for line in code(&file) {
            for (name, homes) in BEHIND {
                if names_crate(&line, name) && !homes.contains(&&*module) {
                    wrong.push(format!("{}: {}", file.display(), line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_library_does_not_print_or_look_around() {
    let mut wrong = Vec::new();
    for (module, file) in sources() {
        let forbidden = [
            "println!",
            "eprintln!",
            "print!(",
            "std::env::",
            "std::process::exit",
        ];
        for line in code(&file) {
            if module != "cli" && forbidden.iter().any(|word| line.contains(word)) {
                wrong.push(format!("{}: {}", file.display(), line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn unsafe_code_stays_with_the_system_calls() {
    let mut wrong = Vec::new();
    for (module, file) in sources() {
        for line in code(&file) {
            if module != "sys" && (line.contains("unsafe {") || line.contains("unsafe_code")) {
                wrong.push(format!("{}: {}", file.display(), line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
