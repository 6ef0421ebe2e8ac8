//! The trust boundary: content leaves only when it matched.
