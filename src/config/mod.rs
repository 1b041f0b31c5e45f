//! Which core belongs to a project, from files alone.

/// Why a project's core could not be found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {}
