//! The immutable inode table.
