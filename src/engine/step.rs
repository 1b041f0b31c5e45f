//! Where a bootstrap failed, and why.

use std::fmt;

use pyo3::prelude::*;

use crate::error::Error;
use crate::python_error::class_names;

/// A step of a bootstrap, in the order in which they come. Without a core of the project's own, those of the swap are left
/// out.
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

    /// The step of that name, as `bootstrap.py` has them.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.name() == name)
    }

    /// The step that Toolkit's progress tells of, where it tells more than its calls do.
    pub(super) fn at(fraction: f64) -> Option<Self> {
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

/// What kind of failure ended a bootstrap, told by the names of the exceptions' classes: after a core was swapped its
/// classes are others of the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BootstrapFailure {
    /// The site does not take the user, or his key.
    Authentication,
    /// The site cannot be reached, does not answer in time, or answers what no site would.
    SiteUnreachable,
    /// The core, the pipeline configuration or one of its bundles: missing, incomplete, not to be read.
    Configuration,
    /// The engine or one of its apps could not be started.
    Engine,
    /// It took longer than it was given.
    TimeLimit,
    /// Anything else.
    Other,
}

const AUTHENTICATION: &[&str] = &["AuthenticationFault", "ShotgunAuthenticationError"];
const SITE: &[&str] = &[
    "ProtocolError",
    "ConnectionError",
    "TimeoutError",
    // `socket.timeout` before Python 3.10, which is no TimeoutError there.
    "timeout",
    "gaierror",
    "SSLError",
    "HttpLib2Error",
    "HTTPException",
    "URLError",
    "TankAppStoreConnectionError",
];
const TIME_LIMIT: &[&str] = &["TimeLimitReached", "TimeLimitExceeded"];
const ENGINE: &[&str] = &["TankEngineInitError", "TankMissingEnvironmentFile", "TankEngineEventError"];
const CONFIGURATION: &[&str] = &[
    "TankBootstrapError",
    "TankDescriptorError",
    "TankInitError",
    "TankUnreadableFileError",
    "TankInvalidCoreLocationError",
    "TankNotPipelineConfigurationError",
    "UnresolvableCoreConfigurationError",
];

impl BootstrapFailure {
    /// What an exception of Python's at that step means. An exception that it was raised for tells more than one that
    /// only says that something failed.
    pub(super) fn of_exception(py: Python<'_>, error: &PyErr, step: BootstrapStep) -> Self {
        let mut chain = vec![class_names(py, error)];
        let mut next = cause(py, error);
        // Chains are short; a circle, which Python code can make, ends here too.
        while let Some(error) = next.filter(|_| chain.len() < 20) {
            chain.push(class_names(py, &error));
            next = cause(py, &error);
        }
        Self::of_classes(&chain, step)
    }

    fn of_classes(chain: &[Vec<String>], step: BootstrapStep) -> Self {
        let among = |names: &[&str]| chain.iter().flatten().any(|class| names.contains(&class.as_str()));
        let outermost =
            |names: &[&str]| chain.iter().take(1).flatten().any(|class| names.contains(&class.as_str()));
        match step {
            _ if among(TIME_LIMIT) => Self::TimeLimit,
            _ if among(AUTHENTICATION) => Self::Authentication,
            _ if among(SITE) => Self::SiteUnreachable,
            // An answer that is none: a proxy's page, say, in place of JSON.
            BootstrapStep::ResolveConfiguration if outermost(&["JSONDecodeError"]) => Self::SiteUnreachable,
            _ if outermost(ENGINE) => Self::Engine,
            _ if outermost(CONFIGURATION) => Self::Configuration,
            BootstrapStep::StartEngine => Self::Engine,
            // What Toolkit raises for want of a better class.
            BootstrapStep::ResolveConfiguration | BootstrapStep::StartCore | BootstrapStep::CacheBundles
                if outermost(&["TankError"]) =>
            {
                Self::Configuration
            }
            _ => Self::Other,
        }
    }

    /// What an error of the host's means.
    pub(super) fn of_error(error: &Error, step: BootstrapStep) -> Self {
        match error {
            Error::Config { .. } | Error::WrongCore { .. } | Error::UnusablePath { .. } => {
                Self::Configuration
            }
            Error::Import { cause, .. } => match Self::of_classes(std::slice::from_ref(&cause.mro), step) {
                Self::Other => Self::Configuration,
                known => known,
            },
            Error::Python { source } => Self::of_classes(std::slice::from_ref(&source.mro), step),
            _ => Self::Other,
        }
    }
}

/// The exception that one was raised for, or while another was handled.
fn cause(py: Python<'_>, error: &PyErr) -> Option<PyErr> {
    if let Some(cause) = error.cause(py) {
        return Some(cause);
    }
    let value = error.value(py);
    let suppressed = value.getattr("__suppress_context__").ok()?.is_truthy().ok()?;
    let context = value.getattr("__context__").ok().filter(|context| !suppressed && !context.is_none())?;
    Some(PyErr::from_value(context))
}

impl fmt::Display for BootstrapFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authentication => "authentication",
            Self::SiteUnreachable => "site unreachable",
            Self::Configuration => "configuration",
            Self::Engine => "engine",
            Self::TimeLimit => "time limit",
            Self::Other => "other",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(chain: &[&[&str]], step: BootstrapStep) -> BootstrapFailure {
        let chain: Vec<Vec<String>> =
            chain.iter().map(|names| names.iter().map(|name| (*name).to_owned()).collect()).collect();
        BootstrapFailure::of_classes(&chain, step)
    }

    #[test]
    fn a_failure_is_told_by_the_names_of_its_classes_and_those_of_its_causes() {
        use BootstrapFailure::{Authentication, Configuration, Engine, Other, SiteUnreachable};
        use BootstrapStep::{ResolveConfiguration, StartEngine, Verify};
        let fault: &[&str] = &["AuthenticationFault", "Fault", "ShotgunError", "Exception"];
        let refused: &[&str] = &["ConnectionRefusedError", "ConnectionError", "OSError", "Exception"];
        let engine: &[&str] = &["TankMissingEngineError", "TankEngineInitError", "TankError", "Exception"];
        let bootstrap: &[&str] = &["TankBootstrapError", "TankError", "Exception"];
        let plain: &[&str] = &["ZeroDivisionError", "ArithmeticError", "Exception"];
        for (chain, step, expected) in [
            (&[fault][..], ResolveConfiguration, Authentication),
            (&[bootstrap, fault], ResolveConfiguration, Authentication),
            (&[refused], ResolveConfiguration, SiteUnreachable),
            (&[engine, refused], StartEngine, SiteUnreachable),
            (&[bootstrap], ResolveConfiguration, Configuration),
            (&[engine], StartEngine, Engine),
            (&[plain], StartEngine, Engine),
            (&[&["TankError", "Exception"]], ResolveConfiguration, Configuration),
            (&[&["TankError", "Exception"]], Verify, Other),
            (&[plain, engine], ResolveConfiguration, Other),
        ] {
            assert_eq!(kind(chain, step), expected, "{chain:?} at {step}");
        }
    }

    #[test]
    fn every_step_is_known_by_its_name() {
        for step in BootstrapStep::ALL {
            assert_eq!(BootstrapStep::named(&step.to_string()), Some(step));
        }
        assert_eq!(BootstrapStep::named("lunch"), None);
    }
}
