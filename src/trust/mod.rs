//! The root of trust: who vouches for the bytes of a manifest.
//!
//! What is demanded ([`Demands`]) becomes a [`Policy`], for which all files
//! that it needs are read; the policy then judges the bytes of a manifest, once
//! and before anything decodes them, and hands them back as [`Vouched`], the
//! same bytes with the name of who vouches for them.

mod document;
mod error;
mod minisign;
mod pins;
mod policy;
mod signers;
mod ssh;
mod time;
mod vouched;

pub use document::DocumentError;
pub use error::TrustError;
pub use minisign::{KeyId, MinisignError, MinisignKey};
pub use pins::{PinError, PinFileError, Pins};
pub use policy::{Demands, KeySource, Policy};
pub use signers::{AllowedSigners, SignerError, SignerLineError};
pub use ssh::{NAMESPACE, NotAllowed, SshError, SshSignature};
pub use time::Moment;
pub use vouched::{MinisignVoucher, SshVoucher, Vouched, Voucher};
