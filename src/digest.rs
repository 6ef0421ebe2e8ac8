//! Digests: the OCI form `algorithm:hex` and the hashing behind it.

use std::fmt;

use sha2::Digest as _;
use thiserror::Error;

/// A hash function that is strong enough to vouch for content.
///
/// The names are those of the OCI image specification
/// (`descriptor.md`, registered algorithms). MD5, SHA-1 and checksums are not
/// among them on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256 (FIPS 180-4).
    Sha256,
    /// SHA-384 (FIPS 180-4).
    Sha384,
    /// SHA-512 (FIPS 180-4).
    Sha512,
    /// BLAKE3 with its 256-bit output.
    Blake3,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sha256, Self::Sha384, Self::Sha512, Self::Blake3];

    /// The algorithm of this name; `None` if we do not know it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// Its name in front of the colon.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
            Self::Blake3 => "blake3",
        }
    }

    /// Length of a raw digest, in bytes.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::Sha256 | Self::Blake3 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The digest of `data`.
    #[must_use]
    pub fn hash(self, data: &[u8]) -> Digest {
        if self == Self::Blake3 {
            // Without the memory that its hasher takes.
            return Digest::of(self, blake3::hash(data).as_bytes());
        }
        let mut hasher = Hasher::new(self);
        hasher.update(data);
        hasher.finish()
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A digest by an algorithm that we know, of the right length.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    /// Zero beyond `algorithm.size()`, so that comparing is exact.
    raw: [u8; 64],
}

/// Why text is no digest.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DigestError {
    /// There is no colon, or nothing in front of it.
    #[error("digest has no algorithm in front of a colon")]
    NoAlgorithm,
    /// An algorithm that we do not know; the digest may be a good one.
    #[error("digest algorithm {0:?} is not known")]
    UnknownAlgorithm(String),
    /// Not as many hexadecimal digits as the algorithm has.
    #[error("{algorithm} digest has {found} characters, not {}", algorithm.size() * 2)]
    Length {
        /// The algorithm that the text names.
        algorithm: Algorithm,
        /// How many characters stand behind the colon, in bytes.
        found: usize,
    },
    /// Something other than `0`–`9` and `a`–`f`.
    #[error("{0} digest has characters other than 0-9 and a-f")]
    NotHex(Algorithm),
}

impl Digest {
    /// Reads `algorithm:hex`; the hexadecimal digits must be lower-case, as
    /// the OCI specification has them.
    ///
    /// # Errors
    /// See [`DigestError`].
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let (name, hex) = match text.split_once(':') {
            Some((name, hex)) if !name.is_empty() => (name, hex),
            _ => return Err(DigestError::NoAlgorithm),
        };
        let Some(algorithm) = Algorithm::from_name(name) else {
            return Err(DigestError::UnknownAlgorithm(name.to_owned()));
        };
        if hex.len() != algorithm.size() * 2 {
            return Err(DigestError::Length {
                algorithm,
                found: hex.len(),
            });
        }
        let mut raw = [0; 64];
        // Manifests are full of them: no branch for each, so that many are read at once.
        let mut wrong = 0;
        for (byte, [high, low]) in raw.iter_mut().zip(hex.as_bytes().as_chunks().0) {
            let (high, low) = (nibble(*high), nibble(*low));
            wrong |= high | low;
            *byte = high << 4 | low & 0xf;
        }
        if wrong & NOT_HEX != 0 {
            return Err(DigestError::NotHex(algorithm));
        }
        Ok(Self { algorithm, raw })
    }

    /// Takes a raw digest; `None` if it has not the algorithm's length.
    #[must_use]
    pub fn from_raw(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        let mut raw = [0; 64];
        raw.get_mut(..algorithm.size())
            .filter(|raw| raw.len() == bytes.len())?
            .copy_from_slice(bytes);
        Some(Self { algorithm, raw })
    }

    /// Bytes that are as many as the algorithm gives.
    fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut raw = [0; 64];
        for (to, from) in raw.iter_mut().zip(bytes) {
            *to = *from;
        }
        Self { algorithm, raw }
    }

    /// Its algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw bytes.
    #[must_use]
    pub fn as_raw(&self) -> &[u8] {
        self.raw.get(..self.algorithm.size()).unwrap_or(&self.raw)
    }
}

/// A hexadecimal digit of a value under 16.
const fn digit(value: u8) -> char {
    match value {
        0..=9 => (b'0' + value) as char,
        _ => (b'a' - 10 + value) as char,
    }
}

/// A bit that no hexadecimal digit has.
const NOT_HEX: u8 = 0x80;

/// The value of a hexadecimal digit, or [`NOT_HEX`].
const fn nibble(character: u8) -> u8 {
    match character {
        b'0'..=b'9' => character - b'0',
        b'a'..=b'f' => character - b'a' + 10,
        _ => NOT_HEX,
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Manifests are full of them: one string is faster than many.
        let mut hex = String::with_capacity(2 * self.raw.len());
        for byte in self.as_raw() {
            hex.push(digit(byte >> 4));
            hex.push(digit(byte & 0xf));
        }
        f.write_str(self.algorithm.name())?;
        f.write_str(":")?;
        f.write_str(&hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Hashes a stream of bytes.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(sha2::Sha256),
    Sha384(sha2::Sha384),
    Sha512(sha2::Sha512),
    Blake3(Box<blake3::Hasher>),
}

impl Hasher {
    /// A hasher that has seen nothing yet.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha384 => State::Sha384(sha2::Sha384::new()),
            Algorithm::Sha512 => State::Sha512(sha2::Sha512::new()),
            Algorithm::Blake3 => State::Blake3(Box::default()),
        })
    }

    /// Takes the next bytes.
    pub fn update(&mut self, data: &[u8]) {
        match &mut self.0 {
            State::Sha256(hasher) => hasher.update(data),
            State::Sha384(hasher) => hasher.update(data),
            State::Sha512(hasher) => hasher.update(data),
            State::Blake3(hasher) => {
                hasher.update(data);
            }
        }
    }

    /// The digest of all that was taken.
    #[must_use]
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(hasher) => Digest::of(Algorithm::Sha256, &hasher.finalize()),
            State::Sha384(hasher) => Digest::of(Algorithm::Sha384, &hasher.finalize()),
            State::Sha512(hasher) => Digest::of(Algorithm::Sha512, &hasher.finalize()),
            State::Blake3(hasher) => Digest::of(Algorithm::Blake3, hasher.finalize().as_bytes()),
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            State::Sha256(_) => "Hasher(sha256)",
            State::Sha384(_) => "Hasher(sha384)",
            State::Sha512(_) => "Hasher(sha512)",
            State::Blake3(_) => "Hasher(blake3)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf abc | sha256sum`, and so on; BLAKE3 from its test vectors' tool.
    const ABC: [&str; 4] = [
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha384:cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
        "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        "blake3:6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
    ];

    #[test]
    fn hashes_known_answers() {
        for (algorithm, text) in Algorithm::ALL.into_iter().zip(ABC) {
            let digest = algorithm.hash(b"abc");
            assert_eq!(digest.to_string(), text);
            assert_eq!(Digest::parse(text), Ok(digest));
            assert_eq!(Digest::from_raw(algorithm, digest.as_raw()), Some(digest));
            assert_ne!(algorithm.hash(b"abd"), digest);
        }
    }

    /// How fast that is, is a matter for `make bench-hash`; that the crates find
    /// what the processor has, is one for a test.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    #[test]
    fn the_instructions_of_the_processor_are_found() {
        // What sha2 asks for.
        cpufeatures::new!(sha_ni, "sha", "sse4.1");
        cpufeatures::new!(avx2, "avx2");
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap();
        let flags = cpuinfo.lines().find(|line| line.starts_with("flags"));
        let flags: Vec<&str> = flags.unwrap().split_whitespace().collect();
        let has = |names: &[&str]| names.iter().all(|name| flags.contains(name));
        assert_eq!(sha_ni::get(), has(&["sha_ni", "sse4_1"]));
        assert_eq!(avx2::get(), has(&["avx2"]));
        // As many pieces of input at a time as there is room for in a vector.
        let lanes = match () {
            () if has(&["avx512f", "avx512vl"]) => 16,
            () if has(&["avx2"]) => 8,
            () => 4,
        };
        assert_eq!(blake3::platform::Platform::detect().simd_degree(), lanes);
    }

    #[test]
    fn refuses_what_is_no_digest() {
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        use DigestError::{Length, NoAlgorithm, NotHex, UnknownAlgorithm};
        let sha256 = Algorithm::Sha256;
        for (text, error) in [
            (String::new(), NoAlgorithm),
            (hex.to_owned(), NoAlgorithm),
            (format!(":{hex}"), NoAlgorithm),
            (format!("md5:{hex}"), UnknownAlgorithm("md5".into())),
            (format!("SHA256:{hex}"), UnknownAlgorithm("SHA256".into())),
            (
                "sha256:".into(),
                Length {
                    algorithm: sha256,
                    found: 0,
                },
            ),
            (
                format!("sha256:{hex}0"),
                Length {
                    algorithm: sha256,
                    found: 65,
                },
            ),
            (format!("sha256:{}", hex.to_uppercase()), NotHex(sha256)),
            (format!("sha256:{}g", &hex[1..]), NotHex(sha256)),
            (format!("sha256:{} ", &hex[1..]), NotHex(sha256)),
        ] {
            assert_eq!(Digest::parse(&text), Err(error), "{text}");
        }
        assert_eq!(Digest::from_raw(sha256, &[0; 31]), None);
        assert_eq!(Digest::from_raw(sha256, &[0; 64]), None);
    }
}
