//! Checks a tree against a manifest.
