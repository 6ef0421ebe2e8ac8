//! What extended headers say of the members that follow.

use std::collections::BTreeMap;

use super::error::Fault;
use super::pax::{self, Records, decimal};
use super::sparse::Map;

/// What was said, each part the last time it was said.
#[derive(Clone, Debug, Default)]
pub(super) struct Extended {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    pub user: Option<Vec<u8>>,
    pub group: Option<Vec<u8>>,
    pub mtime: Option<(i64, u32)>,
    pub major: Option<u64>,
    pub minor: Option<u64>,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Attributes as libarchive has them, and their names as they stand. It
    /// writes each a second time as star does, but with the name as it stands
    /// here, which star does not.
    pub encoded_xattrs: BTreeMap<Vec<u8>, (Vec<u8>, Vec<u8>)>,
    /// ACLs as text: on access, and of new files in a directory.
    pub access_acl: Option<Vec<u8>>,
    pub default_acl: Option<Vec<u8>>,
    pub sparse: Sparse,
}

/// What GNU tar says of a file with holes.
#[derive(Clone, Debug, Default)]
pub(super) struct Sparse {
    /// Of the form; 0.x does not say it.
    pub version: Option<(u64, u64)>,
    /// The true name, for the plain one is made up then.
    pub name: Option<Vec<u8>>,
    /// Size of the file with its holes.
    pub size: Option<u64>,
    /// The map of forms 0.0 and 0.1.
    pub map: Option<Map>,
}

impl Extended {
    /// Takes all records of an extended header.
    pub fn take(&mut self, records: &[u8]) -> Result<(), Fault> {
        for record in Records::new(records) {
            let (key, value) = record.map_err(|_| Fault::Extended)?;
            self.take_record(key, value)?;
        }
        Ok(())
    }

    fn take_record(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        let bad = || Fault::Record(Box::from(key));
        // An empty value takes back what was said (POSIX).
        let text = || (!value.is_empty()).then(|| value.to_vec());
        let number = || match value {
            b"" => Ok(None),
            digits => decimal(digits).map(Some).ok_or_else(bad),
        };
        match key {
            b"path" => self.path = text(),
            b"linkpath" => self.link = text(),
            b"uname" => self.user = text(),
            b"gname" => self.group = text(),
            b"size" => self.size = number()?,
            b"uid" => self.uid = number()?,
            b"gid" => self.gid = number()?,
            b"SCHILY.devmajor" => self.major = number()?,
            b"SCHILY.devminor" => self.minor = number()?,
            b"mtime" if value.is_empty() => self.mtime = None,
            b"mtime" => self.mtime = Some(pax::time(value).ok_or_else(bad)?),
            b"SCHILY.acl.access" => self.access_acl = text(),
            b"SCHILY.acl.default" => self.default_acl = text(),
            // Another form of files with holes; what is stored is not the file.
            b"SCHILY.realsize" => return Err(Fault::Sparse),
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.insert(name.to_vec(), value.to_vec());
                } else if let Some(encoded) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                    let name = percent_decode(encoded).ok_or_else(bad)?;
                    let value = base64_decode(value).ok_or_else(bad)?;
                    let as_it_stands = encoded.to_vec();
                    self.encoded_xattrs.insert(name, (as_it_stands, value));
                } else if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                    self.take_sparse(key, value).ok_or_else(bad)?;
                }
            }
        }
        Ok(())
    }

    /// The attributes, each once.
    pub fn take_xattrs(&mut self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut xattrs = std::mem::take(&mut self.xattrs);
        let encoded = std::mem::take(&mut self.encoded_xattrs);
        for (as_it_stands, _) in encoded.values() {
            xattrs.remove(as_it_stands);
        }
        xattrs.extend(encoded.into_iter().map(|(name, (_, value))| (name, value)));
        xattrs
    }

    fn take_sparse(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let sparse = &mut self.sparse;
        match key {
            b"major" => sparse.version.get_or_insert_default().0 = decimal(value)?,
            b"minor" => sparse.version.get_or_insert_default().1 = decimal(value)?,
            b"name" => sparse.name = Some(value.to_vec()),
            b"size" | b"realsize" => sparse.size = Some(decimal(value)?),
            // Begins the list of form 0.0, which is then one record a number.
            b"numblocks" => sparse.map = Some(Map::default()),
            b"offset" | b"numbytes" => {
                let map = sparse.map.get_or_insert_default();
                if map.is_open() != (key == b"numbytes") {
                    return None;
                }
                map.push(decimal(value))?;
            }
            b"map" => sparse.map = Some(Map::parse_list(value)?),
            _ => {}
        }
        Some(())
    }
}

/// Names of attributes as libarchive has them: `%` and two hexadecimal digits.
fn percent_decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = text.iter();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(*bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => *byte,
        });
    }
    Some(decoded)
}

pub(super) fn percent_encode(name: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    for byte in name {
        match byte {
            b'%' | b'=' | 0..=b' ' | 0x7f.. => {
                encoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
            }
            byte => encoded.push(*byte),
        }
    }
    encoded
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// With or without `=` at the end (libarchive writes none).
fn base64_decode(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii_end();
    let end = text.iter().position(|byte| *byte == b'=');
    let text = text.get(..end.unwrap_or(text.len()))?;
    let mut decoded = Vec::new();
    for letters in text.chunks(4) {
        let mut bits = 0_u32;
        for letter in letters {
            let value = BASE64.iter().position(|known| known == letter)?;
            bits = bits << 6 | u32::try_from(value).ok()?;
        }
        // Two letters have one byte, three have two, four have three.
        let bytes = (bits << (6 * (4 - letters.len()))).to_be_bytes();
        decoded.extend_from_slice(bytes.get(1..letters.len())?);
        if letters.len() == 1 {
            return None;
        }
    }
    Some(decoded)
}

pub(super) fn base64_encode(bytes: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    for part in bytes.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, place| {
            bits << 8 | u32::from(part.get(place).copied().unwrap_or(0))
        });
        for place in 0..=part.len() {
            let value = bits >> (18 - 6 * place) & 63;
            encoded.extend(BASE64.get(value as usize));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libarchive_encodes_comes_back() {
        for bytes in [&b""[..], b"a", b"ab", b"abc", b"abcd", b"\xff\0\x01=%\n"] {
            let encoded = base64_encode(bytes);
            assert_eq!(base64_decode(&encoded).unwrap(), bytes);
            assert_eq!(percent_decode(&percent_encode(bytes)).unwrap(), bytes);
        }
        assert_eq!(base64_encode(b"abcd"), b"YWJjZA");
        assert_eq!(base64_decode(b"YWJjZA==\n").unwrap(), b"abcd");
        for bad in [&b"Y"[..], b"YW!j", b"YWJjZ"] {
            assert_eq!(base64_decode(bad), None);
        }
        assert_eq!(percent_decode(b"%4"), None);
        assert_eq!(percent_decode(b"%zz"), None);
    }

    #[test]
    fn the_last_word_counts_and_nothing_takes_it_back() {
        let mut records = Vec::new();
        for (key, value) in [
            (&b"path"[..], &b"one"[..]),
            (b"path", b"two"),
            (b"uid", b"4294967296"),
            (b"gid", b"5"),
            (b"gid", b""),
            (b"SCHILY.xattr.user.a=", b""),
            (b"SCHILY.xattr.user.b", b""),
            (b"comment", b"x"),
        ] {
            pax::push(&mut records, key, value);
        }
        let mut extended = Extended::default();
        extended.take(&records).unwrap();
        assert_eq!(extended.path.unwrap(), b"two");
        assert_eq!(extended.uid, Some(1 << 32));
        assert_eq!(extended.gid, None);
        let names: Vec<_> = extended.xattrs.keys().collect();
        assert_eq!(names, [b"user.a", b"user.b"]);
    }

    #[test]
    fn says_which_record_is_bad() {
        for (key, value) in [
            (&b"size"[..], &b"-1"[..]),
            (b"uid", b"1.0"),
            (b"mtime", b"soon"),
            (b"GNU.sparse.map", b"1"),
            (b"GNU.sparse.numbytes", b"1"),
            (b"LIBARCHIVE.xattr.user.x", b"!"),
        ] {
            let mut records = Vec::new();
            pax::push(&mut records, key, value);
            let bad = Extended::default().take(&records).unwrap_err();
            assert!(matches!(bad, Fault::Record(record) if *record == *key));
        }
    }
}
