//! Mount options: the words behind `-o`.

mod error;
mod remark;
mod split;
mod table;
mod value;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use log::Level;

use crate::cli::logfmt::LogForm;
use crate::cli::manifest_file::ManifestFile;
use crate::cli::trust::TrustArguments;
use crate::fs::{OnRefusal, Presentation};
use crate::sandbox;
use crate::sys::{self, mount::MountAttributes};
use crate::verify;

pub use error::OptionError;
pub use remark::Remark;

use split::split;
use table::{Meaning, NOTHING_PREFIXES};

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
    /// How its lines look: `log_format=`.
    pub log_form: LogForm,
    /// What follows when content is refused: `errors=`.
    pub errors: OnRefusal,
    /// Whether another worker takes over when one dies: `recovery=`.
    pub hand_over: bool,
    /// Whether others than the user who mounts may look in.
    pub allow_other: bool,
    /// Whether root is to be let in, and nobody else: `allow_root`.
    pub allow_root: bool,
    /// What is let happen: `suid`, `dev`, `exec`, `symfollow`, `relatime` and so on.
    pub attributes: MountAttributes,
    /// The largest read that the kernel asks for: `max_read=`.
    pub max_read: Option<u32>,
    /// What a security module is told: `context=` and so on.
    pub labels: Vec<(&'static str, OsString)>,
    /// How the manifest is shown.
    pub presentation: Presentation,
    /// Whether something is mounted there that is to be changed: `remount`.
    pub remount: bool,
    /// Whether it was to be writable: `rw`, and no `ro` behind it.
    pub read_write: bool,
    /// What was taken and changes nothing.
    pub remarks: Vec<Remark>,
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
            log_form: LogForm::default(),
            errors: OnRefusal::default(),
            hand_over: true,
            allow_other: false,
            allow_root: false,
            attributes: MountAttributes::default(),
            max_read: None,
            labels: Vec::new(),
            presentation: Presentation::default(),
            remount: false,
            read_write: false,
            remarks: Vec::new(),
        }
    }
}

/// How long readers wait for the backing if nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(30);

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
                Err(OptionError::Unknown { .. }) => self.remarks.push(Remark::Unknown(option)),
                result => result?,
            }
        }
        Ok(())
    }

    fn set(&mut self, option: &OsStr) -> Result<(), OptionError> {
        let bytes = option.as_bytes();
        let mut prefixes = NOTHING_PREFIXES.iter();
        if prefixes.any(|prefix| bytes.starts_with(prefix.as_bytes())) {
            return Ok(());
        }
        let end = bytes.iter().position(|byte| *byte == b'=');
        let (name, value) = bytes
            .split_at_checked(end.unwrap_or(bytes.len()))
            .unwrap_or_default();
        let value = value.strip_prefix(b"=").map(OsStr::from_bytes);
        let name = spell(name);
        let (name, meaning) = table::known(&name).ok_or_else(|| OptionError::Unknown {
            option: option.to_owned(),
            nearest: table::nearest(&name),
        })?;
        match (meaning, value) {
            (Meaning::Nothing, None) | (Meaning::NothingWith, Some(_)) => Ok(()),
            (Meaning::Unheeded(why), _) => {
                let option = option.to_owned();
                self.remarks.push(Remark::Unheeded { option, why });
                Ok(())
            }
            (Meaning::Refused(why), _) => Err(OptionError::Refused { name, why }),
            (Meaning::Flag(set), None) => {
                set(self);
                Ok(())
            }
            (Meaning::Value(set), Some(value)) => {
                set(self, value).map_err(|reason| OptionError::BadValue {
                    option: name,
                    value: value.to_owned(),
                    reason,
                })
            }
            (Meaning::Label, Some(value)) => {
                self.labels.retain(|(other, _)| *other != name);
                self.labels.push((name, value.to_owned()));
                Ok(())
            }
            (Meaning::Value(_) | Meaning::Label | Meaning::NothingWith, None) => {
                Err(OptionError::NoValue(name))
            }
            (Meaning::Nothing | Meaning::Flag(_), Some(_)) => {
                Err(OptionError::Value(option.to_owned()))
            }
        }
    }

    /// All that there is to say on what was asked for: how loud, and what. A line
    /// of the log each.
    #[must_use]
    pub fn remarks(&self) -> Vec<(Level, String)> {
        let mut lines: Vec<_> = self.remarks.iter().map(Remark::line).collect();
        if self.read_write {
            let why = "event=read_only \"rw\" was asked for; the mount is read-only all the same";
            lines.push((Level::Debug, why.to_owned()));
        }
        if self.allow_root && sys::process::user().0 != 0 {
            let why = "event=option_unheeded option=\"allow_root\" the kernel cannot let in root \
                       alone; nobody but you is let in (allow_other lets in everybody)";
            lines.push((Level::Warn, why.to_owned()));
        }
        lines
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
}

/// `-` and `_` are the same in names.
fn spell(name: &[u8]) -> String {
    String::from_utf8_lossy(name).replace('-', "_")
}

/// In front of the name of a manifest that nobody vouches for.
const UNPINNED: &str = "continuity-unpinned:";

#[cfg(test)]
mod tests {
    use super::*;

    use crate::fs::IdMap;
    use crate::manifest::Timestamp;
    use crate::sys::mount::AccessTime;

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
        let attributes = parsed.attributes;
        assert!(attributes.suid && attributes.dev && !attributes.exec && parsed.allow_other);
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
    fn what_mounts_in_general_have_is_passed_on() {
        let attributes = |list: &str| options(list).unwrap().attributes;
        assert_eq!(attributes("defaults"), MountAttributes::default());
        for (list, wanted) in [
            ("noatime", AccessTime::Never),
            ("strictatime", AccessTime::Always),
            ("noatime,relatime", AccessTime::Relative),
            ("noatime,atime", AccessTime::Relative),
            ("strictatime,nostrictatime", AccessTime::Relative),
            ("strictatime,norelatime", AccessTime::Always),
        ] {
            assert_eq!(attributes(list).access_time, wanted, "{list}");
        }
        assert!(!attributes("nodiratime").directory_access_time);
        assert!(attributes("nodiratime,diratime").directory_access_time);
        assert!(!attributes("nosymfollow").symfollow);
        let parsed = options(r#"context="a:b:s0:c1,c2",fscontext=x,context=y,max_read=8192"#);
        let parsed = parsed.unwrap();
        let labels = [("fscontext", "x".into()), ("context", "y".into())];
        assert_eq!(parsed.labels, labels);
        assert_eq!(parsed.max_read, Some(8192));
    }

    #[test]
    fn the_last_says_who_is_let_in() {
        for (list, other, root) in [
            ("allow_other", true, false),
            ("allow_other,allow-root", false, true),
            ("allow_root,allow_other", true, false),
        ] {
            let parsed = options(list).unwrap();
            assert_eq!((parsed.allow_other, parsed.allow_root), (other, root));
        }
    }

    #[test]
    fn what_is_not_heeded_is_told() {
        let mut parsed = options("rw,auto_unmount,blksize=512,nofail").unwrap();
        parsed.add_known("wsize=4,noatim".as_ref()).unwrap();
        let told: Vec<_> = parsed.remarks().into_iter().collect();
        let levels: Vec<_> = told.iter().map(|(level, _)| *level).collect();
        let (warn, debug) = (Level::Warn, Level::Debug);
        assert_eq!(levels, [warn, warn, debug, debug, debug]);
        for (word, (_, line)) in ["auto_unmount", "blksize=512", "wsize=4", "noatim", "rw"]
            .into_iter()
            .zip(&told)
        {
            assert!(line.contains(&format!("\"{word}\"")), "{line}");
        }
    }

    #[test]
    fn remounting_is_asked_for() {
        for (list, remount, read_write) in [
            ("rw,remount", true, true),
            ("remount,rw,ro", true, false),
            ("ro", false, false),
            ("rw", false, true),
        ] {
            let parsed = options(list).unwrap();
            assert_eq!((parsed.remount, parsed.read_write), (remount, read_write));
        }
    }

    #[test]
    fn names_what_it_refuses() {
        for (list, message) in [
            (
                "noatim",
                r#"unknown mount option "noatim"; is it noatime that is meant?"#,
            ),
            (
                "Bakcing=/x",
                r#"unknown mount option "Bakcing=/x"; is it backing that is meant?"#,
            ),
            ("wsize=4", r#"unknown mount option "wsize=4""#),
            (
                "ro,loop",
                "mount option loop: a manifest is no image of a filesystem; leave it out",
            ),
            (
                "max_read=9",
                r#"mount option max_read="9": not a number of bytes from 4096 to 1048576"#,
            ),
            (
                "context",
                "mount option context needs a value, as in context=…",
            ),
            ("auto=1", r#"mount option "auto=1" takes no value"#),
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
