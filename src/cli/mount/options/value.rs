//! Values of options.

use std::ffi::OsStr;
use std::time::Duration;

use crate::cli::logfmt::LogForm;
use crate::fs::{IdMap, IdMapError, OnRefusal};
use crate::manifest::Timestamp;

/// Reads text, which most values are.
pub(super) fn parse<T>(
    value: &OsStr,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, String> {
    parse(value.to_str().ok_or("not UTF-8")?)
}

/// One owner for everything.
pub(super) fn squash(value: &OsStr, map: &mut IdMap) -> Result<(), String> {
    let id = parse(value, |text| {
        text.parse()
            .ok()
            .filter(|id| *id != u32::MAX)
            .ok_or_else(|| "not a number from 0 to 4294967294".to_owned())
    })?;
    *map = IdMap::Squash(id);
    Ok(())
}

/// One more range of owners.
pub(super) fn add_range(value: &OsStr, map: &mut IdMap) -> Result<(), String> {
    parse(value, |text| {
        map.add(text).map_err(|error: IdMapError| error.to_string())
    })
}

/// Seconds since 1970, with a fraction if there is one; date(1)'s `@` may stand
/// in front.
pub(super) fn parse_time(text: &str) -> Result<Timestamp, String> {
    let text = text.strip_prefix('@').unwrap_or(text);
    if text.starts_with('-') && text.contains('.') {
        return Err("a time before 1970 can have no fraction".to_owned());
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = fraction.len();
    let parsed = seconds.parse().ok().zip(
        (1..=9)
            .contains(&digits)
            .then(|| format!("{fraction:0<9}"))
            .and_then(|nanoseconds| nanoseconds.parse().ok()),
    );
    parsed
        .and_then(|(seconds, nanoseconds)| Timestamp::new(seconds, nanoseconds))
        .ok_or_else(|| "not a number of seconds since 1970".to_owned())
}

/// A number of bytes; K, M, G or T behind it count in powers of 1024.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.strip_suffix(['K', 'M', 'G', 'T']) {
        Some(digits) if text.ends_with('K') => (digits, 10),
        Some(digits) if text.ends_with('M') => (digits, 20),
        Some(digits) if text.ends_with('G') => (digits, 30),
        Some(digits) => (digits, 40),
        None => (text, 0),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| "not a size in bytes, such as 500M or 2G".to_owned())
}

/// The same, of memory.
pub(super) fn parse_memory(text: &str) -> Result<usize, String> {
    let size = parse_size(text)?;
    usize::try_from(size).map_err(|_| "more than there can be".to_owned())
}

/// A number of seconds, with a fraction if there is one; nothing for 0.
pub(super) fn parse_timeout(text: &str) -> Result<Option<Duration>, String> {
    let is_number = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = text.parse().ok().filter(|_| is_number);
    seconds
        .filter(|seconds| *seconds == 0.0 || (0.1..=TIMEOUT_MAX).contains(seconds))
        .map(|seconds| (seconds > 0.0).then(|| Duration::from_secs_f64(seconds)))
        .ok_or_else(|| "not a number of seconds from 0.1 to 86400, nor 0 for none".to_owned())
}

/// Longest time that readers wait, in seconds.
const TIMEOUT_MAX: f64 = 86_400.0;

/// A number of bytes that the kernel takes for the largest read.
pub(super) fn parse_max_read(text: &str) -> Result<u32, String> {
    let size = text
        .parse()
        .ok()
        .filter(|size| (4096..=1_048_576).contains(size));
    size.ok_or_else(|| "not a number of bytes from 4096 to 1048576".to_owned())
}

/// How many files to keep open.
pub(super) fn parse_open_files(text: &str) -> Result<usize, String> {
    let count = text
        .parse()
        .ok()
        .filter(|count| (1..=65_536).contains(count));
    count.ok_or_else(|| "not a number from 1 to 65536".to_owned())
}

/// What follows when content is refused.
pub(super) fn parse_errors(text: &str) -> Result<OnRefusal, String> {
    [OnRefusal::Error, OnRefusal::Shutdown]
        .into_iter()
        .find(|errors| errors.as_str() == text)
        .ok_or_else(|| "neither \"eio\" nor \"shutdown\"".to_owned())
}

/// How the lines of the log look.
pub(super) fn parse_log_form(text: &str) -> Result<LogForm, String> {
    LogForm::ALL
        .into_iter()
        .find(|form| form.as_str() == text)
        .ok_or_else(|| "none of \"text\", \"logfmt\" and \"json\"".to_owned())
}

/// Whether another worker takes over.
pub(super) fn parse_recovery(text: &str) -> Result<bool, String> {
    match text {
        "auto" => Ok(true),
        "remount" => Ok(false),
        _ => Err("neither \"auto\" nor \"remount\"".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_suffixes() {
        for (size, bytes) in [
            ("7", 7),
            ("0K", 0),
            ("3M", 3 << 20),
            ("2G", 2 << 30),
            ("1T", 1 << 40),
        ] {
            assert_eq!(parse_size(size), Ok(bytes));
        }
        for bad in ["", "K", "-1", "1k", "16777216T", "1 M"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_timeout_has_a_fraction_or_is_none() {
        assert_eq!(parse_timeout("2"), Ok(Some(Duration::from_secs(2))));
        let half = Some(Duration::from_millis(500));
        assert_eq!(parse_timeout("0.5"), Ok(half));
        for none in ["0", "0.0"] {
            assert_eq!(parse_timeout(none), Ok(None));
        }
        for bad in ["", "-1", "x", "inf", "nan", "1e3", "0.01", "86401", " 1"] {
            assert!(parse_timeout(bad).is_err(), "{bad}");
        }
    }
}
