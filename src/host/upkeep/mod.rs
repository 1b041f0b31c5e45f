//! What a host knows of its projects: who is imported and was used when, what events call them, whether
//! edited files can be taken.

pub(crate) mod found;
pub(crate) mod plugins;
pub(crate) mod residents;
pub(crate) mod sound;
