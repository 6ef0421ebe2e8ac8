//! Mount options: the words behind `-o`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::cli::manifest_file::ManifestFile;
use crate::cli::trust::TrustArguments;
use crate::escape::Escaped;
use crate::fs::{IdMap, IdMapError, Presentation};
use crate::manifest::Timestamp;
use crate::sandbox;
use crate::verify;

/// What the mount options say.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the content is: `backing=`.
    pub backing: Option<PathBuf>,
    /// What the manifest must be: `digest=` and so on.
    pub trust: TrustArguments,
    /// What stands in the first column of the table of mounts: `fsname=`.
    pub fsname: Option<OsString>,
    /// Whether the same column tells when nobody vouches for the manifest.
    pub marks_unpinned: bool,
    /// Where the log goes once nobody looks at standard error: `log=`.
    pub log: Option<PathBuf>,
    /// Where private copies of large files are kept: `cache_dir=`.
    pub cache_dir: Option<PathBuf>,
    /// How large they may be together, in bytes: `cache_max=`.
    pub cache_max: Option<u64>,
    /// What is kept of what was checked: `block_cache=`, `table_cache=` and
    /// `open_files=`; and how long readers wait for the backing: `timeout=`.
    pub verifier: verify::Options,
    /// How much of the sandbox there must be: `sandbox=`.
    pub sandbox: sandbox::Mode,
    /// Whether another worker takes over when one dies: `recovery=`.
    pub hand_over: bool,
    /// Whether others than the user who mounts may look in.
    pub allow_other: bool,
    /// Whether setuid bits and file capabilities count.
    pub suid: bool,
    /// Whether devices can be opened.
    pub dev: bool,
    /// Whether programs can be run.
    pub exec: bool,
    /// How the manifest is shown.
    pub presentation: Presentation,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            backing: None,
            trust: TrustArguments::default(),
            fsname: None,
            marks_unpinned: true,
            log: None,
            cache_dir: None,
            cache_max: None,
            verifier: verify::Options {
                patience: Some(TIMEOUT),
                ..verify::Options::default()
            },
            sandbox: sandbox::Mode::default(),
            hand_over: true,
            allow_other: false,
            suid: false,
            dev: false,
            exec: true,
            presentation: Presentation::default(),
        }
    }
}

/// How long readers wait for the backing if nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why mount options are refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OptionError {
    /// There is no such option.
    #[error("unknown mount option {:?}", Escaped(.0.as_bytes()))]
    Unknown(OsString),
    /// It needs a value.
    #[error("mount option {0} needs a value, as in {0}=…")]
    NoValue(&'static str),
    /// It has a value and takes none.
    #[error("mount option {:?} takes no value", Escaped(.0.as_bytes()))]
    Value(OsString),
    /// Its value is not as it must be.
    #[error("mount option {option}={:?}: {reason}", Escaped(.value.as_bytes()))]
    BadValue {
        /// The option.
        option: &'static str,
        /// Its value.
        value: OsString,
        /// What is wrong with it.
        reason: String,
    },
    /// On the command line and among the options, and they differ.
    #[error("{0} is given on the command line and among the mount options, and differs")]
    Twice(&'static str),
    /// Remounting.
    #[error("a continuity mount cannot be remounted; unmount it and mount it anew")]
    Remount,
    /// A quotation mark that is not closed.
    #[error("mount options {:?} have an open quotation mark", Escaped(.0.as_bytes()))]
    OpenQuote(OsString),
}

/// Options that mean something to mount(8), to systemd or to other filesystems,
/// and nothing here (mount(8), systemd.mount(5)). `rw` is among them: mount(8)
/// always says it, and the mount is read-only all the same.
const IGNORED: [&str; 36] = [
    "",
    "_netdev",
    "async",
    "atime",
    "auto",
    "default_permissions",
    "defaults",
    "diratime",
    "dirsync",
    "group",
    "iversion",
    "lazytime",
    "loud",
    "mand",
    "noatime",
    "noauto",
    "nodiratime",
    "nofail",
    "noiversion",
    "nolazytime",
    "nomand",
    "nomtab",
    "norelatime",
    "nostrictatime",
    "nouser",
    "owner",
    "relatime",
    "ro",
    "rw",
    "silent",
    "strictatime",
    "symfollow",
    "sync",
    "user",
    "users",
    "wait",
];
/// The same with a value.
const IGNORED_PREFIXES: [&str; 5] = ["X-", "comment=", "helper=", "uhelper=", "x-"];

impl Options {
    /// Takes one more list of options, as it stands behind `-o`.
    ///
    /// # Errors
    /// See [`OptionError`].
    pub fn add(&mut self, list: &OsStr) -> Result<(), OptionError> {
        split(list)?.iter().try_for_each(|option| self.set(option))
    }

    /// The same, but options that are not known are passed over, as mount(8)
    /// wants it with `-s`.
    ///
    /// # Errors
    /// Every other [`OptionError`].
    pub fn add_known(&mut self, list: &OsStr) -> Result<(), OptionError> {
        for option in split(list)? {
            match self.set(&option) {
                Err(OptionError::Unknown(_)) => {}
                result => result?,
            }
        }
        Ok(())
    }

    fn set(&mut self, option: &OsStr) -> Result<(), OptionError> {
        let bytes = option.as_bytes();
        if bytes == b"remount" {
            return Err(OptionError::Remount);
        }
        let ignored = IGNORED.iter().any(|known| known.as_bytes() == bytes);
        if ignored
            || IGNORED_PREFIXES
                .iter()
                .any(|prefix| bytes.starts_with(prefix.as_bytes()))
        {
            return Ok(());
        }
        match bytes.iter().position(|byte| *byte == b'=') {
            Some(end) => {
                let (name, value) = bytes.split_at_checked(end).unwrap_or_default();
                let value = OsStr::from_bytes(value.strip_prefix(b"=").unwrap_or(value));
                self.set_value(&spell(name), value)
                    .unwrap_or_else(|| Err(self.refuse(option, &spell(name))))
            }
            None => self
                .set_flag(&spell(bytes))
                .ok_or_else(|| without_value(option, &spell(bytes))),
        }
    }

    fn set_flag(&mut self, name: &str) -> Option<()> {
        let presentation = &mut self.presentation;
        let (flag, value) = match name {
            "allow_other" => (&mut self.allow_other, true),
            "suid" => (&mut self.suid, true),
            "nosuid" => (&mut self.suid, false),
            "dev" => (&mut self.dev, true),
            "nodev" => (&mut self.dev, false),
            "exec" => (&mut self.exec, true),
            "noexec" => (&mut self.exec, false),
            "introspect" => (&mut presentation.introspect, true),
            "transform_symlinks" => (&mut presentation.transform_symlinks, true),
            "no_overlay_xattrs" => (&mut presentation.hide_overlay_xattrs, true),
            "require_signature" => (&mut self.trust.require_signature, true),
            _ => return None,
        };
        *flag = value;
        Some(())
    }

    /// `None` for an option that is not known.
    fn set_value(&mut self, name: &str, value: &OsStr) -> Option<Result<(), OptionError>> {
        let presentation = &mut self.presentation;
        let result = match name {
            "backing" | "source" | "root" => {
                self.backing = Some(value.into());
                Ok(())
            }
            "log" => {
                self.log = Some(value.into());
                Ok(())
            }
            "cache_dir" => {
                self.cache_dir = Some(value.into());
                Ok(())
            }
            "cache_max" => {
                parse("cache_max", value, parse_size).map(|size| self.cache_max = Some(size))
            }
            "block_cache" => parse("block_cache", value, parse_memory)
                .map(|size| self.verifier.block_cache = size),
            "table_cache" => parse("table_cache", value, parse_memory)
                .map(|size| self.verifier.table_cache = size),
            "open_files" => parse("open_files", value, parse_open_files)
                .map(|count| self.verifier.open_files = count),
            "timeout" => parse("timeout", value, parse_timeout)
                .map(|timeout| self.verifier.patience = timeout),
            "fsname" => {
                self.fsname = Some(value.to_owned());
                Ok(())
            }
            // What it is is ours to say.
            "subtype" => Ok(()),
            "sandbox" => parse("sandbox", value, |text| {
                text.parse::<sandbox::Mode>()
                    .map_err(|error| error.to_string())
            })
            .map(|mode| self.sandbox = mode),
            "recovery" => {
                parse("recovery", value, parse_recovery).map(|hand_over| self.hand_over = hand_over)
            }
            "mtime" => {
                parse("mtime", value, parse_time).map(|time| presentation.default_time = time)
            }
            "uid" => squash("uid", value, &mut presentation.uid_map),
            "gid" => squash("gid", value, &mut presentation.gid_map),
            "uidmap" => add_range("uidmap", value, &mut presentation.uid_map),
            "gidmap" => add_range("gidmap", value, &mut presentation.gid_map),
            _ => {
                let result = self.trust.set(name, value)?;
                result.map_err(|reason| OptionError::BadValue {
                    option: known_with_value(name).unwrap_or_default(),
                    value: value.to_owned(),
                    reason,
                })
            }
        };
        Some(result)
    }

    /// What stands in the first column of the table of mounts for this manifest.
    /// mount(8) compares that with fstab, to know what is mounted (`mount -a`) or
    /// is to be unmounted, so what it mounts has the name by which it asked.
    pub(super) fn source(&self, manifest: &ManifestFile) -> OsString {
        let path = &manifest.path;
        match &self.fsname {
            Some(name) => name.clone(),
            None if self.marks_unpinned && !manifest.trust.asks_somebody() => {
                let mut name = OsString::from(UNPINNED);
                name.push(path);
                name
            }
            None => path.into(),
        }
    }

    fn refuse(&self, option: &OsStr, name: &str) -> OptionError {
        match self.clone().set_flag(name) {
            Some(()) => OptionError::Value(option.to_owned()),
            None => OptionError::Unknown(option.to_owned()),
        }
    }
}

/// `-` and `_` are the same in names.
fn spell(name: &[u8]) -> String {
    String::from_utf8_lossy(name).replace('-', "_")
}

/// In front of the name of a manifest that nobody vouches for.
const UNPINNED: &str = "continuity-unpinned:";

const WITH_VALUE: [&str; 24] = [
    "allowed_signers",
    "backing",
    "block_cache",
    "cache_dir",
    "cache_max",
    "digest",
    "digest_file",
    "fsname",
    "gid",
    "gidmap",
    "key",
    "log",
    "mtime",
    "open_files",
    "recovery",
    "root",
    "sandbox",
    "signature",
    "signer",
    "source",
    "table_cache",
    "timeout",
    "uid",
    "uidmap",
];

fn known_with_value(name: &str) -> Option<&'static str> {
    WITH_VALUE.into_iter().find(|known| *known == name)
}

fn without_value(option: &OsStr, name: &str) -> OptionError {
    match known_with_value(name) {
        Some(known) => OptionError::NoValue(known),
        None => OptionError::Unknown(option.to_owned()),
    }
}

fn parse<T>(
    option: &'static str,
    value: &OsStr,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, OptionError> {
    let bad = |reason| OptionError::BadValue {
        option,
        value: value.to_owned(),
        reason,
    };
    let text = value.to_str().ok_or_else(|| bad("not UTF-8".to_owned()))?;
    parse(text).map_err(bad)
}

fn squash(option: &'static str, value: &OsStr, map: &mut IdMap) -> Result<(), OptionError> {
    let id = parse(option, value, |text| {
        text.parse()
            .ok()
            .filter(|id| *id != u32::MAX)
            .ok_or_else(|| "not a number from 0 to 4294967294".to_owned())
    })?;
    *map = IdMap::Squash(id);
    Ok(())
}

fn add_range(option: &'static str, value: &OsStr, map: &mut IdMap) -> Result<(), OptionError> {
    parse(option, value, |text| {
        map.add(text).map_err(|error: IdMapError| error.to_string())
    })
}

/// Seconds since 1970, with a fraction if there is one; date(1)'s `@` may stand
/// in front.
fn parse_time(text: &str) -> Result<Timestamp, String> {
    let text = text.strip_prefix('@').unwrap_or(text);
    if text.starts_with('-') && text.contains('.') {
        return Err("a time before 1970 can have no fraction".to_owned());
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = fraction.len();
    let parsed = seconds.parse().ok().zip(
        (1..=9)
            .contains(&digits)
            .then(|| format!("{fraction:0<9}"))
            .and_then(|nanoseconds| nanoseconds.parse().ok()),
    );
    parsed
        .and_then(|(seconds, nanoseconds)| Timestamp::new(seconds, nanoseconds))
        .ok_or_else(|| "not a number of seconds since 1970".to_owned())
}

/// A number of bytes; K, M, G or T behind it count in powers of 1024.
fn parse_size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.strip_suffix(['K', 'M', 'G', 'T']) {
        Some(digits) if text.ends_with('K') => (digits, 10),
        Some(digits) if text.ends_with('M') => (digits, 20),
        Some(digits) if text.ends_with('G') => (digits, 30),
        Some(digits) => (digits, 40),
        None => (text, 0),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| "not a size in bytes, such as 500M or 2G".to_owned())
}

/// The same, of memory.
fn parse_memory(text: &str) -> Result<usize, String> {
    let size = parse_size(text)?;
    usize::try_from(size).map_err(|_| "more than there can be".to_owned())
}

/// A number of seconds, with a fraction if there is one; nothing for 0.
fn parse_timeout(text: &str) -> Result<Option<Duration>, String> {
    let is_number = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = text.parse().ok().filter(|_| is_number);
    seconds
        .filter(|seconds| *seconds == 0.0 || (0.1..=TIMEOUT_MAX).contains(seconds))
        .map(|seconds| (seconds > 0.0).then(|| Duration::from_secs_f64(seconds)))
        .ok_or_else(|| "not a number of seconds from 0.1 to 86400, nor 0 for none".to_owned())
}

/// Longest time that readers wait, in seconds.
const TIMEOUT_MAX: f64 = 86_400.0;

fn parse_open_files(text: &str) -> Result<usize, String> {
    let count = text
        .parse()
        .ok()
        .filter(|count| (1..=65_536).contains(count));
    count.ok_or_else(|| "not a number from 1 to 65536".to_owned())
}

fn parse_recovery(text: &str) -> Result<bool, String> {
    match text {
        "auto" => Ok(true),
        "remount" => Ok(false),
        _ => Err("neither \"auto\" nor \"remount\"".to_owned()),
    }
}

/// Splits a list at its commas. A backslash takes the meaning from a comma, a
/// quotation mark or a backslash behind it, and quotation marks from what stands
/// between them (libmount).
fn split(list: &OsStr) -> Result<Vec<OsString>, OptionError> {
    let mut options = vec![Vec::new()];
    let mut quoted = false;
    let mut bytes = list.as_bytes().iter();
    while let Some(&byte) = bytes.next() {
        let plain = match byte {
            b'\\' => match bytes.as_slice().first() {
                Some(b',' | b'\\' | b'"') => bytes.next().copied(),
                _ => Some(byte),
            },
            b'"' => {
                quoted = !quoted;
                None
            }
            b',' if !quoted => {
                options.push(Vec::new());
                None
            }
            byte => Some(byte),
        };
        if let (Some(option), Some(byte)) = (options.last_mut(), plain) {
            option.push(byte);
        }
    }
    if quoted {
        return Err(OptionError::OpenQuote(list.to_owned()));
    }
    Ok(options.into_iter().map(OsString::from_vec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(list: &str) -> Result<Options, OptionError> {
        let mut options = Options::default();
        options.add(list.as_ref()).map(|()| options)
    }

    #[test]
    fn takes_what_mount_passes_on() {
        let parsed = options(
            "rw,defaults,user,nofail,_netdev,x-systemd.automount,noatime,suid,dev,noexec,\
             allow-other,mtime=@5.25,uidmap=0:1000:10,uidmap=10:5:1,gid=7,transform_symlinks",
        )
        .unwrap();
        assert!(parsed.suid && parsed.dev && !parsed.exec && parsed.allow_other);
        assert!(parsed.presentation.transform_symlinks && !parsed.presentation.introspect);
        assert_eq!(
            parsed.presentation.default_time,
            Timestamp::new(5, 250_000_000).unwrap()
        );
        assert_eq!(parsed.presentation.uid_map.map(9), 1009);
        assert_eq!(parsed.presentation.uid_map.map(10), 5);
        assert_eq!(parsed.presentation.gid_map, IdMap::Squash(7));
    }

    #[test]
    fn sizes_have_suffixes() {
        for (size, bytes) in [
            ("7", 7),
            ("0K", 0),
            ("3M", 3 << 20),
            ("2G", 2 << 30),
            ("1T", 1 << 40),
        ] {
            let parsed = options(&format!("cache_dir=/c,cache_max={size}")).unwrap();
            assert_eq!(parsed.cache_max, Some(bytes));
        }
        for bad in ["", "K", "-1", "1k", "16777216T", "1 M"] {
            assert!(options(&format!("cache_max={bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn bounds_what_is_kept() {
        let parsed = options("block_cache=0,table-cache=3M,open_files=1").unwrap();
        let verifier = parsed.verifier;
        assert_eq!((verifier.block_cache, verifier.table_cache), (0, 3 << 20));
        assert_eq!(verifier.open_files, 1);
        for bad in [
            "block_cache=x",
            "table_cache=",
            "open_files=0",
            "open_files=65537",
        ] {
            assert!(options(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_timeout_has_a_fraction_or_is_none() {
        let timeout = |list: &str| options(list).map(|parsed| parsed.verifier.patience);
        assert_eq!(timeout(""), Ok(Some(Duration::from_secs(30))));
        assert_eq!(timeout("timeout=2"), Ok(Some(Duration::from_secs(2))));
        let half = Some(Duration::from_millis(500));
        assert_eq!(timeout("timeout=0.5"), Ok(half));
        for none in ["timeout=0", "timeout=0.0"] {
            assert_eq!(timeout(none), Ok(None));
        }
        for bad in ["", "-1", "x", "inf", "nan", "1e3", "0.01", "86401", " 1"] {
            assert!(timeout(&format!("timeout={bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn commas_can_be_part_of_a_value() {
        for list in [r#"backing="/srv/a,b",ro"#, r"ro,backing=/srv/a\,b"] {
            let backing = options(list).unwrap().backing.unwrap();
            assert_eq!(backing.as_os_str(), "/srv/a,b");
        }
    }

    #[test]
    fn names_what_it_refuses() {
        for (list, message) in [
            ("noatim", r#"unknown mount option "noatim""#),
            ("bakcing=/x", r#"unknown mount option "bakcing=/x""#),
            (
                "backing",
                "mount option backing needs a value, as in backing=…",
            ),
            ("suid=1", r#"mount option "suid=1" takes no value"#),
            (
                "uid=-1",
                r#"mount option uid="-1": not a number from 0 to 4294967294"#,
            ),
            (
                "cache_max=1.5G",
                r#"mount option cache_max="1.5G": not a size in bytes, such as 500M or 2G"#,
            ),
            (
                "mtime=x",
                r#"mount option mtime="x": not a number of seconds since 1970"#,
            ),
            (
                "digest=md5:0",
                r#"mount option digest="md5:0": digest algorithm "md5" is not known"#,
            ),
            (
                r#"backing="/x"#,
                r#"mount options "backing=\"/x" have an open quotation mark"#,
            ),
        ] {
            assert_eq!(options(list).unwrap_err().to_string(), message);
        }
    }
}
