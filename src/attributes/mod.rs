//! Which attributes of files are compared, or applied.

mod pattern;
mod set;

pub use pattern::Pattern;
pub use set::{Attribute, AttributeList, AttributeSet, AttributeWord, AttributesError};
