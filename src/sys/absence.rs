//! Errors that mean: there is no such file here.

use std::fmt;
use std::io;

use rustix::io::Errno;

/// Why there is no file of a name, as opposed to not being able to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// `ENOENT`: it, or a directory on the way, does not exist.
    Missing,
    /// `ENOTDIR`: something on the way is no directory.
    NotDirectory,
    /// `ELOOP`: something on the way is a symlink, which is not followed.
    Symlink,
}

impl Absence {
    /// What an error of opening a file means; `None` where it does not tell
    /// whether there is one.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        match Errno::from_io_error(error)? {
            Errno::NOENT => Some(Self::Missing),
            Errno::NOTDIR => Some(Self::NotDirectory),
            Errno::LOOP => Some(Self::Symlink),
            _ => None,
        }
    }
}

/// As Go words these errors.
impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "no such file or directory",
            Self::NotDirectory => "not a directory",
            Self::Symlink => "too many levels of symbolic links",
        })
    }
}
