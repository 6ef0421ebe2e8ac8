//! Lists of options: commas, quotation marks and backslashes.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::OptionError;

/// Splits a list at its commas. A backslash takes the meaning from a comma, a
/// quotation mark or a backslash behind it, and quotation marks from what stands
/// between them (libmount).
pub(super) fn split(list: &OsStr) -> Result<Vec<OsString>, OptionError> {
    let mut options = vec![Vec::new()];
    let mut quoted = false;
    let mut bytes = list.as_bytes().iter();
    while let Some(&byte) = bytes.next() {
        let plain = match byte {
            b'\\' => match bytes.as_slice().first() {
                Some(b',' | b'\\' | b'"') => bytes.next().copied(),
                _ => Some(byte),
            },
            b'"' => {
                quoted = !quoted;
                None
            }
            b',' if !quoted => {
                options.push(Vec::new());
                None
            }
            byte => Some(byte),
        };
        if let (Some(option), Some(byte)) = (options.last_mut(), plain) {
            option.push(byte);
        }
    }
    if quoted {
        return Err(OptionError::OpenQuote(list.to_owned()));
    }
    Ok(options.into_iter().map(OsString::from_vec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_can_be_part_of_a_value() {
        for list in [r#"backing="/srv/a,b",ro"#, r"backing=/srv/a\,b,ro"] {
            assert_eq!(split(list.as_ref()).unwrap(), ["backing=/srv/a,b", "ro"]);
        }
    }

    #[test]
    fn marks_can_be_part_of_a_value() {
        for (list, plain) in [
            (r#"a\"b"#, r#"a"b"#),
            (r"a\\b", r"a\b"),
            (r"a\b", r"a\b"),
            (r#""a\"b""#, r#"a"b"#),
            (r#"a="b"c"#, "a=bc"),
            (r"a\", r"a\"),
        ] {
            assert_eq!(split(list.as_ref()).unwrap(), [plain]);
        }
        assert_eq!(split("".as_ref()).unwrap(), [""]);
        assert_eq!(split("a,,b,".as_ref()).unwrap(), ["a", "", "b", ""]);
    }

    #[test]
    fn an_open_quotation_is_refused() {
        for list in [r#"a="b,c"#, r#"""""#, r#""\""#] {
            let refused = split(list.as_ref());
            assert_eq!(refused, Err(OptionError::OpenQuote(list.into())), "{list}");
        }
    }
}
