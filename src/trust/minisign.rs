//! Signatures of minisign(1).
//!
//! Only those of the prehashed kind are taken, which minisign has made by
//! default since 0.10 (2021). Its first kind signs the file itself: nothing
//! is known against it, but minisign calls it legacy, and what is not taken
//! cannot be used to take somebody in.

use std::fmt;

use base64ct::{Base64, Encoding};
use minisign_verify::{Error as Verdict, PublicKey, Signature};
use thiserror::Error;

use super::vouched::MinisignVoucher;

/// Bytes of a public key: algorithm, number, and key.
const KEY_BYTES: usize = 42;
/// Bytes of a signature: algorithm, number of the key, and signature.
const SIGNATURE_BYTES: usize = 74;

/// The number of a key, which is in its signatures too. It vouches for nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyId([u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", u64::from_le_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl KeyId {
    /// Out of what stands behind the algorithm's two bytes.
    fn read(base64: &str, size: usize) -> Option<Self> {
        let bytes = Base64::decode_vec(base64).ok()?;
        let id = bytes.get(2..10).filter(|_| bytes.len() == size)?;
        id.try_into().ok().map(Self)
    }
}

/// A public key.
#[derive(Clone, Debug)]
pub struct MinisignKey {
    id: KeyId,
    key: PublicKey,
}

/// Why a key or a signature is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MinisignError {
    /// Not a public key.
    #[error("it is no public key of minisign")]
    NotAKey,
    /// A secret one, which has no business here.
    #[error("it is a secret key of minisign; the public one is wanted")]
    SecretKey,
    /// Not a signature.
    #[error("it is no signature of minisign")]
    NotASignature,
    /// A signature of another kind.
    #[error("it is an SSH signature; those are checked with --allowed-signers (allowed_signers=)")]
    Ssh,
    /// More than one, of which it would have to be said which one counts.
    #[error("there is more in it than one signature")]
    More,
    /// The first kind of signatures.
    #[error("it is a legacy signature, made with minisign -l or before 0.10; sign anew")]
    Legacy,
    /// Made with another key.
    #[error("wanted a signature by key {}, found one by {found}", Ids(wanted))]
    OtherKey {
        /// Those that are taken.
        wanted: Vec<KeyId>,
        /// The one that the signature names.
        found: KeyId,
    },
    /// It is for other bytes, or was made with another key of that number, or
    /// was changed.
    #[error("the signature by key {0} is not one of these bytes")]
    Wrong(KeyId),
}

struct Ids<'a>(&'a [KeyId]);

impl fmt::Display for Ids<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, number) in self.0.iter().zip(0..) {
            if number > 0 {
                f.write_str(" or ")?;
            }
            id.fmt(f)?;
        }
        Ok(())
    }
}

impl MinisignKey {
    /// The key as it stands in the second line of its file.
    ///
    /// # Errors
    /// [`MinisignError::NotAKey`].
    pub fn parse(base64: &str) -> Result<Self, MinisignError> {
        let id = KeyId::read(base64, KEY_BYTES).ok_or(MinisignError::NotAKey)?;
        let key = PublicKey::from_base64(base64).map_err(|_| MinisignError::NotAKey)?;
        Ok(Self { id, key })
    }

    /// The key in the text of its file.
    ///
    /// # Errors
    /// See [`MinisignError`].
    pub fn read(text: &str) -> Result<Self, MinisignError> {
        let lines: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
        match *lines.as_slice() {
            [comment, key] if comment.starts_with("untrusted comment:") => Self::parse(key)
                .map_err(|error| match Base64::decode_vec(key) {
                    Ok(bytes) if bytes.len() > KEY_BYTES => MinisignError::SecretKey,
                    _ => error,
                }),
            [key] => Self::parse(key),
            _ => Err(MinisignError::NotAKey),
        }
    }

    /// Its number.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }
}

/// A signature that nobody has compared with anything yet.
#[derive(Clone)]
pub(super) struct MinisignSignature {
    key: KeyId,
    signature: Signature,
}

impl fmt::Debug for MinisignSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MinisignSignature({})", self.key)
    }
}

impl MinisignSignature {
    /// The signature in the text of its file.
    pub(super) fn read(text: &str) -> Result<Self, MinisignError> {
        use MinisignError::{Legacy, More, NotASignature};
        if super::ssh::looks_like_one(text) {
            return Err(MinisignError::Ssh);
        }
        let lines: Vec<&str> = text.trim_end_matches(['\r', '\n']).lines().collect();
        let line = match *lines.as_slice() {
            [comment, ..] if !comment.starts_with("untrusted comment: ") => {
                return Err(NotASignature);
            }
            [_, line, _, _] => line,
            [_, _, _, _, _, ..] => return Err(More),
            _ => return Err(NotASignature),
        };
        let key = KeyId::read(line, SIGNATURE_BYTES).ok_or(NotASignature)?;
        let signature = Signature::decode(text).map_err(|_| NotASignature)?;
        let algorithm = Base64::decode_vec(line).unwrap_or_default();
        if !algorithm.starts_with(b"ED") {
            return Err(Legacy);
        }
        Ok(Self { key, signature })
    }

    /// Who signed these bytes, if it was one of `keys`.
    pub(super) fn check(
        &self,
        keys: &[MinisignKey],
        bytes: &[u8],
    ) -> Result<MinisignVoucher, MinisignError> {
        let mut error = MinisignError::OtherKey {
            wanted: keys.iter().map(MinisignKey::id).collect(),
            found: self.key,
        };
        for key in keys {
            match key.key.verify(bytes, &self.signature, false) {
                Ok(()) => {
                    return Ok(MinisignVoucher {
                        key: key.id,
                        comment: self.signature.trusted_comment().to_owned(),
                    });
                }
                Err(Verdict::UnexpectedKeyId) => {}
                Err(_) => error = MinisignError::Wrong(self.key),
            }
        }
        Err(error)
    }
}
