//! Small Toolkit cores with the hazards of the real ones, and what tests need to use them.

mod isolated;

pub use isolated::{in_child, isolated};
