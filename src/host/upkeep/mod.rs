//! What keeps a host's projects in order: who is imported, whose files have changed, what goes.

pub(crate) mod found;
pub(crate) mod residents;
pub(crate) mod sound;
mod succession;
