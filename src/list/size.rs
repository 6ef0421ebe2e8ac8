//! Sizes for people.

use std::fmt;

/// A size in bytes, printed as `go-humanize`'s `Bytes` prints it: `0 B`,
/// `1.5 kB`, `18 EB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HumanSize(pub u64);

const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

impl fmt::Display for HumanSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 10 {
            return write!(f, "{} B", self.0);
        }
        // In floating point, as there: close below a power of 1000 the
        // logarithm rounds up to it.
        let size = self.0 as f64;
        let exponent = (size.ln() / 1000_f64.ln()).floor();
        let unit = UNITS.get(exponent as usize).unwrap_or(&"EB");
        let value = (size / 1000_f64.powf(exponent) * 10.0 + 0.5).floor() / 10.0;
        if value < 10.0 {
            write!(f, "{value:.1} {unit}")
        } else {
            write!(f, "{value:.0} {unit}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_a_thousand_change_the_unit() {
        for (exponent, unit) in (1..).zip(&UNITS[1..]) {
            let power = 1000_u64.pow(exponent);
            assert_eq!(HumanSize(power).to_string(), format!("1.0 {unit}"));
            let below = UNITS[exponent as usize - 1];
            assert_eq!(
                HumanSize(power / 1000 * 999).to_string(),
                format!("999 {below}")
            );
        }
        assert_eq!(HumanSize(u64::MAX).to_string(), "18 EB");
        assert_eq!(HumanSize(10_500).to_string(), "10 kB");
        assert_eq!(HumanSize(11_500).to_string(), "12 kB");
    }
}
