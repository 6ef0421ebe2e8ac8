//! The options that say which attributes count.

use crate::attributes::{Attribute, AttributeList, AttributeSet};

/// Which attributes count.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct AttributeArguments {
    /// Heed these attributes: content, portable or all
    ///
    /// "content" is what files are and hold: type, size, content, target,
    /// device, whiteout. "portable" is what somebody who is not root can carry
    /// to another machine: all but uid, gid and the extended attributes outside
    /// of "user.".
    #[arg(long, value_name = "PRESET", conflicts_with = "only_attr")]
    attrs: Option<AttributeSet>,

    /// Heed only these attributes, words with commas between them
    ///
    /// The words are type, mode, uid, gid, size, content, mtime, xattr, target,
    /// device, links, whiteout. "xattr:NAME" is one extended attribute; "*" in
    /// the name stands for anything, as in "xattr:security.*".
    #[arg(long, value_name = "LIST")]
    only_attr: Option<AttributeList>,

    /// Do not heed these attributes, in the same words
    #[arg(long, value_name = "LIST")]
    ignore_attr: Option<AttributeList>,

    /// Do not heed these bits of modes, in octal digits, such as 0022
    #[arg(long, value_name = "MASK", value_parser = mode_bits)]
    ignore_mode_bits: Option<u32>,
}

impl AttributeArguments {
    /// The set that they name; without any, `otherwise`. What is `asked` for by
    /// other options is in it too, unless it is ignored.
    pub fn set(&self, otherwise: AttributeSet, asked: &[Attribute]) -> AttributeSet {
        let set = match (&self.attrs, &self.only_attr) {
            (_, Some(list)) => AttributeSet::only(list),
            (Some(preset), None) => preset.clone(),
            (None, None) => otherwise,
        };
        let mut set = asked.iter().copied().fold(set, AttributeSet::with);
        if let Some(list) = &self.ignore_attr {
            set = set.ignoring(list);
        }
        set.without_mode_bits(self.ignore_mode_bits.unwrap_or(0))
    }
}

fn mode_bits(digits: &str) -> Result<u32, String> {
    u32::from_str_radix(digits, 8)
        .ok()
        .filter(|bits| *bits <= 0o7777)
        .ok_or_else(|| "wanted octal digits, at most 7777".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        attributes: AttributeArguments,
    }

    fn set(arguments: &[&str]) -> Result<AttributeSet, clap::Error> {
        let arguments = std::iter::once(&"program").chain(arguments);
        let program = Program::try_parse_from(arguments)?;
        Ok(program.attributes.set(AttributeSet::all(), &[]))
    }

    #[test]
    fn options_work_together() {
        assert_eq!(set(&[]).unwrap(), AttributeSet::all());
        let ignoring = set(&["--attrs=content", "--ignore-attr=type,device"]).unwrap();
        assert!(ignoring.has(Attribute::Content) && !ignoring.has(Attribute::Device));
        let only = set(&["--only-attr=mode", "--ignore-mode-bits=0022"]).unwrap();
        assert_eq!(
            (only.mode_bits(), only.has(Attribute::Size)),
            (0o7755, false)
        );
        for wrong in [
            &["--attrs=some"][..],
            &["--attrs=all", "--only-attr=mode"],
            &["--ignore-attr=time"],
            &["--ignore-mode-bits=8"],
            &["--ignore-mode-bits=10000"],
        ] {
            assert!(set(wrong).is_err(), "{wrong:?}");
        }
    }
}
