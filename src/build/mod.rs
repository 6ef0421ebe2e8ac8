//! Makes a manifest of a tree.
