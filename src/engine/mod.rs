//! Bootstrapping: engines of distributed and centralized configurations, several alive at once.

mod bootstrap;
mod bootstrap_builder;

pub use bootstrap::{Bootstrap, Entity, Progress};
pub use bootstrap_builder::BootstrapBuilder;

/// The steps of a bootstrap in Python, for the daemon's interpreter and for workers.
pub(crate) const BOOTSTRAP_SOURCE: &str = include_str!("bootstrap.py");
