//! Paths of a manifest.

use std::borrow::Borrow;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use thiserror::Error;

use crate::escape::Escaped;

/// Longest name of one file, in bytes: `NAME_MAX` of Linux.
pub const NAME_MAX: usize = 255;
/// Longest path, in bytes, with the NUL that ends it: `PATH_MAX` of Linux.
pub const PATH_MAX: usize = 4096;

/// An absolute path inside a manifest's tree, such as `/etc/passwd`.
///
/// It cannot lead out of the tree: there is no empty component, no `.` and no
/// `..`, no NUL, no component over [`NAME_MAX`] bytes, and the whole is shorter
/// than [`PATH_MAX`]. It may be any bytes else; it need not be UTF-8. `/`
/// itself is a path too.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ManifestPath(Box<[u8]>);

/// Why bytes are no path of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PathError {
    /// It does not begin with a slash.
    #[error("path is not absolute")]
    Relative,
    /// Two slashes in a row, or one at the end.
    #[error("path has an empty component")]
    EmptyComponent,
    /// `.` or `..`.
    #[error("path has a component \".\" or \"..\"")]
    Dots,
    /// A NUL byte.
    #[error("path has a NUL byte")]
    Nul,
    /// A component over [`NAME_MAX`].
    #[error("path has a component of {0} bytes, more than {NAME_MAX}")]
    LongComponent(usize),
    /// The whole is not under [`PATH_MAX`].
    #[error("path has {0} bytes; it must have fewer than {PATH_MAX}")]
    Long(usize),
}

impl ManifestPath {
    /// The root of the tree, `/`.
    #[must_use]
    pub fn root() -> Self {
        Self(Box::from(*b"/"))
    }

    /// Checks that `bytes` are a path, and keeps a copy.
    ///
    /// # Errors
    /// See [`PathError`]; nothing is cleaned or repaired.
    pub fn parse(bytes: &[u8]) -> Result<Self, PathError> {
        check(bytes)?;
        Ok(Self(Box::from(bytes)))
    }

    /// This path with one more component.
    ///
    /// # Errors
    /// When `name` is no name, or the whole becomes too long.
    pub fn join(&self, name: &[u8]) -> Result<Self, PathError> {
        check_name(name)?;
        let separator: &[u8] = if self.is_root() { b"" } else { b"/" };
        let joined = [&self.0, separator, name].concat();
        check_length(joined.len())?;
        Ok(Self(joined.into_boxed_slice()))
    }

    /// The bytes, with the leading slash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Without the leading slash, as a dirfd-relative system call takes it;
    /// `.` for the root.
    #[must_use]
    pub fn relative(&self) -> &OsStr {
        match self.0.strip_prefix(b"/") {
            Some(b"") | None => OsStr::new("."),
            Some(relative) => OsStr::from_bytes(relative),
        }
    }

    /// Its last component; empty for the root.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.0
            .rsplit(|byte| *byte == b'/')
            .next()
            .unwrap_or_default()
    }

    /// The directory that it is in; the root is in itself.
    #[must_use]
    pub fn parent(&self) -> Self {
        let end = self.0.len() - self.name().len();
        match self.0.get(..end.saturating_sub(1)) {
            None | Some(b"") => Self::root(),
            Some(parent) => Self(Box::from(parent)),
        }
    }

    /// Whether it is `/`.
    #[must_use]
    pub fn is_root(&self) -> bool {
        *self.0 == *b"/"
    }
}

/// Checks the rules of [`ManifestPath`] without keeping a copy.
///
/// # Errors
/// See [`PathError`].
pub fn check(bytes: &[u8]) -> Result<(), PathError> {
    let Some(rest) = bytes.strip_prefix(b"/") else {
        return Err(PathError::Relative);
    };
    check_length(bytes.len())?;
    if rest.is_empty() {
        return Ok(());
    }
    rest.split(|&byte| byte == b'/')
        .try_for_each(check_component)?;
    if rest.contains(&0) {
        return Err(PathError::Nul);
    }
    Ok(())
}

fn check_length(length: usize) -> Result<(), PathError> {
    if length >= PATH_MAX {
        return Err(PathError::Long(length));
    }
    Ok(())
}

fn check_name(name: &[u8]) -> Result<(), PathError> {
    match name {
        _ if name.contains(&0) => Err(PathError::Nul),
        _ if name.contains(&b'/') => Err(PathError::EmptyComponent),
        _ => check_component(name),
    }
}

/// What lies between slashes, which may still have a NUL in it.
fn check_component(name: &[u8]) -> Result<(), PathError> {
    match name {
        b"" => Err(PathError::EmptyComponent),
        b"." | b".." => Err(PathError::Dots),
        _ if name.len() > NAME_MAX => Err(PathError::LongComponent(name.len())),
        _ => Ok(()),
    }
}

/// Paths are ordered by their bytes.
impl Borrow<[u8]> for ManifestPath {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// Escaped, without quotes.
impl fmt::Display for ManifestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(&self.0).fmt(f)
    }
}

/// Escaped, in quotes.
impl fmt::Debug for ManifestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&Escaped(&self.0), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_a_tree_can_hold() {
        let long = [b"/".as_slice(), &[b'n'; NAME_MAX]].concat();
        for good in [
            b"/".as_slice(),
            b"/a",
            b"/a/b.c/...",
            b"/..x/.hidden",
            b"/\xff\xfe/\n",
            &long,
        ] {
            assert_eq!(ManifestPath::parse(good).unwrap().as_bytes(), good);
        }
    }

    #[test]
    fn refuses_everything_that_leads_elsewhere() {
        let component = [b"/".as_slice(), &[b'n'; NAME_MAX + 1]].concat();
        let deep = b"/0123456".repeat(512);
        for (bad, error) in [
            (&b""[..], PathError::Relative),
            (b"a", PathError::Relative),
            (b"../a", PathError::Relative),
            (b"//", PathError::EmptyComponent),
            (b"/a/", PathError::EmptyComponent),
            (b"/a//b", PathError::EmptyComponent),
            (b"/.", PathError::Dots),
            (b"/a/./b", PathError::Dots),
            (b"/a/../b", PathError::Dots),
            (b"/..", PathError::Dots),
            (b"/a\0b", PathError::Nul),
            (&component, PathError::LongComponent(256)),
            (&deep, PathError::Long(4096)),
        ] {
            assert_eq!(ManifestPath::parse(bad), Err(error), "{:?}", Escaped(bad));
        }
    }

    #[test]
    fn joins_names_and_nothing_else() {
        let a = ManifestPath::root().join(b"a").unwrap();
        assert_eq!(a.as_bytes(), b"/a");
        assert_eq!(a.join(b"b").unwrap().as_bytes(), b"/a/b");
        assert_eq!(a.relative(), "a");
        assert_eq!(ManifestPath::root().relative(), ".");
        assert_eq!(a.join(b"b/c"), Err(PathError::EmptyComponent));
        assert_eq!(a.join(b".."), Err(PathError::Dots));
        let b = a.join(b"b").unwrap();
        assert_eq!((b.parent(), b.name()), (a.clone(), &b"b"[..]));
        assert_eq!((a.parent(), a.name()), (ManifestPath::root(), &b"a"[..]));
        assert_eq!(ManifestPath::root().parent(), ManifestPath::root());
        assert_eq!(ManifestPath::root().name(), b"");
    }
}
