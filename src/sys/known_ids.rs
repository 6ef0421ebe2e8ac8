//! The user namespace of this process (user_namespaces(7)).

use std::io;
use std::ops::Range;

/// The ids that a user namespace has, as they are called in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownIds {
    /// Users.
    pub users: Vec<Range<u32>>,
    /// Groups.
    pub groups: Vec<Range<u32>>,
}

const EVERYBODY: Range<u32> = 0..u32::MAX;

/// Those of our own.
///
/// # Errors
/// As read(2), and when the kernel says what we do not understand.
pub fn known_ids() -> io::Result<KnownIds> {
    Ok(KnownIds {
        users: read("/proc/self/uid_map")?,
        groups: read("/proc/self/gid_map")?,
    })
}

fn read(path: &str) -> io::Result<Vec<Range<u32>>> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text).ok_or_else(|| io::ErrorKind::InvalidData.into()),
        // A kernel without user namespaces.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![EVERYBODY]),
        Err(error) => Err(error),
    }
}

/// Lines of the first id inside, the first one outside, and how many there are.
fn parse(text: &str) -> Option<Vec<Range<u32>>> {
    text.lines()
        .map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let first: u32 = fields.next()?.parse().ok()?;
            let count: u32 = fields.nth(1)?.parse().ok()?;
            Some(first..first.checked_add(count)?)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{EVERYBODY, parse};

    #[test]
    fn reads_what_the_kernel_writes() {
        assert_eq!(
            parse("         0          0 4294967295\n"),
            Some(vec![EVERYBODY])
        );
        let text = "         0       1000          1\n         1     100000      65536\n";
        assert_eq!(parse(text), Some(vec![0..1, 1..65537]));
        assert_eq!(parse(""), Some(vec![]));
        for bad in ["x", "0 0", "1 0 4294967295", "0 0 -1"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
