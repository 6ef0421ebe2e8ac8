//! Signatures of ssh-keygen(1), `-Y sign` (OpenSSH's PROTOCOL.sshsig).

use std::fmt;

use base64ct::{Base64, Encoding};
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, LineEnding, PublicKey, SshSig};
use thiserror::Error;

use crate::escape::Escaped;

use super::signers::{AllowedSigner, AllowedSigners, matches_list};
use super::time::Moment;
use super::vouched::SshVoucher;

/// What a signature has to be for (`ssh-keygen -n`), so that one that was made
/// for something else vouches for no manifest.
pub const NAMESPACE: &str = "continuity-manifest";

const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";

/// Somebody touched the security key (FIDO's flag of user presence).
const TOUCHED: u8 = 1;
/// Flags and counter, behind the signature of a security key.
const TRAILER_BYTES: usize = 5;

/// A signature that nobody has compared with anything yet.
#[derive(Clone)]
pub struct SshSignature(SshSig);

/// Why a signature vouches for nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SshError {
    /// Not a signature.
    #[error("it is no SSH signature")]
    NotASignature,
    /// A signature of another kind.
    #[error("it is a signature of minisign; those are checked with --key (key=)")]
    Minisign,
    /// More than one, of which it would have to be said which one counts.
    #[error("there is more in it than one signature")]
    More,
    /// A type of keys that cannot be checked here.
    #[error("it is by a key of type {}, which is not supported; ssh-ed25519, ecdsa-sha2-nistp256 and their security keys are", Escaped(.0.as_bytes()))]
    Unsupported(String),
    /// Made for something else.
    #[error("wanted a signature for {NAMESPACE:?} (ssh-keygen -n), found one for {:?}", Escaped(.0.as_bytes()))]
    Namespace(String),
    /// The key is in no line.
    #[error("it is by key {0}, which is not among the allowed signers")]
    UnknownKey(String),
    /// It is for other bytes, or was changed.
    #[error("the signature by key {0} is not one of these bytes")]
    Wrong(String),
    /// A security key that was not touched.
    #[error("the signature by security key {0} was made without touching it")]
    Untouched(String),
    /// There are lines with the key, and none lets this signature in.
    #[error("key {key} may not sign this: line {line} of the allowed signers {reason}")]
    NotAllowed {
        /// The key.
        key: String,
        /// The last line that has it.
        line: usize,
        /// What that line says.
        reason: NotAllowed,
    },
}

/// What a line of the allowed signers says against a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAllowed {
    /// It is for other things.
    Namespace(String),
    /// It is for later.
    Early(Moment),
    /// It was for earlier.
    Late(Moment),
    /// It is for somebody else.
    Principal {
        /// Who was wanted.
        wanted: String,
        /// Who it is for.
        found: String,
    },
}

impl fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace(list) => write!(
                f,
                "is for the namespaces {:?}, and this is {NAMESPACE:?}",
                Escaped(list.as_bytes())
            ),
            Self::Early(time) => write!(f, "is valid from {time}"),
            Self::Late(time) => write!(f, "was valid until {time}"),
            Self::Principal { wanted, found } => write!(
                f,
                "is for {:?}, and the signer wanted is {:?}",
                Escaped(found.as_bytes()),
                Escaped(wanted.as_bytes())
            ),
        }
    }
}

/// Whether a text is meant as an SSH signature.
pub(super) fn looks_like_one(text: &str) -> bool {
    text.trim_start().starts_with(BEGIN)
}

/// What stands between the first and the last line, as one.
fn body(text: &str) -> String {
    let body = text.strip_prefix(BEGIN).unwrap_or(text);
    let body = body.strip_suffix(END).unwrap_or(body);
    body.split(['\r', '\n']).collect()
}

/// The text with lines as long as ssh-keygen makes them, for others make others.
fn wrap(text: &str) -> String {
    const WIDTH: usize = 70;
    let mut wrapped = format!("{BEGIN}\n");
    for (c, column) in body(text).chars().zip((0..WIDTH).cycle()) {
        wrapped.push(c);
        if column == WIDTH - 1 {
            wrapped.push('\n');
        }
    }
    if !wrapped.ends_with('\n') {
        wrapped.push('\n');
    }
    wrapped + END + "\n"
}

/// The type of the key, of a signature that cannot be decoded.
fn key_type(text: &str) -> Option<String> {
    /// Behind "SSHSIG", a version, and the length of the key.
    const TYPE_AT: usize = 6 + 4 + 4;
    let bytes = Base64::decode_vec(&body(text)).ok()?;
    let (length, rest) = bytes.get(TYPE_AT..)?.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    String::from_utf8(rest.get(..length)?.to_vec()).ok()
}

impl SshSignature {
    /// The signature in the text of its file.
    ///
    /// # Errors
    /// See [`SshError`].
    pub fn read(text: &str) -> Result<Self, SshError> {
        let text = text.trim();
        if text.starts_with("untrusted comment:") {
            return Err(SshError::Minisign);
        }
        // A decoder of this form would pass over what stands in front.
        if !text.starts_with(BEGIN) {
            return Err(SshError::NotASignature);
        }
        if text.matches(BEGIN).count() > 1 {
            return Err(SshError::More);
        }
        if !text.ends_with(END) {
            return Err(SshError::NotASignature);
        }
        let signature =
            SshSig::from_pem(wrap(text)).map_err(|error| match (error, key_type(text)) {
                (ssh_key::Error::AlgorithmUnsupported { algorithm }, _) => {
                    SshError::Unsupported(algorithm.as_str().to_owned())
                }
                (_, Some(kind)) if kind.contains("-cert-") => SshError::Unsupported(kind),
                _ => SshError::NotASignature,
            })?;
        // Some lengths in it are not compared with anything when it is decoded.
        let again = signature.to_pem(LineEnding::LF);
        if signature.version() != SshSig::VERSION || !again.is_ok_and(|again| again == wrap(text)) {
            return Err(SshError::NotASignature);
        }
        Ok(Self(signature))
    }

    /// Who signed these bytes, if one of `signers` did, who is called `wanted` if
    /// that is given.
    ///
    /// # Errors
    /// See [`SshError`].
    pub(super) fn check(
        &self,
        signers: &AllowedSigners,
        wanted: Option<&str>,
        bytes: &[u8],
        now: Moment,
    ) -> Result<SshVoucher, SshError> {
        let key = self.0.public_key();
        let name = key.fingerprint(HashAlg::Sha256).to_string();
        self.check_kind(key)?;
        if self.0.namespace() != NAMESPACE {
            return Err(SshError::Namespace(self.0.namespace().to_owned()));
        }
        let mut lines = signers.with_key(key).peekable();
        if lines.peek().is_none() {
            return Err(SshError::UnknownKey(name));
        }
        PublicKey::from(key.clone())
            .verify(NAMESPACE, bytes, &self.0)
            .map_err(|_| SshError::Wrong(name.clone()))?;
        self.check_touch(key, &name)?;
        let mut refused = SshError::UnknownKey(name.clone());
        for line in lines {
            match line.allows(wanted, now) {
                Ok(()) => {
                    return Ok(SshVoucher {
                        key: name,
                        signer: wanted.unwrap_or(&line.principals).to_owned(),
                    });
                }
                Err(reason) => {
                    refused = SshError::NotAllowed {
                        key: name.clone(),
                        line: line.line,
                        reason,
                    }
                }
            }
        }
        Err(refused)
    }

    /// Only the kinds of keys that were tried, and that their signatures are of
    /// the same kind.
    fn check_kind(&self, key: &KeyData) -> Result<(), SshError> {
        let kind = key.algorithm();
        let is_known = matches!(
            kind,
            Algorithm::Ed25519
                | Algorithm::SkEd25519
                | Algorithm::SkEcdsaSha2NistP256
                | Algorithm::Ecdsa {
                    curve: EcdsaCurve::NistP256
                }
        );
        if !is_known {
            return Err(SshError::Unsupported(kind.as_str().to_owned()));
        }
        if self.0.algorithm() != kind {
            return Err(SshError::NotASignature);
        }
        Ok(())
    }

    fn check_touch(&self, key: &KeyData, name: &str) -> Result<(), SshError> {
        if !(key.is_sk_ed25519() || key.is_sk_ecdsa_p256()) {
            return Ok(());
        }
        let bytes = self.0.signature_bytes();
        let flags = bytes
            .len()
            .checked_sub(TRAILER_BYTES)
            .and_then(|at| bytes.get(at));
        match flags {
            Some(flags) if flags & TOUCHED != 0 => Ok(()),
            _ => Err(SshError::Untouched(name.to_owned())),
        }
    }
}

impl AllowedSigner {
    fn allows(&self, wanted: Option<&str>, now: Moment) -> Result<(), NotAllowed> {
        if let Some(list) = &self.namespaces
            && !matches_list(NAMESPACE, list)
        {
            return Err(NotAllowed::Namespace(list.clone()));
        }
        match self.valid_after {
            Some(time) if now < time => return Err(NotAllowed::Early(time)),
            _ => {}
        }
        match self.valid_before {
            Some(time) if now > time => return Err(NotAllowed::Late(time)),
            _ => {}
        }
        match wanted {
            Some(wanted) if !matches_list(wanted, &self.principals) => Err(NotAllowed::Principal {
                wanted: wanted.to_owned(),
                found: self.principals.clone(),
            }),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for SshSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.0.public_key().fingerprint(HashAlg::Sha256);
        write!(f, "SshSignature({key})")
    }
}
