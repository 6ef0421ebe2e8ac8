//! The text form of a manifest, made into bytes again.

use prost::encoding::{WireType, encode_key, encode_varint};

use super::error::{TextCause, TextError};
use super::record::check_wire;
use super::schema::{Label, MANIFEST, Schema, Type};
use super::token::{Token, Tokens};
use super::wire::GROUP_DEPTH_MAX;

/// The manifest of which [`super::write_text`] wrote this text.
///
/// Fields come out in the order in which they stand, each in its shortest form.
/// That is how every known writer writes a manifest, and then the bytes are the
/// same again. What the text does not tell is how bytes were written in another
/// way: out of order, longer than needed, a part of a message here and one
/// there, or a field twice of which one counts. An unknown field of eight bytes
/// with a value under 2³² comes out with four, because the text of both is the
/// same.
///
/// # Errors
/// See [`TextError`]. What the manifest declares is not judged.
pub fn read_text(text: &[u8]) -> Result<Vec<u8>, TextError> {
    let mut reader = Reader {
        tokens: Tokens::new(text),
        depth: 0,
    };
    let mut bytes = Vec::new();
    reader.message(MANIFEST, Token::End, &mut bytes)?;
    check_wire(&bytes).map_err(|error| reader.tokens.error(TextCause::Wire(error)))?;
    Ok(bytes)
}

struct Reader<'a> {
    tokens: Tokens<'a>,
    depth: usize,
}

impl Reader<'_> {
    /// The fields up to `end`, which is taken too.
    fn message(
        &mut self,
        schema: Schema,
        end: Token<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), TextError> {
        self.depth += 1;
        // Known messages are far from it, and groups may not be deeper.
        if self.depth > GROUP_DEPTH_MAX + 1 {
            return Err(self.error(TextCause::Depth));
        }
        // Of a field that a message has once.
        let mut had = Vec::new();
        loop {
            match self.tokens.next()? {
                Token::Word(name) => self.field(schema, name, &mut had, out)?,
                token if token == end => break,
                Token::End => return Err(self.error(TextCause::OpenMessage)),
                _ => return Err(self.error(TextCause::Name)),
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn field(
        &mut self,
        schema: Schema,
        name: &str,
        had: &mut Vec<u32>,
        out: &mut Vec<u8>,
    ) -> Result<(), TextError> {
        if name.starts_with(|first: char| first.is_ascii_digit()) {
            return self.unknown(name, out);
        }
        let Some(&(number, known, label, kind)) =
            schema.iter().find(|(_, known, ..)| *known == name)
        else {
            return Err(self.error(TextCause::Unknown(name.to_owned())));
        };
        if label == Label::One {
            if had.contains(&number) {
                return Err(self.error(TextCause::Twice(known)));
            }
            had.push(number);
        }
        self.colon()?;
        match (label, kind) {
            (_, Type::Message(schema)) => {
                let mut message = Vec::new();
                self.nested(schema, &mut message)?;
                put_bytes(number, &message, out);
            }
            (_, Type::Text | Type::Octets) => {
                let bytes = self.strings()?;
                put_bytes(number, &bytes, out);
            }
            // Packed: all that follow each other are one field.
            (Label::Many, _) => {
                let mut packed = Vec::new();
                encode_varint(self.scalar(kind)?, &mut packed);
                while self.tokens.peek()? == Token::Word(name) {
                    self.tokens.next()?;
                    self.colon()?;
                    encode_varint(self.scalar(kind)?, &mut packed);
                }
                put_bytes(number, &packed, out);
            }
            (Label::One, _) => {
                let value = self.scalar(kind)?;
                encode_key(number, WireType::Varint, out);
                encode_varint(value, out);
            }
        }
        Ok(())
    }

    /// A field by its number: the way in which its value is written tells the
    /// wire type.
    fn unknown(&mut self, name: &str, out: &mut Vec<u8>) -> Result<(), TextError> {
        let number: u32 = name
            .parse()
            .ok()
            .filter(|number| (1..1 << 29).contains(number))
            .ok_or_else(|| self.error(TextCause::Name))?;
        self.colon()?;
        match self.tokens.peek()? {
            Token::Open => {
                encode_key(number, WireType::StartGroup, out);
                self.nested(&[], out)?;
                encode_key(number, WireType::EndGroup, out);
            }
            Token::String(_) => {
                let bytes = self.strings()?;
                put_bytes(number, &bytes, out);
            }
            Token::Word(word) => match word.strip_prefix("0x") {
                Some(digits) => {
                    self.tokens.next()?;
                    let value = u64::from_str_radix(digits, 16)
                        .map_err(|_| self.error(TextCause::Value))?;
                    match u32::try_from(value) {
                        Ok(value) => {
                            encode_key(number, WireType::ThirtyTwoBit, out);
                            out.extend_from_slice(&value.to_le_bytes());
                        }
                        Err(_) => {
                            encode_key(number, WireType::SixtyFourBit, out);
                            out.extend_from_slice(&value.to_le_bytes());
                        }
                    }
                }
                None => {
                    let value = self.scalar(Type::Uint64)?;
                    encode_key(number, WireType::Varint, out);
                    encode_varint(value, out);
                }
            },
            _ => return Err(self.error(TextCause::Value)),
        }
        Ok(())
    }

    /// It may be missing in front of a message.
    fn colon(&mut self) -> Result<(), TextError> {
        match self.tokens.peek()? {
            Token::Colon => self.tokens.next().map(drop),
            Token::Open => Ok(()),
            _ => Err(self.error(TextCause::Colon)),
        }
    }

    fn nested(&mut self, schema: Schema, out: &mut Vec<u8>) -> Result<(), TextError> {
        match self.tokens.next()? {
            Token::Open => self.message(schema, Token::Close, out),
            _ => Err(self.error(TextCause::Value)),
        }
    }

    /// One string literal, or several that are one.
    fn strings(&mut self) -> Result<Vec<u8>, TextError> {
        let Token::String(mut bytes) = self.tokens.next()? else {
            return Err(self.error(TextCause::Value));
        };
        while let Token::String(_) = self.tokens.peek()? {
            if let Token::String(more) = self.tokens.next()? {
                bytes.extend(more);
            }
        }
        Ok(bytes)
    }

    /// The varint that stands for a number or a truth value.
    fn scalar(&mut self, kind: Type) -> Result<u64, TextError> {
        let Token::Word(word) = self.tokens.next()? else {
            return Err(self.error(TextCause::Value));
        };
        let value = match kind {
            Type::Bool => match word {
                "true" => Some(1),
                "false" => Some(0),
                _ => None,
            },
            Type::Int64 => word.parse().ok().map(i64::cast_unsigned),
            Type::Sint64 => word.parse().ok().map(zigzag),
            Type::Uint32 => word.parse::<u32>().ok().map(u64::from),
            _ => word.parse().ok(),
        };
        value.ok_or_else(|| self.error(TextCause::Value))
    }

    const fn error(&self, cause: TextCause) -> TextError {
        self.tokens.error(cause)
    }
}

/// The encoding of `sint64`.
const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn put_bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::write_text;

    fn again(manifest: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        write_text(manifest, &mut text).unwrap();
        read_text(&text).unwrap()
    }

    #[test]
    fn unknown_fields_come_back() {
        for manifest in [
            &[][..],
            &[0x0a, 0],
            // Field 20 as a group with a group in it, 3 as a number.
            &[0x0a, 6, 0xa3, 1, 0x0b, 0x0c, 0xa4, 1, 0x18, 9],
            // Field 6 with the wire type of bytes.
            &[0x0a, 3, 0x32, 1, 0x85],
            // Four and eight bytes.
            &[0x7d, 1, 2, 3, 4, 0x79, 1, 2, 3, 4, 5, 6, 7, 8],
        ] {
            assert_eq!(again(manifest), manifest);
        }
        // The text does not tell that there were eight.
        assert_eq!(again(&[0x79, 1, 0, 0, 0, 0, 0, 0, 0]), [0x7d, 1, 0, 0, 0]);
    }

    #[test]
    fn takes_what_people_write() {
        let text = b"# a file\nresource {\n  path: '/a' '/b', uid: -1; mode:  420\n}\n";
        let uid = [0x10, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
        let message = [&[0x0a, 4][..], b"/a/b", &uid, &[0x30, 0xa4, 3]].concat();
        let manifest = [&[0x0a, message.len() as u8][..], &message].concat();
        assert_eq!(read_text(text), Ok(manifest));
    }

    #[test]
    fn names_the_line_and_what_is_wrong() {
        for (text, line, cause) in [
            ("\nresource: {", 2, TextCause::OpenMessage),
            ("resource: {}\n}", 2, TextCause::Name),
            ("resource: 1", 1, TextCause::Value),
            ("resource: {\nfoo: 1}", 2, TextCause::Unknown("foo".into())),
            ("resource: { mode: -1 }", 1, TextCause::Value),
            ("resource: { mode 1 }", 1, TextCause::Colon),
            ("info: { version: 4294967296 }", 1, TextCause::Value),
            ("info: {}\ninfo: {}", 2, TextCause::Twice("info")),
            ("resource: { uid: 1\n uid: 1 }", 2, TextCause::Twice("uid")),
            ("0: 1", 1, TextCause::Name),
            ("536870912: 1", 1, TextCause::Name),
        ] {
            assert_eq!(
                read_text(text.as_bytes()),
                Err(TextError { line, cause }),
                "{text}"
            );
        }
        let deep = "1: {".repeat(100_000);
        assert!(matches!(
            read_text(deep.as_bytes()),
            Err(TextError {
                cause: TextCause::Depth,
                ..
            })
        ));
        let bad = read_text(b"resource: { path: '\\xff' }");
        assert!(
            matches!(
                bad,
                Err(TextError {
                    cause: TextCause::Wire(_),
                    ..
                })
            ),
            "{bad:?}"
        );
    }
}
