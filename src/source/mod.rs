//! Where content comes from; none of it is trusted.
