//! Sets of attributes, and the words for them.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::Pattern;

/// Something that a manifest declares of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// What kind of file it is.
    Type,
    /// Permissions with setuid, setgid and sticky bit.
    Mode,
    /// Owner, as a number.
    Uid,
    /// Group, as a number.
    Gid,
    /// Size of a regular file.
    Size,
    /// What a regular file holds, by its digests.
    Content,
    /// Time of the last change of the content.
    Mtime,
    /// Extended attributes, POSIX ACLs and capabilities among them.
    Xattr,
    /// Where a symlink leads.
    Target,
    /// Numbers of a device.
    Device,
    /// Which names are hard links of each other.
    Links,
    /// Whether a name hides, or a directory covers, what lower layers have.
    Whiteout,
}

impl Attribute {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 12] = [
        Self::Type,
        Self::Mode,
        Self::Uid,
        Self::Gid,
        Self::Size,
        Self::Content,
        Self::Mtime,
        Self::Xattr,
        Self::Target,
        Self::Device,
        Self::Links,
        Self::Whiteout,
    ];

    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Mode => "mode",
            Self::Uid => "uid",
            Self::Gid => "gid",
            Self::Size => "size",
            Self::Content => "content",
            Self::Mtime => "mtime",
            Self::Xattr => "xattr",
            Self::Target => "target",
            Self::Device => "device",
            Self::Links => "links",
            Self::Whiteout => "whiteout",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Some of all attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeSet {
    attributes: u16,
    /// Exceptions from what `attributes` says of all extended attributes; the
    /// last one that fits a name decides.
    xattrs: Vec<(Pattern, bool)>,
    mode_bits: u32,
}

/// What every mode has beside its type: `rwxrwxrwx`, setuid, setgid, sticky.
const MODE_BITS: u32 = 0o7777;

impl AttributeSet {
    /// Everything.
    #[must_use]
    pub const fn all() -> Self {
        Self {
            attributes: u16::MAX,
            xattrs: Vec::new(),
            mode_bits: MODE_BITS,
        }
    }

    /// Nothing.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            attributes: 0,
            xattrs: Vec::new(),
            mode_bits: MODE_BITS,
        }
    }

    /// What the files are and hold, whoever has them: type, size, content,
    /// target, device, whiteout.
    #[must_use]
    pub fn content() -> Self {
        let words = [
            Attribute::Type,
            Attribute::Size,
            Attribute::Content,
            Attribute::Target,
            Attribute::Device,
            Attribute::Whiteout,
        ];
        words.into_iter().fold(Self::none(), Self::with)
    }

    /// What somebody who is not root can carry to another machine: all but the
    /// owners and the extended attributes outside of `user.`.
    #[must_use]
    pub fn portable() -> Self {
        let user = AttributeWord::Xattr(Pattern::new(b"user.*"));
        Self::all()
            .without(Attribute::Uid)
            .without(Attribute::Gid)
            .without(Attribute::Xattr)
            .with(user)
    }

    /// Whether it has an attribute; of extended attributes, whether it may have
    /// any.
    #[must_use]
    pub fn has(&self, attribute: Attribute) -> bool {
        self.attributes & attribute.bit() != 0
            || (attribute == Attribute::Xattr && self.xattrs.iter().any(|(_, taken)| *taken))
    }

    /// Whether it has the extended attribute of this name.
    #[must_use]
    pub fn has_xattr(&self, name: &[u8]) -> bool {
        self.xattrs
            .iter()
            .rev()
            .find(|(pattern, _)| pattern.matches(name))
            .map_or(
                self.attributes & Attribute::Xattr.bit() != 0,
                |(_, taken)| *taken,
            )
    }

    /// The bits of the mode that count, of the lowest twelve of stat(2); none
    /// where it has no mode.
    #[must_use]
    pub fn mode_bits(&self) -> u32 {
        if self.has(Attribute::Mode) {
            self.mode_bits
        } else {
            0
        }
    }

    /// One more.
    #[must_use]
    pub fn with(self, word: impl Into<AttributeWord>) -> Self {
        self.set(word.into(), true)
    }

    /// One less.
    #[must_use]
    pub fn without(self, word: impl Into<AttributeWord>) -> Self {
        self.set(word.into(), false)
    }

    /// These ones and nothing else.
    #[must_use]
    pub fn only(list: &AttributeList) -> Self {
        list.words().fold(Self::none(), Self::with)
    }

    /// All but these ones.
    #[must_use]
    pub fn ignoring(self, list: &AttributeList) -> Self {
        list.words().fold(self, Self::without)
    }

    /// The same, but for bits of the mode that do not count.
    #[must_use]
    pub const fn without_mode_bits(mut self, bits: u32) -> Self {
        self.mode_bits &= !bits;
        self
    }

    fn set(mut self, word: AttributeWord, taken: bool) -> Self {
        match word {
            AttributeWord::Xattr(pattern) => self.xattrs.push((pattern, taken)),
            AttributeWord::Attribute(attribute) => {
                if attribute == Attribute::Xattr {
                    self.xattrs.clear();
                }
                if taken {
                    self.attributes |= attribute.bit();
                } else {
                    self.attributes &= !attribute.bit();
                }
            }
        }
        self
    }
}

/// The presets by name.
impl FromStr for AttributeSet {
    type Err = AttributesError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "all" => Ok(Self::all()),
            "content" => Ok(Self::content()),
            "portable" => Ok(Self::portable()),
            _ => Err(AttributesError::Preset(name.to_owned())),
        }
    }
}

/// An attribute, or the extended attributes of some names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeWord {
    /// One attribute, or all extended ones.
    Attribute(Attribute),
    /// The extended attributes whose names fit.
    Xattr(Pattern),
}

impl From<Attribute> for AttributeWord {
    fn from(attribute: Attribute) -> Self {
        Self::Attribute(attribute)
    }
}

/// Words with commas between them, such as `mtime,xattr:security.*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeList(Vec<AttributeWord>);

impl AttributeList {
    fn words(&self) -> impl Iterator<Item = AttributeWord> {
        self.0.iter().cloned()
    }
}

impl FromStr for AttributeList {
    type Err = AttributesError;

    fn from_str(list: &str) -> Result<Self, Self::Err> {
        list.split(',')
            .map(parse_word)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn parse_word(word: &str) -> Result<AttributeWord, AttributesError> {
    if let Some(pattern) = word.strip_prefix("xattr:") {
        return Ok(AttributeWord::Xattr(Pattern::new(pattern.as_bytes())));
    }
    Attribute::ALL
        .into_iter()
        .find(|attribute| attribute.name() == word)
        .map(AttributeWord::from)
        .ok_or_else(|| AttributesError::Word(word.to_owned()))
}

/// Why words are no set of attributes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AttributesError {
    /// There is no such attribute.
    #[error("{0:?} is no attribute; they are {words} and xattr:NAME", words = Words)]
    Word(String),
    /// There is no such preset.
    #[error("{0:?} is no preset; they are content, portable and all")]
    Preset(String),
}

struct Words;

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, attribute) in Attribute::ALL.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{attribute}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(words: &str) -> AttributeList {
        words.parse().unwrap()
    }

    /// The words of a set.
    fn words(set: &AttributeSet) -> String {
        let names = Attribute::ALL.into_iter().filter(|one| set.has(*one));
        names.map(Attribute::name).collect::<Vec<_>>().join(",")
    }

    #[test]
    fn lists_take_and_give() {
        let all = words(&AttributeSet::all());
        assert_eq!(words(&AttributeSet::only(&list(&all))), all);
        assert_eq!(words(&AttributeSet::all().ignoring(&list(&all))), "");
        assert_eq!(words(&AttributeSet::only(&list("uid,mode"))), "mode,uid");
        let rest = AttributeSet::content().ignoring(&list("content,size"));
        assert_eq!(words(&rest), "type,target,device,whiteout");
    }

    #[test]
    fn the_last_word_on_an_extended_attribute_counts() {
        let names = |set: &AttributeSet| {
            ["user.a", "user.b", "security.capability"].map(|name| set.has_xattr(name.as_bytes()))
        };
        let set = AttributeSet::all().ignoring(&list("xattr:user.*"));
        assert_eq!(
            (names(&set), set.has(Attribute::Xattr)),
            ([false, false, true], true)
        );
        let set = AttributeSet::only(&list("xattr:user.*"));
        assert_eq!(
            (names(&set), set.has(Attribute::Xattr)),
            ([true, true, false], true)
        );
        let set = set.ignoring(&list("xattr:user.a"));
        assert_eq!(names(&set), [false, true, false]);
        let set = set.ignoring(&list("xattr"));
        assert_eq!(
            (names(&set), set.has(Attribute::Xattr)),
            ([false; 3], false)
        );
        let set = AttributeSet::only(&list("xattr:user.a,xattr"));
        assert_eq!(names(&set), [true; 3]);
        assert_eq!(names(&AttributeSet::portable()), [true, true, false]);
    }

    #[test]
    fn bits_of_the_mode_can_be_left_out() {
        let set = AttributeSet::all().without_mode_bits(0o022);
        assert_eq!(set.mode_bits(), 0o7755);
        assert_eq!(set.without(Attribute::Mode).mode_bits(), 0);
    }

    #[test]
    fn says_which_words_there_are() {
        let error = "mode,time".parse::<AttributeList>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"time\" is no attribute; they are type, mode, uid, gid, size, content, mtime, \
             xattr, target, device, links, whiteout and xattr:NAME"
        );
        assert!("".parse::<AttributeList>().is_err());
        assert!("everything".parse::<AttributeSet>().is_err());
    }
}
