//! What keeps a host's projects in order: who is imported, whose files have changed, what goes, which threads are left.

pub(crate) mod found;
pub(crate) mod residents;
pub(crate) mod sound;
mod succession;
pub(crate) mod threads;
pub(crate) mod watch;
pub(crate) mod whole;
