//! Allowed signers: who may sign, as in ssh-keygen(1), ALLOWED SIGNERS.
//!
//! What a line says and is not known here refuses the whole file, for an option
//! that is not heeded would let in whom it was to keep out.

use ssh_key::PublicKey;
use ssh_key::public::KeyData;
use thiserror::Error;

use crate::escape::Escaped;

use super::time::Moment;

/// How each type of keys that ssh-keygen knows begins; no option does.
const KEY_TYPES: [&str; 3] = ["ssh-", "ecdsa-", "sk-"];

/// The lines of the file.
#[derive(Clone, Debug)]
pub struct AllowedSigners(Vec<AllowedSigner>);

/// Who may sign with a key, and when.
#[derive(Clone, Debug)]
pub(super) struct AllowedSigner {
    /// Number of the line, from 1.
    pub line: usize,
    pub principals: String,
    pub key: KeyData,
    pub namespaces: Option<String>,
    pub valid_after: Option<Moment>,
    pub valid_before: Option<Moment>,
}

/// Why a file is no list of allowed signers.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {cause}")]
pub struct SignerLineError {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    #[source]
    pub cause: SignerError,
}

/// Why a line says nothing of a signer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SignerError {
    /// There is no key in it.
    #[error("principals and a key are wanted, and there is no key")]
    NoKey,
    /// The key cannot be read.
    #[error("the {} key cannot be read", Escaped(.0.as_bytes()))]
    Key(String),
    /// Principals that are none.
    #[error("{:?} is no list of principals", Escaped(.0.as_bytes()))]
    Principals(String),
    /// A quotation mark that is not closed.
    #[error("a quotation mark is not closed")]
    OpenQuote,
    /// A certificate authority.
    #[error("option cert-authority is not supported: list the keys that sign themselves")]
    CertAuthority,
    /// An option that is not known.
    #[error("option {:?} is not supported", Escaped(.0.as_bytes()))]
    Option(String),
    /// An option that is there twice.
    #[error("option {0} is there twice")]
    Twice(&'static str),
    /// An option whose value is missing, or not in quotation marks.
    #[error("option {0} needs a value in quotation marks, as in {0}=\"…\"")]
    NoValue(&'static str),
    /// A time that is none.
    #[error("{:?} is no time such as 20261231Z or 202612312359Z; the Z, for UTC, is needed here", Escaped(.0.as_bytes()))]
    Time(String),
    /// It is never valid.
    #[error("it is valid until {1} only, which is not after {0}, from which it is valid")]
    Never(Moment, Moment),
}

impl AllowedSigners {
    /// Reads the text of the file.
    ///
    /// # Errors
    /// See [`SignerError`].
    pub fn read(text: &str) -> Result<Self, SignerLineError> {
        let mut signers = Vec::new();
        for (text, line) in text.lines().zip(1..) {
            let text = text.trim_matches([' ', '\t']);
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let signer = AllowedSigner::read(text, line);
            signers.push(signer.map_err(|cause| SignerLineError { line, cause })?);
        }
        Ok(Self(signers))
    }

    /// The lines with this key.
    pub(super) fn with_key(&self, key: &KeyData) -> impl Iterator<Item = &AllowedSigner> {
        self.0.iter().filter(move |signer| signer.key == *key)
    }
}

impl AllowedSigner {
    fn read(text: &str, line: usize) -> Result<Self, SignerError> {
        let (principals, rest) = split_word(text)?;
        let (word, behind) = split_word(rest)?;
        let is_key = KEY_TYPES.iter().any(|known| word.starts_with(known));
        let (options, key) = if is_key { ("", rest) } else { (word, behind) };
        let mut signer = Self {
            line,
            principals: read_principals(principals)?,
            key: read_key(key)?,
            namespaces: None,
            valid_after: None,
            valid_before: None,
        };
        signer.take_options(options)?;
        if let (Some(after), Some(before)) = (signer.valid_after, signer.valid_before)
            && before <= after
        {
            return Err(SignerError::Never(after, before));
        }
        Ok(signer)
    }

    fn take_options(&mut self, options: &str) -> Result<(), SignerError> {
        if options.is_empty() {
            return Ok(());
        }
        for option in split_outside_quotes(options, |c| c == ',')? {
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (option, None),
            };
            // Without these quotation marks ssh-keygen takes no value either.
            let quoted = value
                .and_then(|value| value.strip_prefix('"'))
                .and_then(|value| value.strip_suffix('"'))
                .filter(|value| !value.is_empty() && !value.contains(['"', '\\']));
            match (name.to_ascii_lowercase().as_str(), quoted) {
                ("cert-authority", _) => return Err(SignerError::CertAuthority),
                ("namespaces", value) => {
                    let value = value.map(str::to_owned);
                    set(&mut self.namespaces, "namespaces", value)?;
                }
                ("valid-after", value) => {
                    let time = value.map(parse_time).transpose()?;
                    set(&mut self.valid_after, "valid-after", time)?;
                }
                ("valid-before", value) => {
                    let time = value.map(parse_time).transpose()?;
                    set(&mut self.valid_before, "valid-before", time)?;
                }
                _ => return Err(SignerError::Option(option.to_owned())),
            }
        }
        Ok(())
    }
}

fn set<T>(option: &mut Option<T>, name: &'static str, value: Option<T>) -> Result<(), SignerError> {
    let value = value.ok_or(SignerError::NoValue(name))?;
    match option.replace(value) {
        None => Ok(()),
        Some(_) => Err(SignerError::Twice(name)),
    }
}

fn parse_time(text: &str) -> Result<Moment, SignerError> {
    Moment::parse(text).ok_or_else(|| SignerError::Time(text.to_owned()))
}

/// Quotation marks may stand round the whole list.
fn read_principals(word: &str) -> Result<String, SignerError> {
    let inner = word
        .strip_prefix('"')
        .and_then(|word| word.strip_suffix('"'))
        .unwrap_or(word);
    if inner.is_empty() || inner.contains('"') {
        return Err(SignerError::Principals(word.to_owned()));
    }
    Ok(inner.to_owned())
}

fn read_key(text: &str) -> Result<KeyData, SignerError> {
    let mut words = text.split([' ', '\t']).filter(|word| !word.is_empty());
    let (Some(kind), Some(key)) = (words.next(), words.next()) else {
        return Err(SignerError::NoKey);
    };
    // What stands behind the key is a comment.
    PublicKey::from_openssh(&format!("{kind} {key}"))
        .map(|key| key.key_data().clone())
        .map_err(|_| SignerError::Key(kind.to_owned()))
}

/// The first word, quotation marks and all, and what follows it.
fn split_word(text: &str) -> Result<(&str, &str), SignerError> {
    let text = text.trim_start_matches([' ', '\t']);
    let word = split_outside_quotes(text, |c| c == ' ' || c == '\t')?
        .first()
        .copied()
        .unwrap_or_default();
    let rest = text.strip_prefix(word).unwrap_or_default();
    Ok((word, rest))
}

fn split_outside_quotes(
    text: &str,
    is_separator: impl Fn(char) -> bool,
) -> Result<Vec<&str>, SignerError> {
    let mut quoted = false;
    let parts = text
        .split(|c: char| {
            quoted ^= c == '"';
            !quoted && is_separator(c)
        })
        .collect();
    if quoted {
        return Err(SignerError::OpenQuote);
    }
    Ok(parts)
}

/// Whether a list of patterns, with `*`, `?` and a `!` in front, lets a word in
/// (ssh_config(5), PATTERNS): one has to, and none with a `!` may match.
pub(super) fn matches_list(word: &str, patterns: &str) -> bool {
    let mut is_in = false;
    for pattern in patterns.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) if matches(word.as_bytes(), pattern.as_bytes()) => return false,
            Some(_) => {}
            None => is_in |= matches(word.as_bytes(), pattern.as_bytes()),
        }
    }
    is_in
}

/// Takes the shortest for each star and tries more when the rest does not fit,
/// for the last star only: that is enough, and never takes long.
fn matches(word: &[u8], pattern: &[u8]) -> bool {
    let (mut word, mut pattern) = (word, pattern);
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (word, pattern) {
            (_, [b'*', rest @ ..]) => {
                retry = Some((word, rest));
                pattern = rest;
            }
            ([found, more @ ..], [wanted, rest @ ..]) if *wanted == b'?' || wanted == found => {
                (word, pattern) = (more, rest);
            }
            ([], []) => return true,
            _ => match retry {
                Some(([_, more @ ..], rest)) => {
                    retry = Some((more, rest));
                    (word, pattern) = (more, rest);
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

    fn one(line: &str) -> AllowedSigner {
        let signers = AllowedSigners::read(line).unwrap();
        assert_eq!(signers.0.len(), 1);
        signers.0.into_iter().next().unwrap()
    }

    #[test]
    fn reads_what_ssh_keygen_reads() {
        let plain = one(&format!("a@example.org {KEY}"));
        assert_eq!(plain.principals, "a@example.org");
        assert_eq!(plain.namespaces, None);
        let full = one(&format!(
            "\t\"a@b,*@c\"  Namespaces=\"git,continuity-*\",VALID-AFTER=\"20260101Z\",valid-before=\"20270101Z\" {KEY} a comment"
        ));
        assert_eq!(full.principals, "a@b,*@c");
        assert_eq!(full.namespaces.as_deref(), Some("git,continuity-*"));
        assert_eq!(full.valid_after, Moment::parse("20260101Z"));
        assert_eq!(full.valid_before, Moment::parse("20270101Z"));
        assert_eq!(full.key, plain.key);
        let lines = format!("# who\n\n a {KEY}\r\n  # more\nb\t{KEY}");
        let signers = AllowedSigners::read(&lines).unwrap();
        let found: Vec<_> = signers.with_key(&plain.key).collect();
        assert_eq!((found[0].line, found[1].line), (3, 5));
        assert!(AllowedSigners::read("").unwrap().0.is_empty());
    }

    #[test]
    fn refuses_by_name_what_it_does_not_know() {
        for (line, message) in [
            ("a", "there is no key"),
            ("a ssh-ed25519", "there is no key"),
            ("a namespaces=\"x\"", "there is no key"),
            ("a ssh-ed25519 AAAA", "the ssh-ed25519 key cannot be read"),
            ("\"a KEY", "a quotation mark is not closed"),
            ("\"\" KEY", r#""\"\"" is no list of principals"#),
            ("a\"b\" KEY", "is no list of principals"),
            (
                "a cert-authority KEY",
                "option cert-authority is not supported",
            ),
            (
                "a CERT-Authority KEY",
                "option cert-authority is not supported",
            ),
            (
                "a cert-authority=\"\" KEY",
                "option cert-authority is not supported",
            ),
            (
                "a no-touch-required KEY",
                "option \"no-touch-required\" is not supported",
            ),
            (
                "a verify-required,namespaces=\"x\" KEY",
                "option \"verify-required\" is not",
            ),
            ("a namespaces=\"x\", KEY", "option \"\" is not supported"),
            ("a ,namespaces=\"x\" KEY", "option \"\" is not supported"),
            ("a \x1b[31m KEY", r#"option "\x1b[31m" is not supported"#),
            (
                "a namespaces KEY",
                "option namespaces needs a value in quotation marks",
            ),
            (
                "a namespaces=x KEY",
                "option namespaces needs a value in quotation marks",
            ),
            ("a namespaces=\"\" KEY", "option namespaces needs a value"),
            ("a namespaces=\"a\\\"b\" KEY", "quotation mark"),
            (
                "a namespaces=\"x\",namespaces=\"y\" KEY",
                "option namespaces is there twice",
            ),
            ("a valid-after=\"20260101\" KEY", "\"20260101\" is no time"),
            ("a valid-before=\"tomorrow\" KEY", "\"tomorrow\" is no time"),
            (
                "a valid-after=\"20270101Z\",valid-before=\"20260101Z\" KEY",
                "valid until 2026-01-01T00:00:00Z only",
            ),
            (
                "a valid-after=\"20260101Z\",valid-before=\"20260101Z\" KEY",
                "valid until",
            ),
        ] {
            let text = format!("# first\n{}\n", line.replace("KEY", KEY));
            let error = AllowedSigners::read(&text).unwrap_err().to_string();
            assert!(error.starts_with("line 2: "), "{line}: {error}");
            assert!(error.contains(message), "{line}: {error}");
        }
    }

    #[test]
    fn patterns_are_those_of_ssh() {
        for (word, patterns, wanted) in [
            ("a@b", "a@b", true),
            ("a@b", "a@bc", false),
            ("a@bc", "a@b", false),
            ("a@b", "*", true),
            ("", "*", true),
            ("", "", true),
            ("a@b", "", false),
            ("a@b.c", "*@b.?", true),
            ("a@b.cc", "*@b.?", false),
            ("a@b", "x,a@b", true),
            ("a@b", "*,!a@b", false),
            ("a@b", "!a@b,*", false),
            ("a@c", "*,!a@b", true),
            ("a@c", "!a@b", false),
            ("abcbcd", "a*bcd", true),
            ("abcbce", "a*bcd", false),
            ("aXbXcXd", "a*b*c*d", true),
            ("a@B", "a@b", false),
        ] {
            assert_eq!(matches_list(word, patterns), wanted, "{word} {patterns}");
        }
        let word = "a".repeat(5000);
        assert!(!matches_list(&word, &format!("{}b", "a*".repeat(2000))));
    }
}
