//! When the studio core serves a project that has no core of its own and names none.

use std::fmt;

/// When a project that has no core of its own and names none gets the studio core,
/// `<base>/studio/install/core`.
///
/// None of these ever gives the studio core to a configuration that had a core of its own or a core pointer:
/// see [`ConfigError::CoreUndecided`](crate::ConfigError::CoreUndecided).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StudioFallback {
    /// Never: such a project is an error, as it is in `tk-core`.
    Never,
    /// Where the project's folder exists and is a configuration (it has a `config/core` folder that is not
    /// empty) without anything of a core in it. An unknown project is an error.
    #[default]
    ExistingConfigurations,
    /// Also where there is no configuration of that name, as in the published recipe: a mistyped name gets
    /// the studio core.
    Always,
}

impl fmt::Display for StudioFallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Never => "never",
            Self::ExistingConfigurations => "existing configurations",
            Self::Always => "always",
        })
    }
}
