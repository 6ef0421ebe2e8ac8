//! What was asked for, was taken, and changes nothing.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use log::Level;

use crate::escape::Escaped;

/// Something to say on an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark {
    /// It is not known, and was passed over because that was wanted.
    Unknown(OsString),
    /// It means something elsewhere, and whoever gives it may count on that.
    Unheeded {
        /// The option.
        option: OsString,
        /// Why it does nothing.
        why: &'static str,
    },
}

impl Remark {
    /// How loud it is to be said, and what.
    pub(super) fn line(&self) -> (Level, String) {
        match self {
            Self::Unknown(option) => {
                let option = Escaped(option.as_bytes());
                let line = format!("event=option_unknown option={option:?} it is passed over");
                (Level::Debug, line)
            }
            Self::Unheeded { option, why } => {
                let option = Escaped(option.as_bytes());
                let line = format!("event=option_unheeded option={option:?} {why}");
                (Level::Warn, line)
            }
        }
    }
}
