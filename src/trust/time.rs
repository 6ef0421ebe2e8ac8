//! Points in time as allowed signers have them, and the calendar behind them.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970, as who signs and who checks mean it: UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// What the machine's clock says.
    #[must_use]
    pub fn now() -> Self {
        // A clock before 1970 is one that nobody has set.
        Self(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        )
    }

    /// Reads `YYYYMMDDZ`, `YYYYMMDDHHMMZ` or `YYYYMMDDHHMMSSZ`. Without the Z,
    /// ssh-keygen would mean the time zone of the machine, which says another
    /// thing on each; `None` for that too.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_suffix('Z')?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let part = |from: usize, to: usize| -> Option<u64> { digits.get(from..to)?.parse().ok() };
        let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
        let (hour, minute, second) = match digits.len() {
            8 => (0, 0, 0),
            12 => (part(8, 10)?, part(10, 12)?, 0),
            14 => (part(8, 10)?, part(10, 12)?, part(12, 14)?),
            _ => return None,
        };
        let is_real = year >= 1970
            && (1..=days_of(year, month)?).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        if !is_real {
            return None;
        }
        let years: u64 = (1970..year).map(days_of_year).sum();
        let months: u64 = (1..month).filter_map(|month| days_of(year, month)).sum();
        let days = years + months + day - 1;
        Some(Self(((days * 24 + hour) * 60 + minute) * 60 + second))
    }
}

/// As in ISO 8601.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut days, second) = (self.0 / 86_400, self.0 % 86_400);
        let mut year = 1970;
        while year < 9999 && days >= days_of_year(year) {
            days -= days_of_year(year);
            year += 1;
        }
        let mut month = 1;
        while let Some(length) = days_of(year, month)
            && days >= length
        {
            days -= length;
            month += 1;
        }
        write!(
            f,
            "{year:04}-{month:02}-{:02}T{:02}:{:02}:{:02}Z",
            days + 1,
            second / 3600,
            second / 60 % 60,
            second % 60
        )
    }
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_of_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

const fn days_of(year: u64, month: u64) -> Option<u64> {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 if is_leap(year) => Some(29),
        2 => Some(28),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `date -u -d … +%s`.
    #[test]
    fn knows_the_calendar() {
        for (text, seconds, shown) in [
            ("19700101Z", 0, "1970-01-01T00:00:00Z"),
            ("20000229Z", 951_782_400, "2000-02-29T00:00:00Z"),
            ("21000301Z", 4_107_542_400, "2100-03-01T00:00:00Z"),
            ("202611251330Z", 1_795_613_400, "2026-11-25T13:30:00Z"),
            ("20241231235959Z", 1_735_689_599, "2024-12-31T23:59:59Z"),
            ("99991231235959Z", 253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(Moment::parse(text), Some(Moment(seconds)), "{text}");
            assert_eq!(Moment(seconds).to_string(), shown);
        }
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "",
            "Z",
            "20260101",
            "202601011200",
            "2026010112Z",
            "20260101120000Z0",
            "20261301Z",
            "20260001Z",
            "20260230Z",
            "21000229Z",
            "19691231Z",
            "202601012400Z",
            "202601011260Z",
            "20260101120060Z",
            "+0260101Z",
            "2026-1-1Z",
            "٢٠٢٦0101Z",
            "0x5f5e100Z",
        ] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }
}
