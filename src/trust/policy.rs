//! What is demanded of a manifest, and the judgement.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::digest::Digest;

use super::document::{self, DocumentError, KEY_MAX, LIST_MAX};
use super::error::TrustError;
use super::minisign::{MinisignKey, MinisignSignature};
use super::pins::{self, Pins};
use super::signers::AllowedSigners;
use super::ssh::SshSignature;
use super::time::Moment;
use super::vouched::{Vouched, Voucher};

/// What is demanded of a manifest. Each kind that is given has to hold: a pin and
/// a signature means both.
#[derive(Clone, Debug, Default)]
pub struct Demands {
    /// The manifest has one of these digests, or of those in the files.
    pub digests: Vec<Digest>,
    /// Files with more digests.
    pub digest_files: Vec<PathBuf>,
    /// One of these keys of minisign signed it.
    pub keys: Vec<KeySource>,
    /// One of the signers in this file signed it with an SSH key.
    pub allowed_signers: Option<PathBuf>,
    /// Who of them it has to be.
    pub signer: Option<String>,
    /// Where the signature is, if it is not beside the manifest.
    pub signature: Option<PathBuf>,
    /// Whether any of these has to be given.
    pub required: bool,
}

/// A public key of minisign, or the file that has it.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// The key itself.
    Key(Box<MinisignKey>),
    /// The file.
    File(PathBuf),
}

impl KeySource {
    /// A key as it stands in the second line of its file is meant as such, and
    /// everything else as the name of a file.
    #[must_use]
    pub fn parse(text: &OsStr) -> Self {
        text.to_str()
            .and_then(|text| MinisignKey::parse(text).ok())
            .map_or_else(|| Self::File(text.into()), |key| Self::Key(Box::new(key)))
    }

    fn load(&self) -> Result<MinisignKey, TrustError> {
        match self {
            Self::Key(key) => Ok(MinisignKey::clone(key)),
            Self::File(path) => {
                let text = read("the key", path, KEY_MAX)?;
                MinisignKey::read(&text).map_err(|cause| TrustError::Key {
                    path: path.clone(),
                    cause,
                })
            }
        }
    }
}

/// What is demanded, with all that is needed to judge.
#[derive(Debug)]
pub struct Policy {
    pins: Option<Pins>,
    minisign: Option<Signed<Vec<MinisignKey>, MinisignSignature>>,
    ssh: Option<Signed<AllowedSigners, SshSignature>>,
    signer: Option<String>,
}

/// Who may sign, and the signature.
#[derive(Debug)]
struct Signed<Keys, Signature> {
    keys: Keys,
    signature: Signature,
    /// Where the signature was.
    path: PathBuf,
}

impl Policy {
    /// Reads every file that judging needs. `manifest` is the path of the manifest,
    /// if it has one, beside which its signatures are; it is not opened.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub fn open(demands: &Demands, manifest: Option<&Path>) -> Result<Self, TrustError> {
        let by_minisign = !demands.keys.is_empty();
        let by_ssh = demands.allowed_signers.is_some();
        match (&demands.signature, by_minisign, by_ssh) {
            (Some(_), false, false) => return Err(TrustError::SignatureOfNobody),
            (Some(_), true, true) => return Err(TrustError::OneSignatureForTwo),
            _ => {}
        }
        if demands.signer.is_some() && !by_ssh {
            return Err(TrustError::SignerOfNoList);
        }
        let pins = Self::open_pins(demands)?;
        if demands.required && pins.is_none() && !by_minisign && !by_ssh {
            return Err(TrustError::Nobody);
        }
        let beside = |suffix| match (&demands.signature, manifest) {
            (Some(path), _) => Ok(path.clone()),
            (None, Some(manifest)) => {
                let mut path = OsString::from(manifest);
                path.push(suffix);
                Ok(PathBuf::from(path))
            }
            (None, None) => Err(TrustError::NoName),
        };
        let minisign = if by_minisign {
            let keys = demands.keys.iter().map(KeySource::load);
            let keys = keys.collect::<Result<_, _>>()?;
            Some(Self::open_minisign(keys, beside(".minisig")?)?)
        } else {
            None
        };
        let ssh = match &demands.allowed_signers {
            Some(signers) => Some(Self::open_ssh(signers, beside(".sig")?)?),
            None => None,
        };
        Ok(Self {
            pins,
            minisign,
            ssh,
            signer: demands.signer.clone(),
        })
    }

    fn open_pins(demands: &Demands) -> Result<Option<Pins>, TrustError> {
        let mut digests = demands.digests.clone();
        for path in &demands.digest_files {
            let text = read("the list of digests", path, LIST_MAX)?;
            let more = pins::read_list(&text).map_err(|cause| TrustError::PinFile {
                path: path.clone(),
                cause,
            })?;
            digests.extend(more);
        }
        Ok(Pins::new(digests))
    }

    fn open_minisign(
        keys: Vec<MinisignKey>,
        path: PathBuf,
    ) -> Result<Signed<Vec<MinisignKey>, MinisignSignature>, TrustError> {
        let text = read("the signature", &path, KEY_MAX)?;
        match MinisignSignature::read(&text) {
            Ok(signature) => Ok(Signed {
                keys,
                signature,
                path,
            }),
            Err(cause) => Err(TrustError::Minisign { path, cause }),
        }
    }

    fn open_ssh(
        signers: &Path,
        path: PathBuf,
    ) -> Result<Signed<AllowedSigners, SshSignature>, TrustError> {
        let text = read("the allowed signers", signers, LIST_MAX)?;
        let keys = AllowedSigners::read(&text).map_err(|cause| TrustError::Signers {
            path: signers.to_owned(),
            cause,
        })?;
        let text = read("the signature", &path, KEY_MAX)?;
        match SshSignature::read(&text) {
            Ok(signature) => Ok(Signed {
                keys,
                signature,
                path,
            }),
            Err(cause) => Err(TrustError::Ssh { path, cause }),
        }
    }

    /// Who vouches for these bytes at this time. Nobody is an answer too, if
    /// nothing was demanded.
    ///
    /// # Errors
    /// See [`TrustError`], when one of the demands is not met.
    pub fn check(&self, bytes: &[u8], now: Moment) -> Result<Voucher, TrustError> {
        let pin = match &self.pins {
            Some(pins) => Some(pins.check(bytes)?),
            None => None,
        };
        let minisign = match &self.minisign {
            Some(signed) => {
                let checked = signed.signature.check(&signed.keys, bytes);
                Some(checked.map_err(|cause| TrustError::Minisign {
                    path: signed.path.clone(),
                    cause,
                })?)
            }
            None => None,
        };
        let ssh = match &self.ssh {
            Some(signed) => {
                let signer = self.signer.as_deref();
                let checked = signed.signature.check(&signed.keys, signer, bytes, now);
                Some(checked.map_err(|cause| TrustError::Ssh {
                    path: signed.path.clone(),
                    cause,
                })?)
            }
            None => None,
        };
        Ok(Voucher { pin, minisign, ssh })
    }

    /// The same by the machine's clock, and with the bytes that were judged.
    ///
    /// # Errors
    /// As [`Policy::check`].
    pub fn vouch(&self, bytes: Vec<u8>) -> Result<Vouched, TrustError> {
        let by = self.check(&bytes, Moment::now())?;
        Ok(Vouched::new(bytes, by))
    }
}

fn read(what: &'static str, path: &Path, max: u64) -> Result<String, TrustError> {
    document::read(path, max).map_err(|cause: DocumentError| TrustError::Document {
        what,
        path: path.to_owned(),
        cause,
    })
}
