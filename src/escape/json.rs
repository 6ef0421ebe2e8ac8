//! Bytes from outside in JSON.

use std::{fmt, io};

use serde::ser::SerializeMap;

use super::{Escaped, acts};

/// Compact JSON that is safe on a terminal: what JSON lets stand in a string
/// but acts there comes as `\uNNNN`.
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonFormatter;

impl serde_json::ser::Formatter for JsonFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for part in fragment.split_inclusive(acts) {
            let acting = part.chars().next_back().filter(|c| acts(*c));
            let kept = part.len() - acting.map_or(0, char::len_utf8);
            writer.write_all(part.get(..kept).unwrap_or(part).as_bytes())?;
            if let Some(c) = acting {
                // All of them are in the first plane.
                write!(writer, "\\u{:04x}", u32::from(c))?;
            }
        }
        Ok(())
    }
}

/// Lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Puts a name into an object: as it is where it is UTF-8; else escaped as
/// [`Escaped`] does it, and beside it in hexadecimal digits under `hex_key`.
///
/// # Errors
/// As the map.
pub fn serialize_name<M: SerializeMap>(
    map: &mut M,
    key: &'static str,
    hex_key: &'static str,
    name: &[u8],
) -> Result<(), M::Error> {
    match std::str::from_utf8(name) {
        Ok(name) => map.serialize_entry(key, name),
        Err(_) => {
            map.serialize_entry(key, &Escaped(name).to_string())?;
            map.serialize_entry(hex_key, &Hex(name).to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_comes_back_and_is_safe() {
        let raw = "a\u{85}b\u{202e}c\u{7f}\n\"\\d";
        let mut json = Vec::new();
        let mut serializer = serde_json::Serializer::with_formatter(&mut json, JsonFormatter);
        serde::Serialize::serialize(raw, &mut serializer).unwrap();
        let json = String::from_utf8(json).unwrap();
        assert_eq!(json, r#""a\u0085b\u202ec\u007f\n\"\\d""#);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), raw);
    }
}
