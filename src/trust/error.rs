//! Why a manifest is not trusted.

use std::path::PathBuf;

use thiserror::Error;

use crate::escape::Escaped;

use super::document::DocumentError;
use super::minisign::MinisignError;
use super::pins::{PinError, PinFileError};
use super::signers::SignerLineError;
use super::ssh::SshError;

/// Why a manifest is not trusted, or it cannot be told. Each is one line.
#[derive(Debug, Error)]
pub enum TrustError {
    /// Somebody has to vouch for it, and nobody was named.
    #[error(
        "a digest or a signature is required, and none was asked for: --digest, --key or --allowed-signers (digest=, key= or allowed_signers=)"
    )]
    Nobody,
    /// A signature, and nobody whose it could be.
    #[error(
        "there is a signature and nobody whose it should be: --key or --allowed-signers (key= or allowed_signers=) is missing"
    )]
    SignatureOfNobody,
    /// A signer, and no list of signers.
    #[error("--signer (signer=) needs --allowed-signers (allowed_signers=)")]
    SignerOfNoList,
    /// One signature for two kinds.
    #[error(
        "with both kinds of keys each signature is beside the manifest, .minisig and .sig; --signature (signature=) would be for one of them"
    )]
    OneSignatureForTwo,
    /// A manifest without a name.
    #[error("the manifest has no name, so say where its signature is: --signature (signature=)")]
    NoName,
    /// A file cannot be read.
    #[error("cannot use {what} {:?}", Escaped(path.as_os_str().as_encoded_bytes()))]
    Document {
        /// What it is for.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        cause: DocumentError,
    },
    /// A list of digests is not understood.
    #[error("digests in {:?}", Escaped(path.as_os_str().as_encoded_bytes()))]
    PinFile {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        cause: PinFileError,
    },
    /// A list of signers is not understood.
    #[error("allowed signers in {:?}", Escaped(path.as_os_str().as_encoded_bytes()))]
    Signers {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        cause: SignerLineError,
    },
    /// A key is not understood.
    #[error("key {:?}", Escaped(path.as_os_str().as_encoded_bytes()))]
    Key {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        cause: MinisignError,
    },
    /// The manifest has none of the digests.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The signature of minisign does not hold.
    #[error("signature {:?}", Escaped(path.as_os_str().as_encoded_bytes()))]
    Minisign {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        cause: MinisignError,
    },
    /// The SSH signature does not hold.
    #[error("signature {:?}", Escaped(path.as_os_str().as_encoded_bytes()))]
    Ssh {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        cause: SshError,
    },
}
