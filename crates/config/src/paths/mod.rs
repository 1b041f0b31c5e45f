//! Paths as files of a configuration spell them: platforms, variables, home folders.

mod environment;
pub(crate) mod expand;
mod platform;

pub(crate) use environment::Environment;
pub use platform::Platform;
