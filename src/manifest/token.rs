//! The tokens of protobuf's text format.

use super::error::{TextCause, TextError};

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A name, a number or a keyword, as it is written.
    Word(&'a str),
    /// The bytes of a string literal.
    String(Vec<u8>),
    Colon,
    Open,
    Close,
    End,
}

/// Cuts text into tokens.
#[derive(Clone, Debug)]
pub(super) struct Tokens<'a> {
    rest: &'a [u8],
    line: usize,
}

impl<'a> Tokens<'a> {
    pub const fn new(text: &'a [u8]) -> Self {
        Self {
            rest: text,
            line: 1,
        }
    }

    /// An error at the place that was read last.
    pub const fn error(&self, cause: TextCause) -> TextError {
        TextError {
            line: self.line,
            cause,
        }
    }

    pub fn next(&mut self) -> Result<Token<'a>, TextError> {
        self.skip();
        let Some(&first) = self.rest.first() else {
            return Ok(Token::End);
        };
        let single = match first {
            b':' => Some(Token::Colon),
            b'{' => Some(Token::Open),
            b'}' => Some(Token::Close),
            _ => None,
        };
        if let Some(token) = single {
            self.advance(1);
            return Ok(token);
        }
        match first {
            b'"' | b'\'' => self.string(first).map(Token::String),
            _ => self.word().map(Token::Word),
        }
    }

    /// The next token, which stays where it is.
    pub fn peek(&self) -> Result<Token<'a>, TextError> {
        self.clone().next()
    }

    /// White space, comments, and what may stand between fields.
    fn skip(&mut self) {
        while let Some(&byte) = self.rest.first() {
            match byte {
                b'\n' => self.line += 1,
                b'#' => {
                    let end = self.rest.iter().position(|byte| *byte == b'\n');
                    self.advance(end.unwrap_or(self.rest.len()));
                    continue;
                }
                b' ' | b'\t' | b'\r' | b',' | b';' => {}
                _ => return,
            }
            self.advance(1);
        }
    }

    fn advance(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    fn word(&mut self) -> Result<&'a str, TextError> {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-+.".contains(byte);
        let length = self.rest.iter().take_while(|byte| is_part(byte)).count();
        let word = self.rest.get(..length).unwrap_or_default();
        match str::from_utf8(word) {
            Ok(word) if length > 0 => {
                self.advance(length);
                Ok(word)
            }
            _ => Err(self.error(TextCause::Token)),
        }
    }

    fn string(&mut self, quote: u8) -> Result<Vec<u8>, TextError> {
        self.advance(1);
        let mut bytes = Vec::new();
        loop {
            match self.rest {
                [b'\\', ..] => self.escape(&mut bytes)?,
                [b'\n', ..] | [] => return Err(self.error(TextCause::OpenString)),
                [byte, ..] => {
                    let byte = *byte;
                    self.advance(1);
                    if byte == quote {
                        return Ok(bytes);
                    }
                    bytes.push(byte);
                }
            }
        }
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), TextError> {
        let letter = self.rest.get(1).copied().unwrap_or_default();
        let simple = match letter {
            b'a' => 0x07,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            b'"' | b'\'' | b'\\' | b'?' => letter,
            b'0'..=b'7' => {
                self.advance(1);
                let value = self.digits(8, 1, 3)?;
                return self.push_byte(value, bytes);
            }
            b'x' | b'X' => {
                self.advance(2);
                let value = self.digits(16, 1, 2)?;
                return self.push_byte(value, bytes);
            }
            b'u' | b'U' => {
                self.advance(2);
                let length = if letter == b'u' { 4 } else { 8 };
                let value = self.digits(16, length, length)?;
                let character = char::from_u32(value).ok_or(self.error(TextCause::Escape))?;
                let mut utf8 = [0; 4];
                bytes.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
                return Ok(());
            }
            _ => return Err(self.error(TextCause::Escape)),
        };
        self.advance(2);
        bytes.push(simple);
        Ok(())
    }

    fn push_byte(&self, value: u32, bytes: &mut Vec<u8>) -> Result<(), TextError> {
        let byte = u8::try_from(value).map_err(|_| self.error(TextCause::Escape))?;
        bytes.push(byte);
        Ok(())
    }

    /// A number of `least` to `most` digits.
    fn digits(&mut self, radix: u32, least: usize, most: usize) -> Result<u32, TextError> {
        let digits = self.rest.iter().take(most);
        let digits = digits.map_while(|byte| char::from(*byte).to_digit(radix));
        let (value, count) = digits.fold((0_u32, 0), |(value, count), digit| {
            (value.wrapping_mul(radix) | digit, count + 1)
        });
        if count < least {
            return Err(self.error(TextCause::Escape));
        }
        self.advance(count);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> Result<Vec<Token<'_>>, TextError> {
        let mut tokens = Tokens::new(text);
        let mut found = Vec::new();
        loop {
            match tokens.next()? {
                Token::End => return Ok(found),
                token => found.push(token),
            }
        }
    }

    #[test]
    fn strings_have_every_escape() {
        let text = br#""a\n\"\\\x7f\377\0\u00e9\U0001f600'" '"'"#;
        let bytes = b"a\n\"\\\x7f\xff\0\xc3\xa9\xf0\x9f\x98\x80'";
        assert_eq!(
            all(text).unwrap(),
            [Token::String(bytes.to_vec()), Token::String(b"\"".to_vec())]
        );
    }

    #[test]
    fn names_the_line_of_what_is_no_token() {
        for (text, line, cause) in [
            (&b"a: 1\n&"[..], 2, TextCause::Token),
            (b"# &\n\n\"open\n", 3, TextCause::OpenString),
            (b"\"\\q\"", 1, TextCause::Escape),
            (b"\"\\x\"", 1, TextCause::Escape),
            (b"\"\\777\"", 1, TextCause::Escape),
            (b"\"\\ud800\"", 1, TextCause::Escape),
            (b"\"\\", 1, TextCause::Escape),
        ] {
            assert_eq!(all(text), Err(TextError { line, cause }));
        }
    }
}
