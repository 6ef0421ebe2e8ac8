//! The words behind `-o`, and the command line of the helper of mount(8).

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use continuity::cli::{MountOptions, mount_helper};

use super::is_harmless;

/// A list of options; and the words of a command line, which end with a NUL each.
pub fn mount_options(bytes: &[u8]) {
    let words: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
    for word in &words {
        list(OsStr::from_bytes(word));
        any_value(word);
    }
    if let [_, _, ..] = *words {
        let words = words.iter().map(|word| OsString::from_vec(word.to_vec()));
        let words: Vec<_> = std::iter::once("mount.continuity".into())
            .chain(words)
            .collect();
        let _ = mount_helper::mount_options(&words);
    }
}

fn list(list: &OsStr) {
    let mut sloppy = MountOptions::default();
    let is_known = sloppy.add_known(list).is_ok();
    let mut options = MountOptions::default();
    if let Err(error) = options.add(list) {
        assert!(is_harmless(&error.to_string()));
        return;
    }
    assert!(
        is_known,
        "what is known is refused where other options may be"
    );
    assert_eq!(format!("{sloppy:?}"), format!("{options:?}"));
    for (_, line) in options.remarks() {
        assert!(is_harmless(&line));
    }
    let shown = show(&options);
    let mut again = MountOptions::default();
    again.add(&shown).expect("what was shown is refused");
    assert_eq!(show(&again), shown);
    assert_eq!(again.backing, options.backing);
    assert_eq!(again.fsname, options.fsname);
    assert_eq!(again.log, options.log);
    assert_eq!(again.cache_dir, options.cache_dir);
    assert_eq!(again.cache_max, options.cache_max);
    assert_eq!(again.max_read, options.max_read);
    assert_eq!(again.labels, options.labels);
    assert_eq!(again.trust.signer, options.trust.signer);
    assert_eq!(again.trust.digest, options.trust.digest);
    assert_eq!(again.trust.digest_file, options.trust.digest_file);
}

/// The values that have a form in which they can be given again.
fn show(options: &MountOptions) -> OsString {
    let mut shown = Vec::new();
    let mut add = |name: &str, value: &[u8]| {
        shown.extend_from_slice(name.as_bytes());
        shown.push(b'=');
        shown.extend(quoted(value));
        shown.push(b',');
    };
    let trust = &options.trust;
    let paths = [&options.backing, &options.log, &options.cache_dir];
    for (name, path) in ["backing", "log", "cache_dir"].iter().zip(paths) {
        if let Some(path) = path {
            add(name, path.as_os_str().as_bytes());
        }
    }
    for file in &trust.digest_file {
        add("digest_file", file.as_os_str().as_bytes());
    }
    for digest in &trust.digest {
        add("digest", digest.to_string().as_bytes());
    }
    if let Some(signer) = &trust.signer {
        add("signer", signer.as_bytes());
    }
    if let Some(name) = &options.fsname {
        add("fsname", name.as_bytes());
    }
    for (name, value) in &options.labels {
        add(name, value.as_bytes());
    }
    if let Some(size) = options.cache_max {
        add("cache_max", size.to_string().as_bytes());
    }
    if let Some(size) = options.max_read {
        add("max_read", size.to_string().as_bytes());
    }
    OsString::from_vec(shown)
}

/// As libmount writes what has commas in it.
fn quoted(value: &[u8]) -> Vec<u8> {
    let escaped = value.iter().flat_map(|byte| match byte {
        b',' | b'"' | b'\\' => vec![b'\\', *byte],
        byte => vec![*byte],
    });
    std::iter::once(b'"').chain(escaped).chain(*b"\"").collect()
}

/// Whatever bytes a value has, there is a way to give them.
fn any_value(value: &[u8]) {
    let mut options = MountOptions::default();
    let list = [b"ro,fsname=", &*quoted(value), b",nosuid"].concat();
    options.add(OsStr::from_bytes(&list)).expect("it is quoted");
    assert_eq!(options.fsname.as_deref(), Some(OsStr::from_bytes(value)));
}
