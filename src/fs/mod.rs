//! The filesystem, one method for each operation.
