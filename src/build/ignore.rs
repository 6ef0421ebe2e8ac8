//! What is left out by its name, in gitignore's syntax.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use thiserror::Error;

use crate::mode::{FileMode, FileType};
use crate::path::ManifestPath;
use crate::sys::{RootDir, Stat};

/// Name of the files that say what is left out below them.
pub(super) const FILE_NAME: &str = ".continuityignore";

/// Largest such file that is read, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// Patterns of one place, in the syntax of gitignore(5); of several that match,
/// the last one counts.
#[derive(Clone, Debug)]
pub struct IgnorePatterns(Gitignore);

/// A line that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {cause}")]
pub struct PatternError {
    /// Number of the line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub cause: String,
}

/// Why a file named `.continuityignore` cannot be used.
#[derive(Debug, Error)]
pub enum IgnoreFileError {
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is larger than any that somebody wrote.
    #[error("it has more than {FILE_MAX} bytes")]
    Size,
    /// Patterns are text.
    #[error("it is not UTF-8")]
    Utf8,
    /// A line is no pattern.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

impl Default for IgnorePatterns {
    fn default() -> Self {
        Self(Gitignore::empty())
    }
}

impl IgnorePatterns {
    /// Reads patterns, one a line, as they stand in a file.
    ///
    /// # Errors
    /// [`PatternError`] for the first line that is none.
    pub fn parse(lines: &str) -> Result<Self, PatternError> {
        // Paths come relative to where the patterns stand.
        let mut builder = GitignoreBuilder::new("");
        let lines = lines.strip_prefix('\u{feff}').unwrap_or(lines);
        for (index, line) in lines.lines().enumerate() {
            builder.add_line(None, line).map_err(|error| PatternError {
                line: index + 1,
                cause: error.to_string(),
            })?;
        }
        builder.build().map(Self).map_err(|error| PatternError {
            line: lines.lines().count(),
            cause: error.to_string(),
        })
    }

    /// Reads the file of a directory, if it is a regular one. As for git, a
    /// symlink is not followed.
    pub(super) fn of_directory(directory: &RootDir) -> Result<Option<Self>, IgnoreFileError> {
        let name = OsStr::new(FILE_NAME);
        let is_regular = |stat: &Stat| {
            let mode = FileMode::from_stat(stat.st_mode);
            mode.is_some_and(|mode| mode.file_type() == FileType::Regular)
        };
        if !is_regular(&directory.stat(name)?) {
            return Ok(None);
        }
        let file = directory.open_file(name)?;
        if !is_regular(&Stat::of(&file)?) {
            return Ok(None);
        }
        let mut lines = Vec::new();
        file.take(FILE_MAX + 1).read_to_end(&mut lines)?;
        if lines.len() as u64 > FILE_MAX {
            return Err(IgnoreFileError::Size);
        }
        let lines = str::from_utf8(&lines).map_err(|_| IgnoreFileError::Utf8)?;
        Ok(Some(Self::parse(lines)?))
    }

    /// Whether a path below the place of these patterns is left out; `None` if
    /// they say nothing about it.
    fn decide(&self, below: &Path, is_directory: bool) -> Option<bool> {
        match self.0.matched(below, is_directory) {
            Match::None => None,
            Match::Ignore(_) => Some(true),
            Match::Whitelist(_) => Some(false),
        }
    }
}

/// The patterns of a directory and of those that it lies in.
#[derive(Clone, Debug, Default)]
pub(super) struct Layers(Option<Arc<Layer>>);

#[derive(Debug)]
struct Layer {
    patterns: IgnorePatterns,
    /// Length of the directory's path with a slash behind it, in bytes.
    prefix: usize,
    outer: Layers,
}

impl Layers {
    /// These, and nearer ones of `directory`.
    pub fn with(self, directory: &ManifestPath, patterns: IgnorePatterns) -> Self {
        let slash = usize::from(!directory.is_root());
        Self(Some(Arc::new(Layer {
            patterns,
            prefix: directory.as_bytes().len() + slash,
            outer: self,
        })))
    }

    /// Whether a path is left out: `first` decides, then the nearest file that
    /// says anything about it. What lies in a directory that is left out is
    /// never asked for.
    pub fn leave_out(
        &self,
        first: &IgnorePatterns,
        path: &ManifestPath,
        is_directory: bool,
    ) -> bool {
        let below = |prefix| {
            let bytes = path.as_bytes().get(prefix..).unwrap_or_default();
            Path::new(OsStr::from_bytes(bytes))
        };
        let mut decided = first.decide(below(1), is_directory);
        let mut layers = self;
        while let (None, Some(layer)) = (decided, &layers.0) {
            decided = layer.patterns.decide(below(layer.prefix), is_directory);
            layers = &layer.outer;
        }
        decided.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(lines: &str) -> IgnorePatterns {
        IgnorePatterns::parse(lines).unwrap()
    }

    fn path(bytes: &[u8]) -> ManifestPath {
        ManifestPath::parse(bytes).unwrap()
    }

    #[test]
    fn the_command_line_decides_then_the_nearest_file() {
        let layers = Layers::default()
            .with(&path(b"/"), patterns("*.o\n/top\ndeep/*.x\n"))
            .with(&path(b"/src"), patterns("!keep.o\n/anchored\n"));
        let first = patterns("!always.o\nnever\n");
        for (name, is_directory, expected) in [
            (&b"/src/a.o"[..], false, true),
            (b"/src/keep.o", false, false),
            (b"/src/sub/keep.o", false, false),
            (b"/src/always.o", false, false),
            (b"/src/never", true, true),
            (b"/src/anchored", false, true),
            (b"/src/sub/anchored", false, false),
            (b"/src/top", false, false),
            (b"/src/deep/a.x", false, false),
            (b"/src/\xff.o", false, true),
            (b"/src/\xff", false, false),
        ] {
            assert_eq!(
                layers.leave_out(&first, &path(name), is_directory),
                expected,
                "{:?}",
                path(name)
            );
        }
    }

    #[test]
    fn reads_what_git_reads() {
        let lines = "\u{feff}# comment\r\n\\#kept\r\ndir/\n\nspace\\ \n";
        let layers = Layers::default();
        let patterns = patterns(lines);
        for (name, is_directory, expected) in [
            (&b"/# comment"[..], false, false),
            (b"/#kept", false, true),
            (b"/dir", true, true),
            (b"/dir", false, false),
            (b"/space ", false, true),
        ] {
            let found = layers.leave_out(&patterns, &path(name), is_directory);
            assert_eq!(found, expected, "{:?}", path(name));
        }
    }

    #[test]
    fn names_the_line_that_is_no_pattern() {
        let error = IgnorePatterns::parse("good\n[z-a]\n").unwrap_err();
        assert_eq!(error.line, 2, "{error}");
    }
}
