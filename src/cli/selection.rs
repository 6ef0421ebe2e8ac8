//! What of a tree is taken.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::attributes::Pattern;
use crate::build::{IgnorePatterns, PatternError, Selection};
use crate::escape::Escaped;

/// Options that say what is left out.
#[derive(Clone, Debug, clap::Args)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub(super) struct SelectionArguments {
    /// Leave out what has such a name, in gitignore's syntax relative to ROOT;
    /// may be repeated, and the last one that fits counts
    #[arg(long, value_name = "PATTERN")]
    ignore: Vec<String>,
    /// Take such patterns from a file, or from standard input if it is "-"; those
    /// of --ignore come after them
    #[arg(long, value_name = "FILE")]
    ignore_from: Vec<PathBuf>,
    /// Do not look into files named .continuityignore, which say what is left out
    /// below them as .gitignore does for git
    #[arg(long)]
    no_ignore_files: bool,
    /// Take directories on other filesystems, but nothing in them
    #[arg(short = 'x', long)]
    one_file_system: bool,
    /// Take directories with a CACHEDIR.TAG, but nothing in them but the tag
    #[arg(long)]
    exclude_caches: bool,
    /// Take sockets too, which are left out otherwise
    #[arg(long, conflicts_with = "compat")]
    sockets: bool,
    /// Leave out devices; whiteouts are none
    #[arg(long)]
    skip_devices: bool,
    /// Leave out AppleDouble files ("._NAME") and directories named __MACOSX; what
    /// they hold is in the attributes com.apple.* where a tree has those
    #[arg(long)]
    strip_appledouble: bool,
    /// Leave out all extended attributes
    #[arg(long, conflicts_with = "xattr_include")]
    skip_xattrs: bool,
    /// Take only extended attributes with such names, in which * stands for
    /// anything; may be repeated
    #[arg(long, value_name = "GLOB")]
    xattr_include: Vec<String>,
}

/// Why patterns cannot be used.
#[derive(Debug, Error)]
pub(super) enum IgnoreError {
    #[error("--ignore {:?}: {cause}", Escaped(.pattern.as_bytes()))]
    Argument { pattern: String, cause: String },
    #[error("cannot read patterns from {:?}: {cause}", Escaped(.path.as_os_str().as_encoded_bytes()))]
    Read { path: PathBuf, cause: io::Error },
    #[error("{:?}: {cause}", Escaped(.path.as_os_str().as_encoded_bytes()))]
    File { path: PathBuf, cause: PatternError },
}

impl SelectionArguments {
    /// Reads the files that were named, too.
    pub fn read(&self) -> Result<Selection, IgnoreError> {
        Ok(Selection {
            sockets: self.sockets,
            devices: !self.skip_devices,
            ignore: self.patterns()?,
            ignore_files: !self.no_ignore_files,
            one_filesystem: self.one_file_system,
            without_caches: self.exclude_caches,
            without_appledouble: self.strip_appledouble,
        })
    }

    /// Which extended attributes are taken; `None` for all.
    pub fn xattrs(&self) -> Option<Vec<Pattern>> {
        let patterns = self.xattr_include.iter();
        let patterns: Vec<_> = patterns
            .map(|pattern| Pattern::new(pattern.as_bytes()))
            .collect();
        (self.skip_xattrs || !patterns.is_empty()).then_some(patterns)
    }

    /// All patterns as one file. Each is read alone first, to say where an error
    /// is.
    fn patterns(&self) -> Result<IgnorePatterns, IgnoreError> {
        let mut all = String::new();
        for path in &self.ignore_from {
            let lines = read(path).map_err(|cause| IgnoreError::Read {
                path: path.clone(),
                cause,
            })?;
            IgnorePatterns::parse(&lines).map_err(|cause| IgnoreError::File {
                path: path.clone(),
                cause,
            })?;
            all.push_str(lines.strip_prefix('\u{feff}').unwrap_or(&lines));
            all.push('\n');
        }
        for pattern in &self.ignore {
            let refused = |cause| IgnoreError::Argument {
                pattern: pattern.clone(),
                cause,
            };
            if pattern.contains(['\n', '\r']) {
                return Err(refused("it has more than one line".to_owned()));
            }
            IgnorePatterns::parse(pattern).map_err(|error| refused(error.cause))?;
            all.push_str(pattern);
            all.push('\n');
        }
        IgnorePatterns::parse(&all).map_err(|error| IgnoreError::Argument {
            pattern: String::new(),
            cause: error.cause,
        })
    }
}

fn read(path: &Path) -> io::Result<String> {
    if path.as_os_str() == "-" {
        let mut lines = String::new();
        io::stdin().lock().read_to_string(&mut lines)?;
        return Ok(lines);
    }
    std::fs::read_to_string(path)
}
