//! Names with wildcards.

use std::fmt;

use crate::escape::Escaped;

/// A name in which `*` stands for any bytes, and none.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern(Box<[u8]>);

impl Pattern {
    /// Any bytes are a pattern.
    #[must_use]
    pub fn new(pattern: &[u8]) -> Self {
        Self(Box::from(pattern))
    }

    /// Whether all of `name` fits.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        let mut parts = self.0.split(|byte| *byte == b'*');
        let first = parts.next().unwrap_or_default();
        let Some(last) = parts.next_back() else {
            return name == first;
        };
        let Some(mut rest) = name
            .strip_prefix(first)
            .and_then(|rest| rest.strip_suffix(last))
        else {
            return false;
        };
        // The first place where each part fits leaves the most to the others.
        for part in parts.filter(|part| !part.is_empty()) {
            let Some(place) = rest.windows(part.len()).position(|window| window == part) else {
                return false;
            };
            rest = rest.get(place + part.len()..).unwrap_or_default();
        }
        true
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&Escaped(&self.0), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, fits, does_not) in [
            ("user.a", &["user.a"][..], &["user.ab", "user.", ""][..]),
            (
                "user.*",
                &["user.", "user.a.b"],
                &["user", "security.user.a"],
            ),
            ("*", &["", "a"], &[]),
            ("a*a", &["aa", "aba"], &["a", "ab"]),
            ("a*b*c", &["abc", "axbxc", "abbcc"], &["ac", "acb"]),
            ("*b*b*", &["bb", "abab"], &["b", "ab"]),
        ] {
            let pattern = Pattern::new(pattern.as_bytes());
            for name in fits {
                assert!(pattern.matches(name.as_bytes()), "{pattern:?} {name}");
            }
            for name in does_not {
                assert!(!pattern.matches(name.as_bytes()), "{pattern:?} {name}");
            }
        }
    }
}
