//! Bytes of a manifest, with who vouches for them.

use std::fmt;
use std::ops::Deref;

use crate::digest::Digest;
use crate::escape::Escaped;

use super::minisign::KeyId;

/// The bytes of a manifest, all that was demanded of which holds. They are the
/// very ones that were hashed, or compared with a signature, and nobody can
/// change them since.
#[derive(Clone)]
pub struct Vouched {
    bytes: Vec<u8>,
    by: Voucher,
}

/// Who vouches for a manifest; each that was demanded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Voucher {
    /// A digest that was given.
    pub pin: Option<Digest>,
    /// A key of minisign.
    pub minisign: Option<MinisignVoucher>,
    /// A key of SSH.
    pub ssh: Option<SshVoucher>,
}

/// A signature of minisign that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinisignVoucher {
    /// The number of the key.
    pub key: KeyId,
    /// The comment that was signed too. Show it escaped.
    pub comment: String,
}

/// An SSH signature that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshVoucher {
    /// Fingerprint of the key.
    pub key: String,
    /// Who signed: the principal that was asked for, or those of the line. Show it
    /// escaped.
    pub signer: String,
}

impl Vouched {
    /// Only who checked the bytes can say that somebody vouches for them.
    pub(super) const fn new(bytes: Vec<u8>, by: Voucher) -> Self {
        Self { bytes, by }
    }

    /// Bytes for which nobody vouches, and nobody has to.
    #[must_use]
    pub fn by_nobody(bytes: Vec<u8>) -> Self {
        Self::new(bytes, Voucher::default())
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, on their own.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Who vouches for them.
    #[must_use]
    pub const fn by(&self) -> &Voucher {
        &self.by
    }
}

/// To be read as its bytes.
impl Deref for Vouched {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Without the bytes, which may be many.
impl fmt::Debug for Vouched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vouched({} bytes, {})", self.bytes.len(), self.by)
    }
}

impl Voucher {
    /// Whether there is none.
    #[must_use]
    pub fn is_nobody(&self) -> bool {
        *self == Self::default()
    }
}

/// In logfmt, or `none`.
impl fmt::Display for Voucher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_nobody() {
            return f.write_str("none");
        }
        let mut space = "";
        if let Some(digest) = &self.pin {
            write!(f, "pin={digest}")?;
            space = " ";
        }
        if let Some(MinisignVoucher { key, comment }) = &self.minisign {
            let comment = Escaped(comment.as_bytes());
            write!(f, "{space}minisign={key} comment={comment:?}")?;
            space = " ";
        }
        if let Some(SshVoucher { key, signer }) = &self.ssh {
            let signer = Escaped(signer.as_bytes());
            write!(f, "{space}ssh={key} signer={signer:?}")?;
        }
        Ok(())
    }
}
