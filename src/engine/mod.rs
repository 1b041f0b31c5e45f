//! Bootstrapping: engines of distributed and centralized configurations, several alive at once.

mod attempt;
mod bootstrap;
mod bootstrap_builder;
mod bootstrapping;
#[expect(
    clippy::module_inception,
    reason = "the engine is this layer's main idea, beside those of bootstrapping it"
)]
mod engine;
mod info;
mod lease;
mod live;
mod root_handlers;
mod step;
mod steps_in_python;

pub use bootstrap::{Bootstrap, Entity, Progress};
pub use bootstrap_builder::BootstrapBuilder;
pub use engine::Engine;
pub use info::EngineInfo;
pub use lease::EngineLease;
pub use step::{BootstrapFailure, BootstrapStep};

/// The steps of a bootstrap in Python, for the daemon's interpreter and for workers.
pub(crate) const BOOTSTRAP_SOURCE: &str = include_str!("bootstrap.py");
