//! How much a manifest may hold.

/// Bounds on what a manifest may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most resources.
    pub resources: u64,
    /// Most levels of directories in a path.
    pub depth: usize,
    /// Most paths of one resource.
    pub links: usize,
    /// Most digests of one resource.
    pub digests: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            resources: 100_000_000,
            depth: 1024,
            links: 1 << 20,
            digests: 16,
        }
    }
}

/// Longest name of an extended attribute, in bytes (`XATTR_NAME_MAX`).
pub const XATTR_NAME_MAX: usize = 255;
/// Longest value of an extended attribute (`XATTR_SIZE_MAX`) and longest list
/// of names (`XATTR_LIST_MAX`), in bytes.
pub const XATTR_SIZE_MAX: usize = 65_536;
/// Longest target of a symlink, in bytes: `PATH_MAX` less the NUL.
pub const TARGET_MAX: usize = 4095;
