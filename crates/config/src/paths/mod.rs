//! Paths as files of a configuration spell them: variables and home folders.

mod environment;
pub(crate) mod expand;

pub(crate) use environment::Environment;
