//! Workers that enter no core.

/// Their name in the pool, in a project's place; each of them is a lane of its own there.
pub(crate) const NO_PROJECT: &str = "sgtk-eventd";
