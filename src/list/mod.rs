//! Shows what a manifest says.
