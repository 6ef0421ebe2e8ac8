//! Descriptors that a service manager hands to what it starts (sd_listen_fds(3)).

use std::env;
use std::ffi::OsString;
use std::os::fd::OwnedFd;

use crate::sys::descriptor;

/// The first of them (`SD_LISTEN_FDS_START`).
const FIRST: i32 = 3;

/// Takes those that have one of these names. To be called once.
pub(super) fn take(names: &[&str]) -> Vec<(String, OwnedFd)> {
    let variable = |name| env::var_os(name).and_then(|value: OsString| value.into_string().ok());
    let [Some(pid), Some(count), Some(given)] =
        ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"].map(variable)
    else {
        return Vec::new();
    };
    if pid.parse() != Ok(std::process::id()) {
        // They were for whoever started this process.
        return Vec::new();
    }
    numbers(&count, &given)
        .filter(|(name, _)| names.contains(&name.as_str()))
        .filter_map(|(name, number)| Some((name, descriptor::inherited(number).ok()?)))
        .collect()
}

/// The names and numbers, from how many there are and how they are called.
fn numbers<'g>(count: &str, given: &'g str) -> impl Iterator<Item = (String, i32)> + use<'g> {
    let count = count.parse().unwrap_or(0);
    let names = given.split(':').map(str::to_owned);
    names.zip(FIRST..).take(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_go_together() {
        let all = |count, given| numbers(count, given).collect::<Vec<_>>();
        let named = |name: &str, number| (name.to_owned(), number);
        assert_eq!(all("2", "a:b"), [named("a", 3), named("b", 4)]);
        // As many as both tell of.
        assert_eq!(all("1", "a:b"), [named("a", 3)]);
        assert_eq!(
            all("9", "a::a"),
            [named("a", 3), named("", 4), named("a", 5)]
        );
        for count in ["", "-1", "0", "a", "99999999999999999999"] {
            assert_eq!(all(count, "a:b"), [], "{count}");
        }
    }

    #[test]
    fn nothing_is_taken_that_was_not_given() {
        assert!(take(&["stored", "connection"]).is_empty());
    }
}
