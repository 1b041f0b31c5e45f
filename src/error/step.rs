//! The steps of a bootstrap.

use std::fmt;

/// A step of a bootstrap, in the order in which they come. Without a core of the project's own, those of the
/// swap are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum BootstrapStep {
    /// Importing the core that it starts from.
    ImportCore,
    /// Making the user.
    Authenticate,
    /// Giving Toolkit its options.
    SetUp,
    /// Asking the site for the project and its configuration, and putting that on disk.
    ResolveConfiguration,
    /// Importing the project's own core.
    SwapCore,
    /// Starting the project's own core on its configuration.
    StartCore,
    /// Looking for the bundles (engine, apps, frameworks), and downloading those that are not there.
    CacheBundles,
    /// Starting the engine and its apps.
    StartEngine,
    /// Seeing that all of it is the project's own.
    Verify,
}

impl BootstrapStep {
    const ALL: [Self; 9] = [
        Self::ImportCore,
        Self::Authenticate,
        Self::SetUp,
        Self::ResolveConfiguration,
        Self::SwapCore,
        Self::StartCore,
        Self::CacheBundles,
        Self::StartEngine,
        Self::Verify,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::ImportCore => "import core",
            Self::Authenticate => "authenticate",
            Self::SetUp => "set up",
            Self::ResolveConfiguration => "resolve configuration",
            Self::SwapCore => "swap core",
            Self::StartCore => "start core",
            Self::CacheBundles => "cache bundles",
            Self::StartEngine => "start engine",
            Self::Verify => "verify",
        }
    }

    /// The step of that name, as the Python of `sgtk-config` that takes them has it.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.name() == name)
    }

    /// The step that Toolkit's progress tells of, where it tells more than its calls do.
    pub(crate) fn at(fraction: f64) -> Option<Self> {
        match fraction {
            0.95.. => Some(Self::StartEngine),
            0.2.. => Some(Self::CacheBundles),
            _ => None,
        }
    }
}

impl fmt::Display for BootstrapStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::BootstrapStep;

    #[test]
    fn every_step_is_known_by_its_name() {
        for step in BootstrapStep::ALL {
            assert_eq!(BootstrapStep::named(&step.to_string()), Some(step));
        }
        assert_eq!(BootstrapStep::named("unheard of"), None);
    }
}
