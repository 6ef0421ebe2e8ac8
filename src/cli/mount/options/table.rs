//! The table of options: each name, and what becomes of it.

use std::ffi::OsStr;

use crate::sandbox;
use crate::sys::mount::AccessTime;

use super::Options;
use super::value::{
    self, parse_errors, parse_log_form, parse_max_read, parse_memory, parse_open_files,
    parse_recovery, parse_size, parse_time, parse_timeout,
};

/// What becomes of an option.
#[derive(Clone, Copy, Debug)]
pub(super) enum Meaning {
    /// It means something to mount(8), to systemd or to other filesystems, and
    /// nothing here (mount(8), systemd.mount(5)).
    Nothing,
    /// The same, and it takes a value.
    NothingWith,
    /// The same, with or without a value; and who gives it should know why.
    Unheeded(&'static str),
    /// It asks for what cannot be, and this is why.
    Refused(&'static str),
    /// It takes no value.
    Flag(fn(&mut Options)),
    /// It takes a value. What is wrong with that comes back.
    Value(fn(&mut Options, &OsStr) -> Result<(), String>),
    /// Its value is for a security module (mount(8), context=).
    Label,
}

use Meaning::{Flag, Label, Nothing, NothingWith, Refused, Unheeded, Value};

/// Begins of options that mean nothing here, whatever follows.
pub(super) const NOTHING_PREFIXES: [&str; 2] = ["X-", "x-"];

/// All options by their names, in which `_` stands for `-` too. `rw` is no wish:
/// mount(8) always says it, and the mount is read-only all the same.
pub(super) const TABLE: &[(&str, Meaning)] = &[
    ("", Nothing),
    ("_netdev", Nothing),
    ("allow_root", Flag(|options| options.let_in(false))),
    (
        "allowed_signers",
        Value(|options, value| options.trust("allowed_signers", value)),
    ),
    ("allow_other", Flag(|options| options.let_in(true))),
    ("async", Nothing),
    (
        "atime",
        Flag(|options| options.attributes.access_time = AccessTime::Relative),
    ),
    ("auto", Nothing),
    (
        "auto_unmount",
        Unheeded("what goes on serving when the supervisor dies needs no unmounting"),
    ),
    ("backing", Value(backing)),
    (
        "blksize",
        Unheeded("it is for filesystems on block devices"),
    ),
    (
        "block_cache",
        Value(|options, text| {
            value::parse(text, parse_memory).map(|size| options.verifier.block_cache = size)
        }),
    ),
    (
        "cache_dir",
        Value(|options, value| {
            options.cache_dir = Some(value.into());
            Ok(())
        }),
    ),
    (
        "cache_max",
        Value(|options, text| {
            value::parse(text, parse_size).map(|size| options.cache_max = Some(size))
        }),
    ),
    ("comment", NothingWith),
    ("context", Label),
    ("default_permissions", Nothing),
    ("defaults", Nothing),
    ("defcontext", Label),
    ("dev", Flag(|options| options.attributes.dev = true)),
    (
        "digest",
        Value(|options, value| options.trust("digest", value)),
    ),
    (
        "digest_file",
        Value(|options, value| options.trust("digest_file", value)),
    ),
    (
        "diratime",
        Flag(|options| options.attributes.directory_access_time = true),
    ),
    ("dirsync", Nothing),
    (
        "errors",
        Value(|options, text| {
            value::parse(text, parse_errors).map(|errors| options.errors = errors)
        }),
    ),
    ("exec", Flag(|options| options.attributes.exec = true)),
    ("fscontext", Label),
    (
        "fsname",
        Value(|options, value| {
            options.fsname = Some(value.to_owned());
            Ok(())
        }),
    ),
    (
        "gid",
        Value(|options, text| value::squash(text, &mut options.presentation.gid_map)),
    ),
    (
        "gidmap",
        Value(|options, text| value::add_range(text, &mut options.presentation.gid_map)),
    ),
    // The table of mounts shows it, and mount(8) gives it back with "remount".
    ("group_id", Value(|_, _| Ok(()))),
    ("group", Nothing),
    ("helper", NothingWith),
    (
        "introspect",
        Flag(|options| options.presentation.introspect = true),
    ),
    ("iversion", Nothing),
    ("key", Value(|options, value| options.trust("key", value))),
    ("lazytime", Nothing),
    (
        "log",
        Value(|options, value| {
            options.log = Some(value.into());
            Ok(())
        }),
    ),
    (
        "log_format",
        Value(|options, text| {
            value::parse(text, parse_log_form).map(|form| options.log_form = form)
        }),
    ),
    (
        "loop",
        Refused("a manifest is no image of a filesystem; leave it out"),
    ),
    ("loud", Nothing),
    ("mand", Nothing),
    (
        "max_read",
        Value(|options, text| {
            value::parse(text, parse_max_read).map(|size| options.max_read = Some(size))
        }),
    ),
    (
        "mtime",
        Value(|options, text| {
            value::parse(text, parse_time).map(|time| options.presentation.default_time = time)
        }),
    ),
    (
        "noatime",
        Flag(|options| options.attributes.access_time = AccessTime::Never),
    ),
    ("noauto", Nothing),
    ("nodev", Flag(|options| options.attributes.dev = false)),
    (
        "nodiratime",
        Flag(|options| options.attributes.directory_access_time = false),
    ),
    ("noexec", Flag(|options| options.attributes.exec = false)),
    ("nofail", Nothing),
    ("nogroup", Nothing),
    ("noiversion", Nothing),
    ("nolazytime", Nothing),
    ("nomand", Nothing),
    ("nomtab", Nothing),
    (
        "no_overlay_xattrs",
        Flag(|options| options.presentation.hide_overlay_xattrs = true),
    ),
    ("noowner", Nothing),
    ("norelatime", Nothing),
    (
        "nostrictatime",
        Flag(|options| options.attributes.access_time = AccessTime::Relative),
    ),
    ("nosuid", Flag(|options| options.attributes.suid = false)),
    (
        "nosymfollow",
        Flag(|options| options.attributes.symfollow = false),
    ),
    ("nouser", Nothing),
    ("nousers", Nothing),
    (
        "open_files",
        Value(|options, text| {
            value::parse(text, parse_open_files).map(|count| options.verifier.open_files = count)
        }),
    ),
    ("owner", Nothing),
    (
        "recovery",
        Value(|options, text| {
            value::parse(text, parse_recovery).map(|hand_over| options.hand_over = hand_over)
        }),
    ),
    (
        "relatime",
        Flag(|options| options.attributes.access_time = AccessTime::Relative),
    ),
    ("remount", Flag(|options| options.remount = true)),
    (
        "require_signature",
        Flag(|options| options.trust.require_signature = true),
    ),
    ("ro", Flag(|options| options.read_write = false)),
    ("root", Value(backing)),
    ("rootcontext", Label),
    ("rw", Flag(|options| options.read_write = true)),
    (
        "sandbox",
        Value(|options, text| {
            value::parse(text, |text| {
                text.parse::<sandbox::Mode>()
                    .map_err(|error| error.to_string())
            })
            .map(|mode| options.sandbox = mode)
        }),
    ),
    (
        "signature",
        Value(|options, value| options.trust("signature", value)),
    ),
    (
        "signer",
        Value(|options, value| options.trust("signer", value)),
    ),
    ("silent", Nothing),
    ("source", Value(backing)),
    (
        "strictatime",
        Flag(|options| options.attributes.access_time = AccessTime::Always),
    ),
    // What it is is ours to say.
    ("subtype", NothingWith),
    ("suid", Flag(|options| options.attributes.suid = true)),
    (
        "symfollow",
        Flag(|options| options.attributes.symfollow = true),
    ),
    ("sync", Nothing),
    (
        "table_cache",
        Value(|options, text| {
            value::parse(text, parse_memory).map(|size| options.verifier.table_cache = size)
        }),
    ),
    (
        "timeout",
        Value(|options, text| {
            value::parse(text, parse_timeout).map(|timeout| options.verifier.patience = timeout)
        }),
    ),
    (
        "transform_symlinks",
        Flag(|options| options.presentation.transform_symlinks = true),
    ),
    ("uhelper", NothingWith),
    (
        "uid",
        Value(|options, text| value::squash(text, &mut options.presentation.uid_map)),
    ),
    (
        "uidmap",
        Value(|options, text| value::add_range(text, &mut options.presentation.uid_map)),
    ),
    ("user", Nothing),
    // As "group_id".
    ("user_id", Value(|_, _| Ok(()))),
    ("users", Nothing),
    ("wait", Nothing),
];

/// The option of this name.
pub(super) fn known(name: &str) -> Option<(&'static str, Meaning)> {
    TABLE.iter().find(|(known, _)| *known == name).copied()
}

/// How like another name one must be to be proposed, from 0 to 1.
const LIKENESS_MIN: f64 = 0.8;

/// The name that comes closest to one that is not known, if any comes close.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    let likeness = |known: &str| strsim::jaro_winkler(&name, known);
    TABLE
        .iter()
        .map(|(known, _)| (likeness(known), *known))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, known)| known)
}

fn backing(options: &mut Options, value: &OsStr) -> Result<(), String> {
    options.backing = Some(value.into());
    Ok(())
}

impl Options {
    /// Whether all others are let in, or root alone; the last one to say it is
    /// heeded.
    const fn let_in(&mut self, everybody: bool) {
        self.allow_other = everybody;
        self.allow_root = !everybody;
    }

    fn trust(&mut self, name: &str, value: &OsStr) -> Result<(), String> {
        self.trust.set(name, value).unwrap_or(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stands_there_once() {
        let mut names: Vec<_> = TABLE.iter().map(|(name, _)| *name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(names.iter().all(|name| !name.contains(['-', '='])));
    }

    #[test]
    fn what_comes_close_is_named() {
        for (name, wanted) in [
            ("bakcing", Some("backing")),
            ("diggest", Some("digest")),
            ("allowother", Some("allow_other")),
            ("blockcache", Some("block_cache")),
            ("noautos", Some("noauto")),
            ("UID", Some("uid")),
            ("wsize", None),
            ("zzz", None),
        ] {
            let found = nearest(name);
            assert_eq!(found, wanted, "{name}");
        }
    }
}
