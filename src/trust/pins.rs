//! Pins: the digests of the manifests that are taken.

use std::fmt;

use thiserror::Error;

use crate::digest::{Algorithm, Digest, DigestError};
use crate::escape::Escaped;

/// How many digests a message shows.
const SHOWN_MAX: usize = 3;

/// Digests, one of which a manifest must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins(Vec<Digest>);

/// A manifest has none of the digests.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("wanted {}, found {}", OneOf(wanted), All(found))]
pub struct PinError {
    /// Those that are taken.
    pub wanted: Vec<Digest>,
    /// What the manifest has, by each of their algorithms.
    pub found: Vec<Digest>,
}

/// Why a text is no list of digests.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PinFileError {
    /// A line has no digest.
    #[error("line {line}: {cause}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        cause: DigestError,
    },
    /// A line begins with neither a digest nor its digits.
    #[error("line {line}: {:?} is no digest, such as \"sha256:\" and 64 hexadecimal digits", Escaped(word.as_bytes()))]
    NotADigest {
        /// Its number, from 1.
        line: usize,
        /// Its first word.
        word: String,
    },
    /// There is none.
    #[error("there is no digest in it, so no manifest would be the one wanted")]
    None,
}

impl Pins {
    /// Takes a list; `None` if it is empty, for then it would refuse everything
    /// or nothing.
    #[must_use]
    pub fn new(digests: Vec<Digest>) -> Option<Self> {
        (!digests.is_empty()).then_some(Self(digests))
    }

    /// The digest that vouches for these bytes.
    ///
    /// # Errors
    /// [`PinError`] if there is none.
    pub fn check(&self, bytes: &[u8]) -> Result<Digest, PinError> {
        let mut found: Vec<Digest> = Vec::new();
        for wanted in &self.0 {
            let algorithm = wanted.algorithm();
            let known = found.iter().find(|known| known.algorithm() == algorithm);
            let digest = match known {
                Some(digest) => *digest,
                None => {
                    let digest = algorithm.hash(bytes);
                    found.push(digest);
                    digest
                }
            };
            if digest == *wanted {
                return Ok(digest);
            }
        }
        Err(PinError {
            wanted: self.0.clone(),
            found,
        })
    }
}

/// Reads a list of digests: in each line a digest, or the output of sha256sum,
/// sha384sum or sha512sum. What stands behind a digest is not looked at, nor are
/// empty lines and those that begin with `#`.
///
/// # Errors
/// See [`PinFileError`].
pub fn read_list(text: &str) -> Result<Vec<Digest>, PinFileError> {
    let mut digests = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        let Some(word) = line.split_whitespace().next() else {
            continue;
        };
        if !word.starts_with('#') {
            digests.push(read_word(word, number)?);
        }
    }
    if digests.is_empty() {
        return Err(PinFileError::None);
    }
    Ok(digests)
}

fn read_word(word: &str, line: usize) -> Result<Digest, PinFileError> {
    let parsed = if word.contains(':') {
        Digest::parse(word)
    } else {
        // A backslash stands in front of a digest whose file has an odd name.
        let digits = word.strip_prefix('\\').unwrap_or(word);
        let algorithm = [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512]
            .into_iter()
            .find(|algorithm| algorithm.size() * 2 == digits.len())
            .ok_or_else(|| PinFileError::NotADigest {
                line,
                word: word.to_owned(),
            })?;
        Digest::parse(&format!("{algorithm}:{digits}"))
    };
    parsed.map_err(|cause| PinFileError::Line { line, cause })
}

struct OneOf<'a>(&'a [Digest]);

impl fmt::Display for OneOf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.len() > 1 {
            write!(f, "one of {}: ", self.0.len())?;
        }
        All(self.0).fmt(f)
    }
}

struct All<'a>(&'a [Digest]);

impl fmt::Display for All<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (digest, number) in self.0.iter().zip(0..SHOWN_MAX) {
            if number > 0 {
                f.write_str(", ")?;
            }
            digest.fmt(f)?;
        }
        if self.0.len() > SHOWN_MAX {
            f.write_str(", …")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha256(bytes: &[u8]) -> Digest {
        Algorithm::Sha256.hash(bytes)
    }

    #[test]
    fn one_of_several_is_enough() {
        let pins = |list: &[Digest]| Pins::new(list.to_vec()).unwrap();
        let (a, b) = (sha256(b"a"), Algorithm::Blake3.hash(b"b"));
        assert_eq!(pins(&[a, b]).check(b"a"), Ok(a));
        assert_eq!(pins(&[a, b]).check(b"b"), Ok(b));
        let error = pins(&[a, b, a]).check(b"c").unwrap_err();
        let (found, other) = (sha256(b"c"), Algorithm::Blake3.hash(b"c"));
        assert_eq!(error.found, [found, other]);
        assert_eq!(
            error.to_string(),
            format!("wanted one of 3: {a}, {b}, {a}, found {found}, {other}")
        );
        let error = pins(&[a]).check(b"c").unwrap_err();
        assert_eq!(error.to_string(), format!("wanted {a}, found {found}"));
        assert_eq!(Pins::new(Vec::new()), None);
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let bytes: Vec<u8> = (0..=255).cycle().take(2048).collect();
        for algorithm in Algorithm::ALL {
            let pins = Pins::new(vec![algorithm.hash(&bytes)]).unwrap();
            assert!(pins.check(&bytes).is_ok());
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(pins.check(&flipped).is_err(), "{algorithm}, bit {bit}");
            }
        }
    }

    #[test]
    fn lists_are_those_of_sha256sum_and_ours() {
        let digest = sha256(b"a");
        let digits = digest.to_string()[7..].to_owned();
        let long = Algorithm::Sha512.hash(b"a");
        let text = format!(
            "# what may be mounted\n\n{digits}  a.pb\n{digits} *b c.pb\r\n\\{digits}  d\\ne\n  {long}\n{long} # why\n{}  x\n",
            &long.to_string()[7..]
        );
        assert_eq!(
            read_list(&text).unwrap(),
            [digest, digest, digest, long, long, long]
        );
        for (text, message) in [
            (String::new(), "there is no digest in it"),
            ("# nothing\n \n".to_owned(), "there is no digest in it"),
            ("\nabc  file\n".to_owned(), "line 2: \"abc\" is no digest"),
            ("\x1b[2J".to_owned(), r#"line 1: "\x1b[2J" is no digest"#),
            (
                format!("SHA256 (a.pb) = {digits}"),
                "line 1: \"SHA256\" is no digest",
            ),
            (
                digits.to_uppercase(),
                "line 1: sha256 digest has characters",
            ),
            (format!("{digits}0"), "is no digest"),
            ("md5:00".to_owned(), "line 1: digest algorithm \"md5\""),
            ("sha256:00".to_owned(), "line 1: sha256 digest has 2"),
        ] {
            let error = read_list(&text).unwrap_err().to_string();
            assert!(error.contains(message), "{text:?}: {error}");
        }
    }
}
