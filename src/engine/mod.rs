//! Bootstrapping: engines of distributed and centralized configurations, several alive at once.

mod attempt;
mod bootstrapping;
mod callbacks;
mod classify;
#[expect(
    clippy::module_inception,
    reason = "the engine is this layer's main idea, beside those of bootstrapping it"
)]
mod engine;
mod file_watch;
mod folder_turn;
mod info;
mod lease;
mod live;
mod root_handlers;

pub use callbacks::{BootstrapCallbacks, Progress};
pub use engine::Engine;
pub use info::EngineInfo;
pub use lease::EngineLease;
