//! Why mount options are refused.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use thiserror::Error;

use crate::escape::Escaped;

/// Why mount options are refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OptionError {
    /// There is no such option.
    #[error("unknown mount option {:?}{}", Escaped(.option.as_bytes()), suggest(*.nearest))]
    Unknown {
        /// What was asked for.
        option: OsString,
        /// The name that comes closest.
        nearest: Option<&'static str>,
    },
    /// It asks for what cannot be.
    #[error("mount option {name}: {why}")]
    Refused {
        /// The option.
        name: &'static str,
        /// Why not.
        why: &'static str,
    },
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
    #[error("\"remount\" is for what is mounted: continuity remount MOUNTPOINT")]
    Remount,
    /// A quotation mark that is not closed.
    #[error("mount options {:?} have an open quotation mark", Escaped(.0.as_bytes()))]
    OpenQuote(OsString),
}

fn suggest(nearest: Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; is it {name} that is meant?"))
}
