//! Bytes from outside made safe to print.

mod json;

use std::fmt;

pub use json::{Hex, JsonFormatter, serialize_name};

/// Shows a name so that it cannot act on a terminal or break a log line.
///
/// Valid UTF-8 is kept, except for control characters, the separators and
/// direction marks that would reorder a line, the backslash and the double
/// quote; those and every other byte come as `\n`, `\t`, `\\`, `\"` or `\xNN`.
#[derive(Clone, Copy)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                write_char(f, c)?;
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

fn write_char(f: &mut fmt::Formatter<'_>, c: char) -> fmt::Result {
    use fmt::Write;
    match c {
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\t' => f.write_str("\\t"),
        '\\' => f.write_str("\\\\"),
        '"' => f.write_str("\\\""),
        c if acts(c) => {
            let mut utf8 = [0; 4];
            c.encode_utf8(&mut utf8)
                .bytes()
                .try_for_each(|byte| write!(f, "\\x{byte:02x}"))
        }
        c => f.write_char(c),
    }
}

/// Whether a character does something to a terminal or a line instead of
/// standing in it.
fn acts(c: char) -> bool {
    c.is_control() || reorders(c)
}

/// Text of which only the characters that act on a terminal are escaped; for
/// whole messages, in which names are escaped already.
#[derive(Clone, Copy, Debug)]
pub struct OneLine<'a>(pub &'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        self.0.chars().try_for_each(|c| {
            if acts(c) {
                write_char(f, c)
            } else {
                f.write_char(c)
            }
        })
    }
}

/// Line and paragraph separators, and the bidirectional controls (UAX #9)
/// with which one name can be dressed up as another.
fn reorders(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_text_and_escapes_the_rest() {
        for (raw, shown) in [
            (&b"/usr/bin/env"[..], "/usr/bin/env"),
            ("caf\u{e9}".as_bytes(), "caf\u{e9}"),
            (b"a\nb\tc\rd", "a\\nb\\tc\\rd"),
            (b"\x1b[31m", "\\x1b[31m"),
            (b"back\\slash \"q\"", "back\\\\slash \\\"q\\\""),
            (b"\xff\xfe", "\\xff\\xfe"),
            ("\u{85}".as_bytes(), "\\xc2\\x85"),
            ("\u{202e}gnp".as_bytes(), "\\xe2\\x80\\xaegnp"),
        ] {
            assert_eq!(Escaped(raw).to_string(), shown);
        }
    }
}
