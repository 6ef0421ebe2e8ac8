//! The table of options: each name, and what becomes of it.

use std::ffi::OsStr;

use crate::sandbox;

use super::Options;
use super::value::{
    self, parse_memory, parse_open_files, parse_recovery, parse_size, parse_time, parse_timeout,
};

/// What becomes of an option.
#[derive(Clone, Copy, Debug)]
pub(super) enum Meaning {
    /// It means something to mount(8), to systemd or to other filesystems, and
    /// nothing here (mount(8), systemd.mount(5)).
    Nothing,
    /// It takes no value.
    Flag(fn(&mut Options)),
    /// It takes a value. What is wrong with that comes back.
    Value(fn(&mut Options, &OsStr) -> Result<(), String>),
}

use Meaning::{Flag, Nothing, Value};

/// Begins of options that mean nothing here, whatever follows.
pub(super) const NOTHING_PREFIXES: [&str; 5] = ["X-", "comment=", "helper=", "uhelper=", "x-"];

/// All options by their names, in which `_` stands for `-` too. `rw` is no wish:
/// mount(8) always says it, and the mount is read-only all the same.
pub(super) const TABLE: &[(&str, Meaning)] = &[
    ("", Nothing),
    ("_netdev", Nothing),
    (
        "allowed_signers",
        Value(|options, value| options.trust("allowed_signers", value)),
    ),
    ("allow_other", Flag(|options| options.allow_other = true)),
    ("async", Nothing),
    ("atime", Nothing),
    ("auto", Nothing),
    ("backing", Value(backing)),
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
    ("default_permissions", Nothing),
    ("defaults", Nothing),
    ("dev", Flag(|options| options.dev = true)),
    (
        "digest",
        Value(|options, value| options.trust("digest", value)),
    ),
    (
        "digest_file",
        Value(|options, value| options.trust("digest_file", value)),
    ),
    ("diratime", Nothing),
    ("dirsync", Nothing),
    ("exec", Flag(|options| options.exec = true)),
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
    ("group", Nothing),
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
    ("loud", Nothing),
    ("mand", Nothing),
    (
        "mtime",
        Value(|options, text| {
            value::parse(text, parse_time).map(|time| options.presentation.default_time = time)
        }),
    ),
    ("noatime", Nothing),
    ("noauto", Nothing),
    ("nodev", Flag(|options| options.dev = false)),
    ("nodiratime", Nothing),
    ("noexec", Flag(|options| options.exec = false)),
    ("nofail", Nothing),
    ("noiversion", Nothing),
    ("nolazytime", Nothing),
    ("nomand", Nothing),
    ("nomtab", Nothing),
    (
        "no_overlay_xattrs",
        Flag(|options| options.presentation.hide_overlay_xattrs = true),
    ),
    ("norelatime", Nothing),
    ("nostrictatime", Nothing),
    ("nosuid", Flag(|options| options.suid = false)),
    ("nouser", Nothing),
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
    ("relatime", Nothing),
    ("remount", Flag(|options| options.remount = true)),
    (
        "require_signature",
        Flag(|options| options.trust.require_signature = true),
    ),
    ("ro", Flag(|options| options.read_write = false)),
    ("root", Value(backing)),
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
    ("strictatime", Nothing),
    // What it is is ours to say.
    ("subtype", Value(|_, _| Ok(()))),
    ("suid", Flag(|options| options.suid = true)),
    ("symfollow", Nothing),
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
    (
        "uid",
        Value(|options, text| value::squash(text, &mut options.presentation.uid_map)),
    ),
    (
        "uidmap",
        Value(|options, text| value::add_range(text, &mut options.presentation.uid_map)),
    ),
    ("user", Nothing),
    ("users", Nothing),
    ("wait", Nothing),
];

/// The option of this name.
pub(super) fn known(name: &str) -> Option<(&'static str, Meaning)> {
    TABLE.iter().find(|(known, _)| *known == name).copied()
}

fn backing(options: &mut Options, value: &OsStr) -> Result<(), String> {
    options.backing = Some(value.into());
    Ok(())
}

impl Options {
    fn trust(&mut self, name: &str, value: &OsStr) -> Result<(), String> {
        self.trust.set(name, value).unwrap_or(Ok(()))
    }
}
