//! Why a bootstrap failed.

use std::fmt;

/// What kind of failure ended a bootstrap, told by the names of the exceptions' classes: after a core was
/// swapped its classes are others of the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BootstrapFailure {
    /// The site refuses the user, or the user's key.
    Authentication,
    /// The site cannot be reached, does not answer in time, or its answer is not a site's.
    SiteUnreachable,
    /// The core, the pipeline configuration or one of its bundles: missing, incomplete, not to be read.
    Configuration,
    /// The engine or one of its apps could not be started.
    Engine,
    /// It took longer than it was given.
    TimedOut,
    /// Anything else.
    Other,
}

impl fmt::Display for BootstrapFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authentication => "authentication",
            Self::SiteUnreachable => "site unreachable",
            Self::Configuration => "configuration",
            Self::Engine => "engine",
            Self::TimedOut => "timed out",
            Self::Other => "other",
        })
    }
}
