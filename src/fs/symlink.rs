//! Absolute symlinks shown relative.

/// The target of a symlink that lies `depth` directories below the root, made
/// to lead to the same place below the mountpoint. Relative ones are as they
/// are.
pub(super) fn transform(target: &[u8], depth: usize) -> Vec<u8> {
    let Some(below) = target.strip_prefix(b"/") else {
        return target.to_vec();
    };
    let start = below
        .iter()
        .position(|byte| *byte != b'/')
        .unwrap_or(below.len());
    let below = below.get(start..).unwrap_or_default();
    let mut relative = b"../".repeat(depth);
    relative.extend_from_slice(below);
    match relative.strip_suffix(b"/") {
        Some(up) if below.is_empty() => up.to_vec(),
        None if relative.is_empty() => b".".to_vec(),
        _ => relative,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leads_to_the_same_place() {
        for (target, depth, shown) in [
            ("/", 0, "."),
            ("/", 2, "../.."),
            ("/etc/x", 0, "etc/x"),
            ("/etc/x", 1, "../etc/x"),
            ("//etc/x/", 1, "../etc/x/"),
            ("etc/x", 3, "etc/x"),
            ("../x", 1, "../x"),
        ] {
            assert_eq!(transform(target.as_bytes(), depth), shown.as_bytes());
        }
    }
}
