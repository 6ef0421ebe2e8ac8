//! Why content is refused.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::digest::Digest;
use crate::escape::Escaped;
use crate::path::ManifestPath;

use super::declared::{Declared, FileId};
use crate::source::SourceError;

/// A refusal, shared by all who waited for the same block.
#[derive(Clone, Debug)]
pub struct VerifyError(Arc<Refused>);

/// Which content is refused, and why.
#[derive(Debug)]
pub struct Refused {
    /// The file.
    pub path: ManifestPath,
    /// The same by its number.
    pub file: FileId,
    /// The declared chunk, where there are any.
    pub chunk: Option<u64>,
    /// Where the block begins, in bytes.
    pub offset: u64,
    /// Length of the block, in bytes.
    pub length: u64,
    /// Why.
    pub reason: Reason,
}

/// Why content is refused.
#[derive(Debug)]
pub enum Reason {
    /// It has another digest.
    Digest(Box<Mismatch>),
    /// It matched when the whole file was checked, and has changed since.
    Changed,
    /// It ends before its declared size.
    Short {
        /// Declared size, in bytes.
        wanted: u64,
        /// How many bytes there were.
        found: u64,
    },
    /// It goes on behind its declared size.
    Long {
        /// Declared size, in bytes.
        wanted: u64,
    },
    /// The manifest has no digest for it that we can check.
    NoDigest,
    /// The source cannot give it.
    Source(SourceError),
    /// Reading it failed.
    Io(io::Error),
    /// The source has been silent for too long.
    Stalled(Duration),
    /// Nobody wanted it any more, before all of it was checked.
    Stopped,
}

/// Two digests that should be one.
#[derive(Clone, Copy, Debug)]
pub struct Mismatch {
    /// What the manifest declares.
    pub wanted: Digest,
    /// What the source has.
    pub found: Digest,
}

impl Reason {
    /// Nothing, if `found` is what is wanted.
    pub(super) fn compare(wanted: Digest, found: Digest) -> Result<(), Self> {
        if found == wanted {
            return Ok(());
        }
        Err(Self::Digest(Box::new(Mismatch { wanted, found })))
    }
}

impl VerifyError {
    pub(super) fn new(
        declared: &Declared<'_>,
        chunk: Option<u64>,
        range: Range<u64>,
        reason: Reason,
    ) -> Self {
        Self(Arc::new(Refused {
            path: declared.path.path(),
            file: declared.id,
            chunk,
            offset: range.start,
            length: range.end.saturating_sub(range.start),
            reason,
        }))
    }

    /// Which content is refused, and why.
    #[must_use]
    pub fn refused(&self) -> &Refused {
        &self.0
    }
}

/// A reason in one word, for logs and counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    /// Reading is not allowed.
    BackingDenied,
    /// Reading failed.
    BackingIo,
    /// There is nothing of that name.
    BackingMissing,
    /// It matched once.
    ContentChanged,
    /// It does not match.
    DigestMismatch,
    /// There is nothing to compare it with.
    DigestUnsupported,
    /// Its name leads out of the backing.
    Escape,
    /// It is no regular file.
    NotRegular,
    /// It has another size.
    SizeMismatch,
    /// It did not come in time.
    Stalled,
}

impl Word {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::BackingDenied,
        Self::BackingIo,
        Self::BackingMissing,
        Self::ContentChanged,
        Self::DigestMismatch,
        Self::DigestUnsupported,
        Self::Escape,
        Self::NotRegular,
        Self::SizeMismatch,
        Self::Stalled,
    ];

    /// As it stands in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BackingDenied => "backing_denied",
            Self::BackingIo => "backing_io",
            Self::BackingMissing => "backing_missing",
            Self::ContentChanged => "content_changed",
            Self::DigestMismatch => "digest_mismatch",
            Self::DigestUnsupported => "digest_unsupported",
            Self::Escape => "escape",
            Self::NotRegular => "not_regular",
            Self::SizeMismatch => "size_mismatch",
            Self::Stalled => "stalled",
        }
    }
}

impl Word {
    /// Whether the content, or what stands in its place, is not what is declared:
    /// not so where it cannot be had for now, and where nothing is declared.
    #[must_use]
    pub const fn is_of_content(self) -> bool {
        match self {
            Self::BackingMissing
            | Self::ContentChanged
            | Self::DigestMismatch
            | Self::Escape
            | Self::NotRegular
            | Self::SizeMismatch => true,
            Self::BackingDenied | Self::BackingIo | Self::DigestUnsupported | Self::Stalled => {
                false
            }
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Reason {
    /// It in one word.
    #[must_use]
    pub const fn word(&self) -> Word {
        match self {
            Self::Digest(_) => Word::DigestMismatch,
            Self::Changed => Word::ContentChanged,
            Self::Short { .. } | Self::Long { .. } => Word::SizeMismatch,
            Self::NoDigest => Word::DigestUnsupported,
            Self::Source(error) => match error {
                SourceError::Missing => Word::BackingMissing,
                SourceError::NotRegular(_) => Word::NotRegular,
                SourceError::Escape => Word::Escape,
                SourceError::Size { .. } => Word::SizeMismatch,
                SourceError::Denied => Word::BackingDenied,
                SourceError::Exhausted | SourceError::Changed(_) | SourceError::Io(_) => {
                    Word::BackingIo
                }
            },
            Self::Io(_) => Word::BackingIo,
            Self::Stalled(_) | Self::Stopped => Word::Stalled,
        }
    }
}

/// In words, for people; [`VerifyError`] itself shows as a line of a log.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest(digests) => {
                write!(f, "its digest is {}, not {}", digests.found, digests.wanted)
            }
            Self::Changed => f.write_str("it changed after it was checked"),
            Self::Short { wanted, found } => write!(f, "it has {found} bytes, not {wanted}"),
            Self::Long { wanted } => write!(f, "it has more than {wanted} bytes"),
            Self::NoDigest => f.write_str("the manifest has no digest that can be checked"),
            Self::Source(error) => write!(f, "{error}"),
            Self::Io(error) => write!(f, "cannot be read from the source: {error}"),
            Self::Stalled(waited) => {
                write!(
                    f,
                    "the source did not give it within {} s",
                    waited.as_secs_f64()
                )
            }
            Self::Stopped => f.write_str("it was not checked to the end"),
        }
    }
}

impl std::error::Error for VerifyError {}

/// One line in logfmt, names escaped.
impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refused = &*self.0;
        match refused.reason {
            // Nothing is said of the content: nobody has seen it.
            Reason::Stalled(_) | Reason::Stopped => f.write_str("event=stalled")?,
            _ => write!(f, "event=refused reason={}", refused.reason.word())?,
        }
        write!(f, " path={:?}", refused.path)?;
        refused.write_details(f)
    }
}

/// The same without the path, for who has asked for it.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reason={}", self.reason.word())?;
        self.write_details(f)
    }
}

impl Refused {
    fn write_details(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " ino={}", self.file.0)?;
        if let Some(chunk) = self.chunk {
            write!(f, " chunk={chunk}")?;
        }
        write!(f, " off={} len={}", self.offset, self.length)?;
        match &self.reason {
            Reason::Digest(digests) => {
                write!(f, " want={} got={}", digests.wanted, digests.found)
            }
            Reason::Changed => f.write_str(" want=\"as first verified\" got=\"something else\""),
            Reason::Short { wanted, found } => write!(f, " want={wanted} got={found}"),
            Reason::Long { wanted } => write!(f, " want={wanted} got=more"),
            Reason::NoDigest => f.write_str(" want=\"no digest that can be checked\""),
            Reason::Source(SourceError::Size { wanted, found }) => {
                write!(f, " want={wanted} got={found}")
            }
            Reason::Source(error) => write!(f, " error={:?}", Text(error)),
            Reason::Io(error) => write!(f, " error={:?}", Text(error)),
            Reason::Stalled(waited) => write!(f, " after={}s", waited.as_secs_f64()),
            Reason::Stopped => f.write_str(" stopped"),
        }
    }
}

/// An error's text, quoted and escaped.
struct Text<'a, E>(&'a E);

impl<E: fmt::Display> fmt::Debug for Text<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(self.0.to_string().as_bytes()).fmt(f)
    }
}
