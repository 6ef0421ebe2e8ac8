//! What a manifest must be before anything reads it: on the command line and
//! among mount options.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::digest::Digest;
use crate::trust::{Demands, KeySource, Policy, TrustError};

/// What the manifest must be. All that is given must hold.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TrustArguments {
    /// Refuse the manifest unless its bytes have this digest, such as
    /// "sha256:" and 64 hexadecimal digits; or one of these, if repeated
    #[arg(long, value_name = "DIGEST", value_parser = Digest::parse)]
    pub digest: Vec<Digest>,

    /// The same with the digests in FILE, one a line, in the same form or as
    /// sha256sum(1) writes them
    #[arg(long, value_name = "FILE")]
    pub digest_file: Vec<PathBuf>,

    /// Refuse the manifest unless it was signed with this key of minisign(1), the
    /// public key itself or its file; or with one of these, if repeated
    #[arg(long, value_name = "KEY", value_parser = key_parser())]
    pub key: Vec<KeySource>,

    /// Refuse the manifest unless one of the signers in FILE signed it with an SSH
    /// key ("ssh-keygen -Y sign -n continuity-manifest"). FILE is as in
    /// ssh-keygen(1), ALLOWED SIGNERS
    #[arg(long, value_name = "FILE")]
    pub allowed_signers: Option<PathBuf>,

    /// Take it only from this one of the allowed signers
    #[arg(long, value_name = "PRINCIPAL")]
    pub signer: Option<String>,

    /// Where the signature is, if not beside the manifest, with .minisig or .sig
    /// behind its name
    #[arg(long, value_name = "FILE")]
    pub signature: Option<PathBuf>,

    /// Refuse the manifest unless a digest or a signature is asked for
    #[arg(long)]
    pub require_signature: bool,
}

fn key_parser() -> impl TypedValueParser<Value = KeySource> {
    OsStringValueParser::new().map(|text: OsString| KeySource::parse(&text))
}

impl TrustArguments {
    /// Reads keys, lists and signatures; `None` is a manifest without a name.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub fn policy(&self, manifest: Option<&Path>) -> Result<Policy, TrustError> {
        let demands = Demands {
            digests: self.digest.clone(),
            digest_files: self.digest_file.clone(),
            keys: self.key.clone(),
            allowed_signers: self.allowed_signers.clone(),
            signer: self.signer.clone(),
            signature: self.signature.clone(),
            required: self.require_signature,
        };
        Policy::open(&demands, manifest)
    }

    /// Whether somebody is asked to vouch for the manifest.
    #[must_use]
    pub fn asks_somebody(&self) -> bool {
        !(self.digest.is_empty() && self.digest_file.is_empty() && self.key.is_empty())
            || self.allowed_signers.is_some()
    }

    /// Whether nothing is demanded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self {
            digest,
            digest_file,
            key,
            allowed_signers,
            signer,
            signature,
            require_signature,
        } = self;
        digest.is_empty()
            && digest_file.is_empty()
            && key.is_empty()
            && allowed_signers.is_none()
            && signer.is_none()
            && signature.is_none()
            && !require_signature
    }

    /// Takes one more demand, by its name among mount options; `None` if there is
    /// none of that name.
    pub(super) fn set(&mut self, name: &str, value: &OsStr) -> Option<Result<(), String>> {
        Some(match name {
            "digest" => text(value)
                .and_then(|text| Digest::parse(text).map_err(|error| error.to_string()))
                .map(|digest| self.digest.push(digest)),
            "digest_file" => path(value).map(|path| self.digest_file.push(path)),
            "key" => path(value).map(|_| self.key.push(KeySource::parse(value))),
            "allowed_signers" => {
                path(value).and_then(|path| set_once(&mut self.allowed_signers, path))
            }
            "signer" => text(value).and_then(|text| set_once(&mut self.signer, text.to_owned())),
            "signature" => path(value).and_then(|path| set_once(&mut self.signature, path)),
            _ => return None,
        })
    }

    /// Demands what others demand too.
    ///
    /// # Errors
    /// The name of what can be given once and is given twice.
    pub(super) fn join(&mut self, others: Self) -> Result<(), &'static str> {
        fn join_one<T: PartialEq>(
            one: &mut Option<T>,
            other: Option<T>,
            name: &'static str,
        ) -> Result<(), &'static str> {
            match other {
                None => Ok(()),
                Some(other) => set_once(one, other).map_err(|_| name),
            }
        }
        self.digest.extend(others.digest);
        self.digest_file.extend(others.digest_file);
        self.key.extend(others.key);
        self.require_signature |= others.require_signature;
        join_one(
            &mut self.allowed_signers,
            others.allowed_signers,
            "allowed_signers",
        )?;
        join_one(&mut self.signer, others.signer, "signer")?;
        join_one(&mut self.signature, others.signature, "signature")
    }
}

/// Which of two would count must not depend on their order.
fn set_once<T: PartialEq>(option: &mut Option<T>, value: T) -> Result<(), String> {
    match option {
        Some(other) if *other != value => Err("it is given twice, and differs".to_owned()),
        _ => {
            *option = Some(value);
            Ok(())
        }
    }
}

fn text(value: &OsStr) -> Result<&str, String> {
    match value.to_str() {
        Some("") => Err("it is empty".to_owned()),
        Some(text) => Ok(text),
        None => Err("not UTF-8".to_owned()),
    }
}

fn path(value: &OsStr) -> Result<PathBuf, String> {
    if value.is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> TrustArguments {
        let mut all = TrustArguments::default();
        for (name, value) in [
            ("digest", &*format!("sha256:{}", "0".repeat(64))),
            ("digest_file", "list"),
            ("key", "key.pub"),
            ("allowed_signers", "signers"),
            ("signer", "a@b"),
            ("signature", "sig"),
        ] {
            assert!(all.is_empty() || !name.is_empty());
            all.set(name, value.as_ref()).unwrap().unwrap();
            assert!(!all.is_empty());
            assert!(all.set(name, "".as_ref()).unwrap().is_err(), "{name}");
        }
        all
    }

    #[test]
    fn takes_each_once_or_often() {
        assert!(TrustArguments::default().is_empty());
        let mut all = all();
        assert!(all.set("require_signature", "".as_ref()).is_none());
        for name in ["digest_file", "key"] {
            all.set(name, "other".as_ref()).unwrap().unwrap();
        }
        assert_eq!((all.digest_file.len(), all.key.len()), (2, 2));
        for name in ["allowed_signers", "signer", "signature"] {
            assert!(all.set(name, "other".as_ref()).unwrap().is_err());
        }
        all.set("signer", "a@b".as_ref()).unwrap().unwrap();
    }

    #[test]
    fn joins_what_two_places_demand() {
        let mut joined = TrustArguments {
            require_signature: true,
            ..TrustArguments::default()
        };
        joined.join(all()).unwrap();
        joined.join(all()).unwrap();
        assert!(joined.require_signature);
        assert_eq!((joined.digest.len(), joined.key.len()), (2, 2));
        let other = TrustArguments {
            signature: Some("else".into()),
            ..TrustArguments::default()
        };
        assert_eq!(joined.join(other), Err("signature"));
    }
}
