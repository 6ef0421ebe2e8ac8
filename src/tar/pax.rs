//! Extended headers of pax: `length key=value\n`, again and again.

use std::io::Write as _;

/// An extended header that breaks its own form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The records of an extended header.
#[derive(Clone, Debug)]
pub(super) struct Records<'a>(&'a [u8]);

impl<'a> Records<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let blank = self.0.iter().position(|byte| *byte == b' ')?;
        let (length, rest) = self.0.split_at_checked(blank)?;
        let length = usize::try_from(decimal(length)?).ok()?;
        let rest = rest.get(1..)?;
        let (record, after) = rest.split_at_checked(length.checked_sub(blank + 1)?)?;
        let record = record.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        let (key, value) = record.split_at_checked(equals)?;
        self.0 = after;
        (!key.is_empty()).then_some((key, value.get(1..)?))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let record = self.take().ok_or(Malformed);
        if record.is_err() {
            self.0 = b"";
        }
        Some(record)
    }
}

/// Decimal digits and nothing else.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Seconds since 1970 as pax has them, `-1.5` or `1234567890.123456789`; what is
/// finer than a nanosecond is cut off.
pub(super) fn time(text: &[u8]) -> Option<(i64, u32)> {
    let (negative, text) = match text {
        [b'-', text @ ..] => (true, text),
        text => (false, text),
    };
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let seconds = decimal(parts.next()?)?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction.iter().chain(std::iter::repeat(&b'0')).take(9);
    let nanoseconds = digits.fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    Some(match (negative, nanoseconds) {
        (false, _) => (i64::try_from(seconds).ok()?, nanoseconds),
        (true, 0) => (0_i64.checked_sub_unsigned(seconds)?, 0),
        (true, _) => (
            (-1_i64).checked_sub_unsigned(seconds)?,
            1_000_000_000 - nanoseconds,
        ),
    })
}

/// Undoes [`time`].
pub(super) fn write_time(seconds: i64, nanoseconds: u32) -> Vec<u8> {
    let (sign, whole, rest) = match (seconds, nanoseconds) {
        (0.., _) => ("", seconds.unsigned_abs(), nanoseconds),
        (_, 0) => ("-", seconds.unsigned_abs(), 0),
        _ => (
            "-",
            seconds.unsigned_abs() - 1,
            1_000_000_000_u32.saturating_sub(nanoseconds),
        ),
    };
    let text = match rest {
        0 => format!("{sign}{whole}"),
        rest => format!("{sign}{whole}.{rest:09}"),
    };
    text.trim_end_matches(if rest == 0 { '.' } else { '0' })
        .as_bytes()
        .to_vec()
}

/// Adds a record.
pub(super) fn push(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    // The length counts its own digits.
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    let _ = write!(records, "{length} ");
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_whatever_is_in_them() {
        for size in [0, 1, 85, 86, 87, 88, 89, 90, 980, 990, 991, 9990, 100_000] {
            let value = b"=\n 9 ".repeat(size);
            let mut records = Vec::new();
            push(&mut records, b"path", &value);
            push(&mut records, b"b", b"");
            let read: Result<Vec<_>, _> = Records::new(&records).collect();
            assert_eq!(read.unwrap(), [(&b"path"[..], &value[..]), (b"b", b"")]);
        }
    }

    #[test]
    fn refuses_what_is_no_record() {
        for bad in [
            &b"x"[..],
            b"12",
            b"7 a=b\n",
            b"5 a=b\n",
            b"6 a=b ",
            b"6 aab\n",
            b"5 =b\n",
            b"+6 a=b\n",
            b"99999999999999999999 a=b\n",
            b" a=b\n",
            b"0 a=b\n",
        ] {
            let mut records = Records::new(bad);
            assert_eq!(records.next(), Some(Err(Malformed)), "{bad:?}");
            assert_eq!(records.next(), None);
        }
    }

    #[test]
    fn times_have_a_sign_and_a_fraction() {
        for (text, read) in [
            ("0", Some((0, 0))),
            ("1.5", Some((1, 500_000_000))),
            ("1.", Some((1, 0))),
            ("-1", Some((-1, 0))),
            ("-1.5", Some((-2, 500_000_000))),
            ("-0.25", Some((-1, 750_000_000))),
            ("12.0000000019", Some((12, 1))),
            ("9223372036854775807", Some((i64::MAX, 0))),
            ("-9223372036854775807.5", Some((i64::MIN, 500_000_000))),
            ("9223372036854775808", None),
            ("", None),
            ("-", None),
            ("1e3", None),
            ("1.5.5", None),
            ("1.-5", None),
        ] {
            assert_eq!(time(text.as_bytes()), read, "{text}");
        }
        for time_of in [
            (0, 0),
            (0, 1),
            (10, 0),
            (-10, 0),
            (-1, 999_999_999),
            (-2, 500_000_000),
            (1_600_000_000, 120_000_000),
            (i64::MAX, 999_999_999),
            (i64::MIN, 0),
            (i64::MIN, 1),
        ] {
            let text = write_time(time_of.0, time_of.1);
            assert_eq!(time(&text), Some(time_of), "{text:?}");
        }
        assert_eq!(write_time(100, 500_000_000), b"100.5");
        assert_eq!(write_time(100, 0), b"100");
    }
}
