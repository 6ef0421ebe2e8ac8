//! What every subcommand must bear: bad input, no room, nobody who reads, an
//! early end. `commands` has the table of them all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod commands;
mod tree;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use commands::{Place, SUBCOMMANDS, Word, finish, interrupt, program, run, run_in_shell};
use tree::{continuity_as_nobody, set_mode, sh, text};

const SMALL: &str = "mkdir d; echo content >file; echo 1 >d/1; ln -s file l; ln file link";

/// What was said, which must be printable lines of ours and no panic.
fn said(name: &str, output: &Output) -> String {
    let said = text(&output.stderr);
    let is_ours = |line: &str| {
        // What runs for long writes a log.
        let is_log = line.starts_with("20") && line.contains("Z ");
        line.starts_with("continuity: ") || is_log
    };
    for line in said.lines() {
        let acts = |c: char| c.is_control();
        assert!(is_ours(line) && !line.contains(acts), "{name}: {line:?}");
    }
    said
}

/// Whether a line only counts what was done.
fn is_summary(line: &str) -> bool {
    let counts = ["differences: ", "added: ", "created: "];
    let mut counts = counts.iter();
    counts.any(|word| line.starts_with(&format!("continuity: {word}")))
}

/// It must end with status 2, and say all of this.
fn refused(name: &str, output: &Output, wanted: &[&str]) {
    let said = said(name, output);
    assert_eq!(output.status.code(), Some(2), "{name}: {said}");
    assert_eq!(text(&output.stdout), "", "{name}");
    for wanted in wanted {
        assert!(
            said.contains(wanted),
            "{name}: {wanted:?} is not in {said:?}"
        );
    }
}

/// Each command with each of its paths; what nobody needs to be there is not
/// among them.
fn inputs() -> impl Iterator<Item = (&'static str, &'static [Word], usize, Word)> {
    SUBCOMMANDS.iter().flat_map(|(name, words)| {
        let inputs = words.iter().enumerate().filter(|(_, word)| {
            !matches!(word, Word::Plain(_) | Word::NewFile | Word::NewDirectory)
        });
        inputs.map(move |(place, word)| (*name, *words, place, *word))
    })
}

#[test]
fn input_that_is_missing_is_named() {
    let place = Place::new(SMALL);
    let missing = place.scratch.path().join("no such\n\x1b[31mname");
    let shown = "no such\\n\\x1b[31mname";
    for (name, words, at, word) in inputs() {
        if (name, word) == ("apply --dry-run", Word::Mountpoint) {
            // It would be made.
            continue;
        }
        let output = run(place.arguments(words, Some((at, &missing))));
        refused(name, &output, &[shown, "No such file or directory"]);
        assert_eq!(place.made(), [""; 0], "{name}");
    }
}

#[test]
fn input_of_another_kind_is_named() {
    let place = Place::new(SMALL);
    let (directory, file) = (place.scratch.path().join("mnt"), place.tree.join("file"));
    for (name, words, at, word) in inputs() {
        // A side can be either.
        let is_side = name.starts_with("diff");
        let (other, wanted) = match word {
            _ if is_side => continue,
            Word::Manifest | Word::Dump | Word::Archive => (&directory, "directory"),
            _ => (&file, "directory"),
        };
        let output = run(place.arguments(words, Some((at, other))));
        refused(name, &output, &[other.to_str().unwrap(), wanted]);
        assert_eq!(place.made(), [""; 0], "{name}");
    }
}

#[test]
fn a_manifest_that_is_none_is_named() {
    let place = Place::new(SMALL);
    let broken = place.scratch.path().join("broken");
    for bytes in [
        &b"\x0a\x05\x0a"[..],
        b"\x0a\xff\xff\xff\xff\x0f",
        &[0xff; 1000],
    ] {
        fs::write(&broken, bytes).unwrap();
        for (name, words, at, word) in inputs() {
            if word == Word::Manifest {
                let output = run(place.arguments(words, Some((at, &broken))));
                refused(
                    name,
                    &output,
                    &["broken: cannot parse invalid wire-format data at byte"],
                );
                assert_eq!(place.made(), [""; 0], "{name}");
            }
        }
    }
}

#[test]
fn input_that_may_not_be_read_is_named() {
    let place = Place::new(SMALL);
    let closed = place.scratch.path().join("closed");
    fs::copy(&place.manifest, &closed).unwrap();
    set_mode(&closed, 0o600);
    let closed_tree = place.scratch.path().join("closed-tree");
    sh(
        place.scratch.path(),
        "cp -a tree closed-tree; chmod 700 closed-tree",
    );
    for (name, words, at, word) in inputs() {
        let other = match word {
            Word::Manifest | Word::Dump | Word::Archive => &closed,
            // Who may not mount is told that first.
            Word::Mountpoint => continue,
            _ => &closed_tree,
        };
        if word == Word::Source && name == "cat" {
            // A source is opened; what is in it is found closed when it is read.
            continue;
        }
        let arguments = place.arguments(words, Some((at, other)));
        let output = continuity_as_nobody(&place.scratch, arguments);
        assert_eq!(output.status.code(), Some(2), "{name}: {output:?}");
        let said = said(name, &output);
        assert!(said.contains("Permission denied"), "{name}: {said}");
    }
}

#[test]
fn a_file_that_may_not_be_read_is_named() {
    let place = Place::new("mkdir d; echo content >file; echo 1 >d/closed; chmod 755 d");
    set_mode(&place.tree.join("d/closed"), 0o000);
    for (name, words) in SUBCOMMANDS {
        let reads = words.contains(&Word::Tree) || words.contains(&Word::Source);
        if !reads || matches!(*name, "mount" | "cat" | "apply --dry-run") {
            continue;
        }
        let output = continuity_as_nobody(&place.scratch, place.arguments(words, None));
        assert_eq!(output.status.code(), Some(2), "{name}: {output:?}");
        let said = said(name, &output);
        let names_it = said.contains("/d/closed") && said.contains("ermission denied");
        assert!(names_it, "{name}: {said}");
        // A tree is made file by file; nothing else is made.
        let made = place.made();
        assert!(
            made.iter().all(|made| made == "directory"),
            "{name}: {made:?}"
        );
        sh(&place.target, "rm -rf directory");
    }
}

#[test]
fn a_target_that_cannot_be_made_is_named() {
    let place = Place::new(SMALL);
    set_mode(&place.target, 0o755);
    for (name, words) in SUBCOMMANDS {
        for (at, word) in words.iter().enumerate() {
            let shown = match word {
                Word::NewFile => "target/file",
                Word::NewDirectory => "target/directory",
                _ => continue,
            };
            let arguments = place.arguments(words, None);
            let output = continuity_as_nobody(&place.scratch, arguments);
            // The file is begun before the directory.
            let shown = match words.contains(&Word::NewFile) {
                true => "target/file",
                false => shown,
            };
            refused(name, &output, &[shown, "Permission denied"]);
            let nowhere = place.scratch.path().join("nowhere/target");
            let output = run(place.arguments(words, Some((at, &nowhere))));
            refused(
                name,
                &output,
                &["nowhere/target", "No such file or directory"],
            );
            assert_eq!(place.made(), [""; 0], "{name}");
        }
    }
}

#[test]
fn a_target_in_use_is_left_alone() {
    let place = Place::new(SMALL);
    for (name, words) in SUBCOMMANDS {
        if words.contains(&Word::NewDirectory) {
            let directory = place.path(Word::NewDirectory);
            fs::create_dir_all(&directory).unwrap();
            let _held = lock(&directory);
            let output = run(place.arguments(words, None));
            refused(name, &output, &["target/directory"]);
            assert_eq!(fs::read_dir(&directory).unwrap().count(), 0, "{name}");
        }
    }
    // A program that runs is replaced by name, not written to.
    let words = &[
        Word::Plain("build"),
        Word::Plain("-o"),
        Word::NewFile,
        Word::Tree,
    ];
    let file = place.path(Word::NewFile);
    fs::copy("/bin/sleep", &file).unwrap();
    let mut sleep = Command::new(&file).arg("60").spawn().unwrap();
    let output = run(place.arguments(words, None));
    sleep.kill().unwrap();
    sleep.wait().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(fs::read(&file).unwrap(), fs::read(&place.manifest).unwrap());
}

fn lock(directory: &Path) -> fs::File {
    let directory = fs::File::open(directory).unwrap();
    let operation = rustix::fs::FlockOperation::LockExclusive;
    rustix::fs::flock(&directory, operation).unwrap();
    directory
}

/// What writes nothing to standard output here.
const SILENT: [&str; 8] = [
    "apply",
    "apply in place",
    "build -o",
    "copy",
    "copy -o",
    "diff manifests",
    "export -o",
    "mount",
];

/// A tree of which every other command has more to say than a pipe holds.
fn talkative() -> Place {
    Place::new(
        "mkdir d; head -c 300000 /dev/zero >file
         cd d; seq 3000 | sed 's/.*/name-that-is-not-so-short-&/' | xargs touch",
    )
}

/// For those that compare, what has nothing in it, so that they have something to
/// say.
fn with_nothing_in_it(place: &Place, name: &str, words: &[Word]) -> Option<(usize, PathBuf)> {
    if !(name.starts_with("verify") || name.starts_with("diff")) {
        return None;
    }
    let is_side = |word: &Word| matches!(word, Word::Tree | Word::Archive);
    let at = words.iter().position(is_side)?;
    let archive = place.scratch.path().join("nothing.tar");
    fs::write(&archive, [0; 1024]).unwrap();
    Some(match words[at] {
        Word::Archive => (at, archive),
        _ => (at, place.scratch.path().join("mnt")),
    })
}

#[test]
fn a_reader_that_leaves_is_not_told_about_it() {
    let place = talkative();
    for (name, words) in SUBCOMMANDS {
        if SILENT.contains(name) {
            continue;
        }
        let other = with_nothing_in_it(&place, name, words);
        let other = other.as_ref().map(|(at, path)| (*at, path.as_path()));
        let arguments = place.arguments(words, other);
        let shell = r#"set -o pipefail; "$@" | true; exit ${PIPESTATUS[0]}"#;
        let output = run_in_shell(shell, &arguments);
        assert!(
            matches!(output.status.code(), Some(0 | 1)),
            "{name}: {output:?}"
        );
        let said = text(&output.stderr);
        assert!(said.lines().all(is_summary), "{name}: {said}");
    }
}

#[test]
fn a_full_disk_behind_standard_output_is_told() {
    let place = talkative();
    for (name, words) in SUBCOMMANDS {
        if SILENT.contains(name) {
            continue;
        }
        let other = with_nothing_in_it(&place, name, words);
        let other = other.as_ref().map(|(at, path)| (*at, path.as_path()));
        let output = run_in_shell(r#""$@" >/dev/full"#, &place.arguments(words, other));
        refused(name, &output, &["No space left on device"]);
    }
}

/// A filesystem with room for one page, unmounted in the end.
struct Full(PathBuf);

impl Full {
    fn new(place: &Place) -> Self {
        let directory = place.scratch.path().join("full");
        fs::create_dir(&directory).unwrap();
        sh(
            place.scratch.path(),
            "mount -t tmpfs -o size=4k,nr_inodes=100 full full",
        );
        Self(directory)
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_leaves_nothing_half_made() {
    let place = talkative();
    let full = Full::new(&place);
    for (name, words) in SUBCOMMANDS {
        for (at, word) in words.iter().enumerate() {
            if !matches!(word, Word::NewFile | Word::NewDirectory) {
                continue;
            }
            let target = full.0.join("target");
            let output = run(place.arguments(words, Some((at, &target))));
            let said = said(name, &output);
            assert_eq!(output.status.code(), Some(2), "{name}: {said}");
            assert!(said.contains("No space left on device"), "{name}: {said}");
            // What is there is right.
            match word {
                Word::NewFile => assert!(!target.exists(), "{name}"),
                _ => {
                    let file = target.join("file");
                    assert!(!file.exists(), "{name}: {:?}", fs::metadata(&file));
                }
            }
            sh(&full.0, "rm -rf target; test -z \"$(ls -A)\"");
        }
    }
}

#[test]
fn an_interrupted_run_leaves_nothing_half_made() {
    let place = Place::new("mkdir d; echo content >file; truncate -s 0 large");
    // Nobody reads that to the end.
    let size = 1 << 40;
    let large = fs::File::options()
        .write(true)
        .open(place.tree.join("large"))
        .unwrap();
    large.set_len(size).unwrap();
    let manifest = declare_large(&place.manifest, size);
    fs::write(&place.manifest, manifest).unwrap();
    for (name, words) in SUBCOMMANDS {
        let reads = words.contains(&Word::Tree) || words.contains(&Word::Source);
        // The mount has tests of its own, a dry run reads nothing, and a copy that
        // nobody wants hashed passes over the hole.
        if !reads
            || matches!(
                *name,
                "mount" | "apply --dry-run" | "diff archive tree" | "copy"
            )
        {
            continue;
        }
        let mut arguments = place.arguments(words, None);
        if *name == "cat" {
            arguments.pop();
            arguments.push("/large".into());
        }
        if *name == "diff trees" {
            // The same tree twice needs no reading in no case but this.
            let twin = place.scratch.path().join("twin");
            sh(
                place.scratch.path(),
                "test -d twin || cp -a --sparse=always tree twin",
            );
            arguments[2] = twin.into_os_string();
        }
        let output = interrupt(&arguments);
        let is_interrupted = output.status.signal() == Some(2) || output.status.code() == Some(130);
        assert!(is_interrupted, "{name}: {output:?}");
        assert_eq!(text(&output.stdout), "", "{name}");
        said(name, &output);
        for made in place.made() {
            // A tree is made file by file, but no file is half there.
            assert_eq!(made, "directory", "{name}");
            let inside = place.target.join(made);
            let names = fs::read_dir(&inside)
                .unwrap()
                .map(|entry| entry.unwrap().file_name());
            let large = names.filter(|name| name != "file" && name != "d");
            assert_eq!(large.collect::<Vec<_>>(), [""; 0], "{name}");
            fs::remove_dir_all(inside).unwrap();
        }
    }
}

/// The same manifest with a size for `/large` that nobody has hashed.
fn declare_large(manifest: &Path, size: u64) -> Vec<u8> {
    use continuity::manifest::{Form, Kind, Limits, Manifest};
    let bytes = fs::read(manifest).unwrap();
    let mut manifest = Manifest::read(&bytes, &Limits::default()).unwrap();
    for resource in &mut manifest.resources {
        if let Kind::Regular(content) = &mut resource.kind
            && resource.paths[0].as_bytes() == b"/large"
        {
            content.size = size;
            // Its metadata changed with it.
            resource.metadata.mtime = None;
        }
    }
    manifest.encode(Form::Full).unwrap()
}

/// A sparse file costs nothing where its content does not count, or its size
/// tells enough.
#[test]
fn a_terabyte_of_nothing_is_not_read_for_its_size() {
    let place = Place::new("mkdir d; echo content >file; echo 1 >large");
    let large = fs::File::options()
        .write(true)
        .open(place.tree.join("large"))
        .unwrap();
    large.set_len(1 << 40).unwrap();
    for (arguments, wanted) in [
        (
            &["verify"][..],
            "target has incorrect size: 1099511627776 != 2",
        ),
        (&["diff", "--"], "M /large: size 1099511627776 -> 2"),
        (&["diff", "--ignore-attr=content,size"], ""),
    ] {
        let paths = [place.tree.as_os_str(), place.manifest.as_os_str()];
        let output = run(arguments.iter().map(OsStr::new).chain(paths));
        assert_eq!(
            output.status.code(),
            Some(i32::from(!wanted.is_empty())),
            "{output:?}"
        );
        assert!(text(&output.stdout).contains(wanted), "{output:?}");
    }
}

#[test]
fn names_of_any_bytes_are_borne() {
    let place = Place::new(
        r#"for name in 'new
line' "$(printf '\033[31mred')" "$(printf 'raw\377')" 'sp ace' "$(printf '\342\200\256flip')" -dash '*'; do
             echo "$name" >"./$name"; ln -s -- "$name" "./link-$name"
             setfattr -n "user.$name" -v x "./$name" || true
           done; echo content >file"#,
    );
    for (name, words) in SUBCOMMANDS {
        if *name == "mount" {
            continue;
        }
        let output = run(place.arguments(words, None));
        assert_eq!(output.status.code(), Some(0), "{name}: {output:?}");
        assert!(said(name, &output).lines().all(is_summary), "{name}");
        sh(&place.target, "rm -rf file directory");
    }
    // What is said of them is printable.
    sh(
        &place.tree,
        "for f in ./*; do test -L \"$f\" || echo y >>\"$f\"; done; tar -cf ../manifest.tar .",
    );
    for (name, words) in SUBCOMMANDS {
        if !words.contains(&Word::Manifest) || matches!(*name, "mount" | "apply in place") {
            continue;
        }
        let output = run(place.arguments(words, None));
        let printed = output.stdout.iter().chain(&output.stderr);
        let acts = printed.filter(|byte| **byte == 0x1b).count();
        let is_raw = matches!(*name, "ls" | "cat" | "build --reuse" | "export");
        assert!(acts == 0 || is_raw, "{name}: {output:?}");
        if name.starts_with("verify") || *name == "diff manifest tree" {
            assert_eq!(output.status.code(), Some(1), "{name}");
            assert!(text(&output.stdout).contains(r"raw\xff"), "{name}");
        }
        sh(&place.target, "rm -rf file directory");
    }
}

#[test]
fn a_deep_tree_and_a_wide_one_are_borne() {
    let place = Place::new(
        "deep=$(printf 'd/%.0s' $(seq 500)); mkdir -p $deep; echo content >$deep/file
         mkdir wide; cd wide; seq 1000 | xargs touch; cd ..; echo content >file",
    );
    for (name, words) in SUBCOMMANDS {
        if *name == "mount" {
            continue;
        }
        let output = run(place.arguments(words, None));
        assert_eq!(
            output.status.code(),
            Some(0),
            "{name}: {:?}",
            text(&output.stderr)
        );
        assert!(said(name, &output).lines().all(is_summary), "{name}");
        sh(&place.target, "rm -rf file directory");
    }
}

/// Paths that are longer than the kernel takes can only be made step by step.
#[test]
fn a_path_that_is_too_long_is_named() {
    let place = Place::new("echo content >file");
    let name = "n".repeat(250);
    let script = "import os\nfor _ in range(17): os.mkdir('n' * 250); os.chdir('n' * 250)";
    sh(&place.tree, &format!("python3 -c \"{script}\""));
    let leads_on = format!("/{name}/{name}");
    for (name, words) in SUBCOMMANDS {
        // What is not listed is nobody's business here.
        let walks =
            words.contains(&Word::Tree) && !matches!(*name, "verify" | "mount" | "apply in place");
        let output = match *name {
            "mount" => continue,
            _ => run(place.arguments(words, None)),
        };
        let said = said(name, &output);
        if walks {
            assert_eq!(output.status.code(), Some(2), "{name}: {said}");
            let names_it =
                said.contains(&leads_on) && said.contains("it must have fewer than 4096");
            assert!(names_it, "{name}: {said}");
            assert_eq!(place.made(), [""; 0], "{name}");
        } else {
            assert_eq!(output.status.code(), Some(0), "{name}: {said}");
            assert!(said.lines().all(is_summary), "{name}: {said}");
        }
        sh(&place.target, "rm -rf file directory");
    }
    // rm(1) goes step by step too.
    sh(place.scratch.path(), "rm -rf tree");
}

#[test]
fn wrong_usage_is_told_in_one_way() {
    for arguments in [
        &[][..],
        &["nonsense"],
        &["diff", "a"],
        &["verify", "--ignore-attr=x", "a", "b"],
        &["diff", "--format=xml", "a", "b"],
        &["build", "--progress=maybe", "a"],
        &["build", "-j0", "a"],
        &["build", "-j1000000", "a"],
        &["export", "--tar", "-j", "1025", "a"],
        &["apply", "-j", "-1", "a", "b"],
        &["verify", "--jobs=many", "a", "b"],
        &["audit", "-j99999999999999999999", "a"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        assert!(text(&output.stderr).contains("Usage:") || !arguments.is_empty());
        let mut shell: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        shell.push("\x1b[31m".into());
        let said = run(shell).stderr;
        assert!(
            !said.contains(&0x1b),
            "{arguments:?}: {}",
            said.escape_ascii()
        );
    }
    let help = finish(Command::new(program()).args(["diff", "--help"]));
    assert_eq!(help.status.code(), Some(0));
    assert!(OsStr::from_bytes(&help.stdout).len() > 100);
}

/// Whoever adds a subcommand adds it to the table.
#[test]
fn the_table_is_complete() {
    let help = text(&run(["--help"]).stdout);
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    for line in listed {
        let command = line.split_whitespace().next().unwrap();
        let is_known = |(_, words): &commands::Subcommand| match words[0] {
            Word::Plain(word) => word == command,
            _ => false,
        };
        // These are given nothing, or a place where something is mounted.
        assert!(
            [
                "audit",
                "completions",
                "help",
                "mounts",
                "remount",
                "umount"
            ]
            .contains(&command)
                || SUBCOMMANDS.iter().any(is_known),
            "{line}"
        );
    }
}
