//! What kind of failure an exception or an error is.
//!
//! Exceptions are told by the names of their classes: after a core was swapped, its classes are others of the
//! same names.

use pyo3::prelude::*;

use crate::error::{BootstrapFailure, BootstrapStep, Error};
use crate::python_error::class_names;

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
    // Of `outcome.py`.
    "UnexpectedOutcome",
];

/// The client's package, wherever a core keeps it.
const CLIENT: &str = "shotgun_api3";
/// What code raises that is given something else than it expects.
const STUMBLES: &[&str] = &[
    "JSONDecodeError",
    "UnicodeDecodeError",
    "AttributeError",
    "TypeError",
    "KeyError",
    "IndexError",
    "ValueError",
    "ShotgunError",
];

/// The kind of failure that a Python exception at that step means. The exception that it was raised for
/// counts as well: it often says more.
pub(super) fn of_exception(py: Python<'_>, error: &PyErr, step: BootstrapStep) -> BootstrapFailure {
    let mut chain = vec![class_names(py, error)];
    let mut next = cause(py, error);
    let mut is_sites = is_of_sites_answer(py, error);
    // Chains are short; a circle, which Python code can make, ends here too.
    while let Some(error) = next.filter(|_| chain.len() < 20) {
        chain.push(class_names(py, &error));
        is_sites |= is_of_sites_answer(py, &error);
        next = cause(py, &error);
    }
    match of_classes(&chain, step) {
        // A client that cannot make sense of an answer raises whatever it stumbles over.
        BootstrapFailure::Other | BootstrapFailure::Engine | BootstrapFailure::Configuration if is_sites => {
            BootstrapFailure::SiteUnreachable
        }
        kind => kind,
    }
}

/// Whether the client itself has raised the exception over what it was answered, such as a proxy's page, or
/// JSON that is cut. Its own exceptions say what they are, but for the plain `ShotgunError`.
fn is_of_sites_answer(py: Python<'_>, error: &PyErr) -> bool {
    let classes = class_names(py, error);
    let is = |names: &[&str]| classes.first().is_some_and(|class| names.contains(&class.as_str()));
    is(STUMBLES) && raised_in(py, error).is_some_and(|module| module.split('.').any(|part| part == CLIENT))
}

/// The module whose code has raised the exception, but for the one that reads JSON.
fn raised_in(py: Python<'_>, error: &PyErr) -> Option<String> {
    let mut module = None;
    let mut next = error.traceback(py).map(Bound::into_any);
    while let Some(entry) = next.filter(|entry| !entry.is_none()) {
        let globals = entry.getattr("tb_frame").and_then(|frame| frame.getattr("f_globals")).ok()?;
        let name = globals.get_item("__name__").and_then(|name| name.extract::<String>()).unwrap_or_default();
        if !name.starts_with("json") {
            module = Some(name);
        }
        next = entry.getattr("tb_next").ok();
    }
    module
}

fn of_classes(chain: &[Vec<String>], step: BootstrapStep) -> BootstrapFailure {
    let among = |names: &[&str]| chain.iter().flatten().any(|class| names.contains(&class.as_str()));
    let outermost =
        |names: &[&str]| chain.iter().take(1).flatten().any(|class| names.contains(&class.as_str()));
    match step {
        _ if among(TIME_LIMIT) => BootstrapFailure::TimedOut,
        _ if among(AUTHENTICATION) => BootstrapFailure::Authentication,
        _ if among(SITE) => BootstrapFailure::SiteUnreachable,
        _ if outermost(ENGINE) => BootstrapFailure::Engine,
        _ if outermost(CONFIGURATION) => BootstrapFailure::Configuration,
        // Files of the configuration, its core or a bundle that cannot be copied or read.
        BootstrapStep::ResolveConfiguration | BootstrapStep::StartCore | BootstrapStep::CacheBundles
            if outermost(&["OSError"]) =>
        {
            BootstrapFailure::Configuration
        }
        BootstrapStep::StartEngine => BootstrapFailure::Engine,
        // What Toolkit raises for want of a better class.
        BootstrapStep::ResolveConfiguration | BootstrapStep::StartCore | BootstrapStep::CacheBundles
            if outermost(&["TankError"]) =>
        {
            BootstrapFailure::Configuration
        }
        _ => BootstrapFailure::Other,
    }
}

/// The kind of failure that an error of the host's means.
pub(super) fn of_error(error: &Error, step: BootstrapStep) -> BootstrapFailure {
    match error {
        Error::Config { .. } | Error::WrongCore { .. } | Error::UnusablePath { .. } => {
            BootstrapFailure::Configuration
        }
        Error::Import { cause, .. } => match of_classes(std::slice::from_ref(&cause.mro), step) {
            BootstrapFailure::Other => BootstrapFailure::Configuration,
            known => known,
        },
        Error::Python { source } => of_classes(std::slice::from_ref(&source.mro), step),
        _ => BootstrapFailure::Other,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(chain: &[&[&str]], step: BootstrapStep) -> BootstrapFailure {
        let chain: Vec<Vec<String>> =
            chain.iter().map(|names| names.iter().map(|name| (*name).to_owned()).collect()).collect();
        of_classes(&chain, step)
    }

    #[test]
    fn a_failure_is_told_by_the_names_of_its_classes_and_those_of_its_causes() {
        use BootstrapFailure::{Authentication, Configuration, Engine, Other, SiteUnreachable};
        use BootstrapStep::{ResolveConfiguration, StartEngine, Verify};
        let fault: &[&str] = &["AuthenticationFault", "Fault", "ShotgunError", "Exception"];
        let refused: &[&str] = &["ConnectionRefusedError", "ConnectionError", "OSError", "Exception"];
        let engine: &[&str] = &["TankMissingEngineError", "TankEngineInitError", "TankError", "Exception"];
        let bootstrap: &[&str] = &["TankBootstrapError", "TankError", "Exception"];
        let copy: &[&str] = &["Error", "OSError", "Exception"];
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
            (&[copy], ResolveConfiguration, Configuration),
            (&[copy], Verify, Other),
        ] {
            assert_eq!(kind(chain, step), expected, "{chain:?} at {step}");
        }
    }
}
