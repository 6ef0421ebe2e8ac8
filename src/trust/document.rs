//! Small text files: keys, signatures, lists. Who gives them is trusted, but not
//! to give a file of a sane size.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use thiserror::Error;

/// Largest key or signature that is read, in bytes.
pub(super) const KEY_MAX: u64 = 64 << 10;
/// Largest list of digests or of signers that is read, in bytes.
pub(super) const LIST_MAX: u64 = 1 << 20;

/// Why there is no text.
#[derive(Debug, Error)]
pub enum DocumentError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// It is too large.
    #[error("it has more than {0} bytes, too many for what it should be")]
    Size(u64),
    /// It is not text.
    #[error("it is not text")]
    NotText,
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
}

/// Reads a text file of at most `max` bytes, with something in it.
pub(super) fn read(path: &Path, max: u64) -> Result<String, DocumentError> {
    let mut bytes = Vec::new();
    // One more, to see that there is more.
    File::open(path)?.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(DocumentError::Size(max));
    }
    let text = String::from_utf8(bytes).map_err(|_| DocumentError::NotText)?;
    if text.trim().is_empty() {
        return Err(DocumentError::Empty);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_what_it_reads() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let read_all = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            read(&path, 8).map_err(|error| error.to_string())
        };
        assert_eq!(read_all(b"12345678").unwrap(), "12345678");
        assert!(read_all(b"123456789").unwrap_err().contains("more than 8"));
        assert_eq!(read_all(b"").unwrap_err(), "it is empty");
        assert_eq!(read_all(b" \n\n").unwrap_err(), "it is empty");
        assert_eq!(read_all(b"\xff").unwrap_err(), "it is not text");
        assert!(matches!(
            read(Path::new("/dev/zero"), KEY_MAX),
            Err(DocumentError::Size(KEY_MAX))
        ));
        assert!(matches!(
            read(directory.path(), 8),
            Err(DocumentError::Read(_))
        ));
    }
}
